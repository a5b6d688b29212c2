"""Loads models in threads of their own, each once for all calls that wait for it."""

from __future__ import annotations

import asyncio
import copy
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, BinaryIO

import structlog

from gristmill.background import Background
from gristmill.errors import (
    GristmillError,
    InvalidInput,
    NotFound,
    NotSupported,
    Overloaded,
    RuntimeUnavailable,
    TooLarge,
)
from gristmill.realtime.threads import in_thread
from gristmill.services import ServiceVersion

if TYPE_CHECKING:
    from gristmill.realtime.model import Model
    from gristmill.realtime.scorer import Scorer

__all__ = ["Loading", "not_loaded"]

log = structlog.get_logger("gristmill.realtime")

#: A model that cannot be loaded for one of these reasons never can; for any other it may be in a moment.
_FINAL = (InvalidInput, NotFound, NotSupported, TooLarge)


class Loading:
    """The loads under way, at most one of a model.

    Who waits and leaves does not end a load. A load that fails is answered to all who wait for it, and the
    next call tries anew; one that hangs goes on, and whoever waits longer than `seconds` is turned away.
    """

    def __init__(
        self,
        open_content: Callable[[str], BinaryIO],
        *,
        threads: int,
        seconds: float,
        background: Background,
        loaded: Callable[[str, Model], Scorer],
    ) -> None:
        self._open = open_content
        self._seconds = seconds
        self._background = background
        self._loaded = loaded
        self._executor = ThreadPoolExecutor(threads, "realtime-load")
        self._frozen = False
        self._under_way: dict[str, asyncio.Future[Scorer | GristmillError]] = {}

    async def load(self, service: ServiceVersion) -> Scorer:
        """The scorer of a model, once it is loaded. Raises Overloaded, RuntimeUnavailable."""
        digest = service.content or ""
        loading = self._under_way.get(digest)
        if loading is None:
            loading = self._begin(service, digest)
        try:
            async with asyncio.timeout(self._seconds):
                found = await asyncio.shield(loading)
        except TimeoutError:
            raise Overloaded(
                f"the model of {service.name} {service.version} is still being loaded after "
                f"{self._seconds:g} s; try again in a moment",
                retry_after=5.0,
            ) from None
        if isinstance(found, GristmillError):
            raise copy.copy(found)  # each caller's own: a raised error collects where it went
        return found

    def close(self) -> None:
        """Nothing is loaded any more, and who waits is turned away."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        for digest, loading in list(self._under_way.items()):
            self._end(digest, loading)

    def _begin(self, service: ServiceVersion, digest: str) -> asyncio.Future[Scorer | GristmillError]:
        loading: asyncio.Future[Scorer | GristmillError] = asyncio.get_running_loop().create_future()
        self._under_way[digest] = loading
        task = self._background.once(f"load of {service.name}", self._load(service, digest, loading))
        task.add_done_callback(lambda _: self._end(digest, loading))  # also if it was cancelled
        return loading

    def _end(self, digest: str, loading: asyncio.Future[Scorer | GristmillError]) -> None:
        if self._under_way.get(digest) is loading:
            del self._under_way[digest]
        if not loading.done():
            loading.set_result(
                Overloaded("the server is shutting down, and loads no models", retry_after=1.0)
            )

    async def _load(
        self, service: ServiceVersion, digest: str, loading: asyncio.Future[Scorer | GristmillError]
    ) -> None:
        start = perf_counter()
        found: Scorer | GristmillError
        try:
            model = await in_thread(self._executor, self._read, digest)
            found = self._loaded(digest, model)
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait are told
            found = not_loaded(service, error)
        else:
            took = round(perf_counter() - start, 3)
            log.info(
                "model_loaded", service=service.name, version=service.version, seconds=took, bytes=model.size
            )
        if not loading.done():
            loading.set_result(found)
        self._end(digest, loading)

    def _read(self, digest: str) -> Model:
        from gristmill.realtime import container
        from gristmill.realtime.model import load

        with self._open(digest) as file:
            model = load(container.read(file.read()))
        if not self._frozen:
            # numpy and ONNX Runtime came with the first model, and stay; later models go. While garbage is
            # collected the loop stands still, the longer the more there is to look at.
            self._frozen = True
            gc.freeze()
        return model


def not_loaded(service: ServiceVersion, error: Exception) -> GristmillError:
    """The error for callers; what nobody foresaw goes to the log with its traceback."""
    foreseen = isinstance(error, (GristmillError, OSError, MemoryError))
    log.error(
        "model_not_loaded",
        service=service.name,
        version=service.version,
        error=str(error) or type(error).__name__,
        exc_info=None if foreseen else error,
    )
    what = f"the model of {service.name} {service.version} cannot be loaded"
    if isinstance(error, _FINAL):
        return RuntimeUnavailable(f"{what}: {error}")
    if isinstance(error, OSError):
        return Overloaded(f"{what} now: {error.strerror or error}; try again in a moment")
    if isinstance(error, MemoryError):
        return Overloaded(f"{what} now: the server has no memory for it; try again in a moment")
    if isinstance(error, GristmillError):
        return Overloaded(f"{what} now: {error}", retry_after=error.retry_after)
    return Overloaded(f"{what} now, and the server's log says why; try again in a moment")
