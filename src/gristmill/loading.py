"""Load a service on a shell, and keep which shell holds which services, under which handles."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict

import msgspec
import structlog

from gristmill.calls import Answer, Request
from gristmill.errors import CallEndedShell, ShellDied
from gristmill.frames import Kind
from gristmill.services import ServiceVersion

__all__ = ["Lethal", "Loaded", "load_request"]

log = structlog.get_logger()

#: A service that ended two shells as it was loaded is not loaded again for so long.
_LETHAL_SECONDS = 10.0


class Loaded:
    """Handles of the services on one shell, least recently used first.

    Keys are `ServiceVersion.digest`, so that a patched service is another one.
    """

    __slots__ = ("_handles", "_limit", "_next")

    def __init__(self, limit: int) -> None:
        self._handles: OrderedDict[str, int] = OrderedDict()
        self._limit = limit
        self._next = 0

    def __contains__(self, key: str) -> bool:
        return key in self._handles

    def __len__(self) -> int:
        return len(self._handles)

    def find(self, key: str) -> int | None:
        """The handle of a loaded service, which is used now; None if it is not loaded."""
        handle = self._handles.get(key)
        if handle is not None:
            self._handles.move_to_end(key)
        return handle

    def add(self, key: str) -> tuple[int, int | None]:
        """A new handle for `key`, and the handle that has to be unloaded for it, if any."""
        dropped = None
        if len(self._handles) >= self._limit:
            dropped = self._handles.popitem(last=False)[1]
        self._next += 1
        self._handles[key] = self._next
        return self._next, dropped

    def drop(self, key: str) -> int | None:
        """Forget a service; its handle, if it was loaded."""
        return self._handles.pop(key, None)


class Lethal:
    """Services whose loading ended the shells that tried: for a while no more shells are spent on them."""

    def __init__(self) -> None:
        self.found: dict[
            str, tuple[float, ShellDied]
        ] = {}  #: by digest: until when, loop time, and the error

    def note(self, request: Request, now: float) -> ShellDied:
        """Remember the service of a request that has been moved too often; the error of its calls."""
        why = request.cause.message if request.cause else "no cause is known"
        kind = CallEndedShell if isinstance(request.cause, CallEndedShell) else ShellDied
        error = kind(f"loading this service ended the process that tried, twice: {why}")
        if request.service is not None:
            self.found[request.service.digest] = (now + _LETHAL_SECONDS, error)
        return error

    def find(self, request: Request, now: float) -> ShellDied | None:
        """The error of a request for such a service, or None."""
        digest = request.service.digest if request.service else ""
        until, error = self.found.get(digest, (0.0, None))
        if error is None or now < until:
            return None if error is None else type(error)(error.message)
        del self.found[digest]
        return None

    def forget(self, service: ServiceVersion) -> None:
        """The service was changed or deleted."""
        self.found.pop(service.digest, None)


def load_request(service: ServiceVersion, handle: int, content: int | None, *, limit: float) -> Request:
    """LOAD of a service; the descriptor of its content is closed when the shell has answered."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda done: _finish(done, content, service))
    return Request(
        kind=Kind.LOAD,
        body=_load_body(service),
        future=future,
        limit=limit,
        service=service,
        descriptor=content,
        handle=handle,
    )


def _load_body(service: ServiceVersion) -> bytes:
    return msgspec.json.encode(
        {
            "name": service.name,
            "version": service.version,
            "digest": service.digest,
            "code": service.code,
            "initCode": service.init_code,
            "inputs": [parameter.describe() for parameter in service.inputs],
            "outputs": [parameter.describe() for parameter in service.outputs],
            "outputFiles": list(service.output_files),
            "batchable": service.batchable,
            "content": service.content is not None,
        }
    )


def _finish(done: asyncio.Future[Answer], content: int | None, service: ServiceVersion) -> None:
    if content is not None:
        os.close(content)
    if done.cancelled():
        return
    error = done.exception()
    failed = error is not None or not done.result().ok
    if failed:
        why = str(error) if error else "its objects or its init code failed"
        log.warning("service_not_loaded", service=service.name, version=service.version, why=why)
