"""The realtime services of a node: their models, loaded when called, dropped when memory is short."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, BinaryIO
from weakref import WeakValueDictionary

import structlog

from gristmill.background import Background
from gristmill.calls import Answer, StageTimes
from gristmill.errors import GristmillError, NotFound
from gristmill.off_loop import Work, off_loop
from gristmill.realtime.large import LARGE, LargeCalls, Portable
from gristmill.realtime.loading import Loading, not_loaded
from gristmill.realtime.threads import TooLong, in_thread
from gristmill.realtime.waiting import Waiting
from gristmill.services import Runtime, ServiceVersion

if TYPE_CHECKING:
    from gristmill.realtime.arrow import ArrowCall
    from gristmill.realtime.inference import Inference
    from gristmill.realtime.model import Model
    from gristmill.realtime.rows import Rows
    from gristmill.realtime.scorer import Encode, Scorer

    PortableCall = ArrowCall | Inference

__all__ = ["Realtime", "RealtimeSettings"]

log = structlog.get_logger("gristmill.realtime")

#: Bytes of a body from which on it is read in a thread: a few milliseconds of work.
_LONG = 128 * 1024
#: Models whose long runs may overlap; each has its number of threads, so that one keeps no other waiting.
_MODELS = 4
#: Large calls that are scored at a time.
_LARGE_CALLS = 2
#: What runs under way are given when the node ends, seconds.
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeSettings:
    """Bounds on what native scoring may use of this process."""

    memory: int = 2 * 2**30  #: bytes of loaded models; beyond, those used longest ago are dropped
    model_bytes: int = 512 * 2**20  #: of one model's file
    waiting: int = 1 * 2**30  #: bytes of bodies and rows that wait; beyond, calls get 503
    threads: int = 0  #: runs of a model at a time that are too long for the event loop; 0: one per processor
    load_threads: int = 3  #: models that are loaded at a time, in threads of their own
    load_seconds: float = 120.0  #: what a call waits for its model; then 503, and loading goes on


class Realtime:
    """Scores calls of realtime services; `open_content` opens a file of the blob store by its digest."""

    def __init__(
        self,
        open_content: Callable[[str], BinaryIO],
        settings: RealtimeSettings,
        *,
        background: Background | None = None,
    ) -> None:
        self._settings = settings
        self._threads = settings.threads or len(os.sched_getaffinity(0))
        self._executor = ThreadPoolExecutor(_MODELS * self._threads, "realtime")
        self._waiting = Waiting(settings.waiting)
        self._scorers: OrderedDict[str, Scorer] = OrderedDict()
        #: Also those that were dropped while calls run on them: who calls again needs no second copy.
        self._in_use: WeakValueDictionary[str, Scorer] = WeakValueDictionary()
        self._large = LargeCalls(open_content, processes=min(_LARGE_CALLS, self._threads))
        self._own_background = Background()
        self._background = background or self._own_background
        self._loading = Loading(
            open_content,
            threads=settings.load_threads,
            seconds=settings.load_seconds,
            background=self._background,
            loaded=self._loaded,
        )

    async def score(self, service: ServiceVersion, body: bytes) -> Answer:
        """Score the caller's JSON.

        Raises InvalidInput; Overloaded, also where the model cannot be loaded for now; RuntimeUnavailable
        where it never can.
        """
        if len(body) >= LARGE:
            return await self._score_large(service, body, None)
        return await self.score_rows(service, lambda model: model.reader.read(body), size=len(body))

    async def _score_large(self, service: ServiceVersion, body: bytes, call: Portable | None) -> Answer:
        """As `score`, in another process. Raises ShellDied, TimedOut, too."""
        start = perf_counter()
        self._waiting.add(len(body))
        try:
            answer = await self._large.score(service.content or "", body, call)
        except (OSError, NotFound) as error:
            raise not_loaded(service, error) from error
        finally:
            self._waiting.bytes -= len(body)
        return Answer(answer, True, StageTimes(0, 0, 0, int((perf_counter() - start) * 1e6), 0))

    async def score_call(
        self, service: ServiceVersion, call: PortableCall, body: bytes, encode: Encode | None
    ) -> Answer:
        """Score a call that came as `body`, here or, where that is large, elsewhere. Raises as `score`."""
        if len(body) >= LARGE:
            return await self._score_large(service, body, call)
        return await self.score_rows(service, call, size=len(body), encode=encode)

    async def score_rows(
        self,
        service: ServiceVersion,
        rows: Callable[[Model], Rows],
        *,
        size: int = 0,
        encode: Encode | None = None,
    ) -> Answer:
        """Score rows that `rows` makes, from so many bytes, for the model; `encode` makes the answer's body.

        Raises as `score`, and what the two raise. `rows` is called a second time, in a thread, if it raises
        TooLong.
        """
        scorer = self._ready(service) or await self.prepare(service)
        start = perf_counter()
        if size < _LONG:
            try:
                made = rows(scorer.model)
            except TooLong:
                made = await self._read_in_thread(rows, scorer.model, size)
        else:
            made = await self._read_in_thread(rows, scorer.model, size)
        call = scorer.add(made, perf_counter() - start, encode, size)
        try:
            return await call.future
        except asyncio.CancelledError:
            scorer.leave(call)
            raise

    async def _read_in_thread(self, rows: Callable[[Model], Rows], model: Model, size: int) -> Rows:
        """As `rows` does; the body counts as waiting meanwhile. Raises Overloaded."""
        self._waiting.add(size)
        try:
            return await in_thread(self._executor, rows, model)
        finally:
            self._waiting.bytes -= size

    async def model(self, service: ServiceVersion) -> Model:
        """The loaded model."""
        return (self._ready(service) or await self.prepare(service)).model

    def _ready(self, service: ServiceVersion) -> Scorer | None:
        digest = service.content or ""
        scorer = self._scorers.get(digest)
        if scorer is not None:
            self._scorers.move_to_end(digest)
        return scorer

    async def prepare(self, service: ServiceVersion) -> Scorer:
        """Load the model now, once for all who wait for it. Raises Overloaded, RuntimeUnavailable."""
        digest = service.content or ""
        in_use = self._in_use.get(digest)
        if in_use is not None:
            return self._keep(digest, in_use)
        return await self._loading.load(service)

    async def try_out(self, service: ServiceVersion) -> None:
        """Load the model so that its first call is quick; where it cannot be, that is logged and no more."""
        try:
            await self.prepare(service)
        except GristmillError as error:
            log.warning("model_not_ready", service=service.name, version=service.version, error=error.message)

    def _loaded(self, digest: str, model: Model) -> Scorer:
        # numpy and ONNX Runtime are there by now: a server without realtime services never imports them.
        from gristmill.realtime.scorer import Scorer

        scorer = self._in_use[digest] = Scorer(model, self._executor, self._threads, self._waiting)
        return self._keep(digest, scorer)

    def _keep(self, digest: str, scorer: Scorer) -> Scorer:
        """Keep a scorer as the one used last, and drop others that no longer fit."""
        self._scorers[digest] = scorer
        self._scorers.move_to_end(digest)
        self._evict(digest)
        return scorer

    @property
    def _bytes(self) -> int:
        """Memory of all loaded models."""
        return sum(scorer.model.size for scorer in self._scorers.values())

    def _evict(self, newest: str) -> None:
        """Drop what was used longest ago until the rest fits; calls under way keep what they use."""
        while self._bytes > self._settings.memory:
            oldest = next(iter(self._scorers))
            if oldest == newest:
                return
            del self._scorers[oldest]

    def forget(self, service: ServiceVersion) -> None:
        """A version was changed or deleted; another that has the same model loads it if no call uses it."""
        self._scorers.pop(service.content or "", None)

    def warm(self, services: Iterable[ServiceVersion]) -> None:
        """Load models in the background, the newest first, while there is room."""
        found = [service for service in services if service.runtime is Runtime.REALTIME]

        async def warming() -> None:
            for service in reversed(found):
                if self._bytes > self._settings.memory // 2:
                    return
                await self.try_out(service)

        if found:
            self._background.once("realtime_warming", warming())

    def describe(self) -> dict[str, int]:
        """Counts of this node: models loaded, their bytes, and what they did."""
        scorers = list(self._scorers.values())
        return {
            "models": len(scorers),
            "bytes": self._bytes,
            "calls": self._large.calls + sum(scorer.calls for scorer in scorers),
            "rows": sum(scorer.rows for scorer in scorers),
            "runs": sum(scorer.runs for scorer in scorers),
            "waitingBytes": self._waiting.bytes,
        }

    async def close(self) -> None:
        """Wait a few seconds for runs under way; calls that wait are turned away, and nothing is loaded."""
        self._loading.close()
        await self._large.close()
        await self._own_background.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await off_loop(Work.REMOVE, self._executor.shutdown, wait=True, cancel_futures=True)
        except TimeoutError:
            log.warning("realtime_runs_left", seconds=_CLOSE_SECONDS)
