"""Where a scoring call goes: to the pool of its language, or to native scoring of a realtime service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

import msgspec

from gristmill.background import Background
from gristmill.calls import Answer, Request, StageTimes, failure_body
from gristmill.dedicated import MOST_DEDICATED, DedicatedPools
from gristmill.errors import CallEndedShell, InvalidInput, LimitExceeded, RuntimeUnavailable
from gristmill.frames import Kind
from gristmill.launching import Limits, ShellLauncher
from gristmill.pool import Pool, PoolSettings
from gristmill.services import Runtime, ServiceVersion

__all__ = ["Dispatcher", "NativeScoring"]


class NativeScoring(Protocol):
    """What scores realtime services."""

    async def score(self, service: ServiceVersion, body: bytes) -> Answer:
        """Score the caller's JSON. Raises InvalidInput, Overloaded; RuntimeUnavailable without a model."""

    def forget(self, service: ServiceVersion) -> None:
        """A version was changed or deleted."""

    def describe(self) -> dict[str, int]:
        """Counts, the number of loaded `models` among them."""


class Dispatcher:
    """The generic pools, one per language that this machine has."""

    def __init__(
        self,
        launcher: ShellLauncher,
        *,
        settings: PoolSettings,
        limits: Limits,
        open_content: Callable[[str], int],
        realtime: NativeScoring | None = None,
        background: Background | None = None,
        dedicated_shells: int = MOST_DEDICATED,
    ) -> None:
        self._realtime = realtime
        self._limits = limits
        self._loop = asyncio.get_running_loop()

        def make(runtime: Runtime, size: PoolSettings, resident: ServiceVersion | None = None) -> Pool:
            return Pool(
                runtime,
                launcher,
                settings=size,
                limits=limits,
                open_content=open_content,
                resident=resident,
                background=background,
            )

        def make_dedicated(service: ServiceVersion) -> Pool:
            assert service.pool is not None
            size = replace(settings, initial=service.pool.initial, maximum=service.pool.maximum)
            return make(service.runtime, size, service)

        self._pools = {runtime: make(runtime, settings) for runtime in launcher.runtimes}
        self.dedicated = DedicatedPools(make_dedicated, most_shells=dedicated_shells, background=background)

    def start(self) -> None:
        """Spawn the initial shells of each pool."""
        for pool in self._pools.values():
            pool.start()

    async def wait_ready(self) -> None:
        """Return when each pool has a shell ready. Raises ShellDied when one cannot start any."""
        await asyncio.gather(*(pool.wait_ready() for pool in self._pools.values()))

    async def score(self, service: ServiceVersion, body: bytes, *, user: str = "") -> Answer:
        """Run the service on the caller's JSON, when it is the turn of `user`.

        Raises InvalidInput, Overloaded, TimedOut or ShellDied. What user code did wrong is an answer with
        `ok` False; that includes going past limits of memory and output, and ending its own process.
        """
        if service.runtime is Runtime.REALTIME:
            return await self._native.score(service, body)
        try:
            return await self.submit(service, body, user=user)
        except (LimitExceeded, CallEndedShell) as error:
            return Answer(failure_body(error.message), False, StageTimes(0, 0, 0, 0, 0))

    def submit(
        self, service: ServiceVersion, body: bytes, *, lane: str = "", meta: bytes = b"", user: str = ""
    ) -> asyncio.Future[Answer]:
        """As `score`, whose errors the future has, LimitExceeded and CallEndedShell too.

        Raises Overloaded at once.

        Requests with a `lane`, `owner/name`, let all others go first; owners take turns, and so do the lanes
        of each. `meta` is for the shell.
        """
        if service.runtime is Runtime.REALTIME:
            return self._loop.create_task(self._native.score(service, body))
        request = Request(
            kind=Kind.CALL,
            body=body,
            future=self._loop.create_future(),
            limit=self._limits.execution_seconds,
            service=service,
            lane=lane,
            user=user or lane.rpartition("/")[0],
            meta=meta,
        )
        pool = self.dedicated.find(service) if self.dedicated else None
        (pool or self.pool(service.runtime)).submit(request)
        return request.future

    async def check(self, runtime: Runtime, code: str, init_code: str, *, user: str = "") -> None:
        """Raise InvalidInput, naming the line, unless both parse; RuntimeUnavailable without the language."""
        if runtime is Runtime.REALTIME:
            raise InvalidInput("a realtime service has a model and no code: publish it at /realtime-services")
        request = Request(
            kind=Kind.OPERATION,
            meta=b'{"op":"check","fd":false}',
            body=msgspec.json.encode({"code": code, "initCode": init_code}),
            future=self._loop.create_future(),
            limit=self._limits.execution_seconds,
            user=user,
        )
        self.pool(runtime).submit(request)
        await request.future

    @property
    def _native(self) -> NativeScoring:
        if self._realtime is None:
            raise RuntimeUnavailable("this server scores no realtime services")
        return self._realtime

    def pool(self, runtime: Runtime) -> Pool:
        """The generic pool of a language. Raises RuntimeUnavailable."""
        try:
            return self._pools[runtime]
        except KeyError:
            here = " and ".join(self._pools) or "no language"
            message = f"this server cannot run {runtime} services: it has {here} only"
            raise RuntimeUnavailable(message) from None

    def pool_status(self, service: ServiceVersion) -> str:
        """Of the service's own pool on this node: `Success`, `Pending` or `NotFound`."""
        return self.dedicated.status(service)

    def forget(self, service: ServiceVersion) -> None:
        """A version was changed or deleted: shells drop it."""
        if service.runtime is Runtime.REALTIME and self._realtime is not None:
            self._realtime.forget(service)
        pool = self._pools.get(service.runtime)
        if pool is not None:
            pool.forget(service)

    def describe(self) -> dict[str, dict[str, object]]:
        """Each generic pool's counts, by language."""
        return {str(runtime): pool.describe() for runtime, pool in self._pools.items()}

    def describe_realtime(self) -> dict[str, int]:
        """Counts of native scoring, once a model is loaded."""
        found = self._realtime.describe() if self._realtime is not None else {}
        return found if found.get("models") else {}

    def arrange(self, services: Iterable[ServiceVersion]) -> None:
        """Give pools of their own to those of `services`, all that there are, which ask for one."""
        self.dedicated.arrange(service for service in services if service.runtime in self._pools)

    async def close(self) -> None:
        """End all shells."""
        await self.dedicated.close()
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))
