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

import structlog

from gristmill.calls import Answer
from gristmill.errors import GristmillError, RuntimeUnavailable
from gristmill.realtime.waiting import Waiting
from gristmill.services import Runtime, ServiceVersion

if TYPE_CHECKING:
    from gristmill.realtime.model import Model
    from gristmill.realtime.rows import Rows
    from gristmill.realtime.scorer import Encode, Scorer

__all__ = ["Realtime", "RealtimeSettings"]

log = structlog.get_logger("gristmill.realtime")

#: Bytes of a body from which on it is read in a thread: a few milliseconds of work.
_LONG = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeSettings:
    """Bounds on what native scoring may use of this process."""

    memory: int = 2 * 2**30  #: bytes of loaded models; beyond, those used longest ago are dropped
    model_bytes: int = 512 * 2**20  #: of one model's file
    waiting: int = 1 * 2**30  #: bytes of rows that wait; beyond, calls get 503
    threads: int = 0  #: runs at a time that are too long for the event loop; 0: one per processor


class Realtime:
    """Scores calls of realtime services; `open_content` opens a file of the blob store by its digest."""

    def __init__(self, open_content: Callable[[str], BinaryIO], settings: RealtimeSettings) -> None:
        self._open = open_content
        self._settings = settings
        self._threads = settings.threads or len(os.sched_getaffinity(0))
        self._executor = ThreadPoolExecutor(self._threads, "realtime")
        self._waiting = Waiting(settings.waiting)
        self._scorers: OrderedDict[str, Scorer] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Scorer]] = {}
        self._warming: asyncio.Task[None] | None = None

    async def score(self, service: ServiceVersion, body: bytes) -> Answer:
        """Score the caller's JSON. Raises InvalidInput, Overloaded; RuntimeUnavailable without a model."""
        return await self.score_rows(service, lambda model: model.reader.read(body), size=len(body))

    async def score_rows(
        self,
        service: ServiceVersion,
        rows: Callable[[Model], Rows],
        *,
        size: int = 0,
        encode: Encode | None = None,
    ) -> Answer:
        """Score rows that `rows` makes, from so many bytes, for the model; `encode` makes the answer's body.

        Raises as `score`, and what the two raise.
        """
        scorer = self._ready(service) or await self.prepare(service)
        start = perf_counter()
        if size < _LONG:
            made = rows(scorer.model)
        else:
            made = await asyncio.get_running_loop().run_in_executor(self._executor, rows, scorer.model)
        return await scorer.submit(made, perf_counter() - start, encode)

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
        """Load the model now, once for all who wait for it."""
        digest = service.content or ""
        loading = self._loading.get(digest)
        if loading is None:
            loading = self._loading[digest] = asyncio.create_task(self._load(service, digest))
            loading.add_done_callback(lambda _: self._loading.pop(digest, None))
        return await asyncio.shield(loading)

    async def _load(self, service: ServiceVersion, digest: str) -> Scorer:
        start = perf_counter()
        try:
            model = await asyncio.get_running_loop().run_in_executor(self._executor, self._read, digest)
        except (GristmillError, OSError) as error:
            log.error("model_not_loaded", service=service.name, version=service.version, error=str(error))
            raise RuntimeUnavailable(
                f"the model of {service.name} {service.version} cannot be loaded: {error}"
            ) from error
        # numpy and ONNX Runtime are there by now: a server without realtime services never imports them.
        from gristmill.realtime.scorer import Scorer

        scorer = Scorer(model, self._executor, self._threads, self._waiting)
        self._scorers[digest] = scorer
        self._evict(digest)
        took = round(perf_counter() - start, 3)
        log.info(
            "model_loaded", service=service.name, version=service.version, seconds=took, bytes=model.size
        )
        return scorer

    def _read(self, digest: str) -> Model:
        from gristmill.realtime import container
        from gristmill.realtime.model import load

        with self._open(digest) as file:
            return load(container.read(file.read()))

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
        """A version was changed or deleted; another that has the same model loads it anew."""
        self._scorers.pop(service.content or "", None)

    def warm(self, services: Iterable[ServiceVersion]) -> None:
        """Load models in the background, the newest first, while there is room."""
        found = [service for service in services if service.runtime is Runtime.REALTIME]

        async def warming() -> None:
            for service in reversed(found):
                if self._bytes > self._settings.memory // 2:
                    return
                try:
                    await self.prepare(service)
                except RuntimeUnavailable:
                    continue  # logged; whoever calls it is told

        if found:
            self._warming = asyncio.create_task(warming())

    def describe(self) -> dict[str, int]:
        """Counts of this node: models loaded, their bytes, and what they did."""
        scorers = list(self._scorers.values())
        return {
            "models": len(scorers),
            "bytes": self._bytes,
            "calls": sum(scorer.calls for scorer in scorers),
            "rows": sum(scorer.rows for scorer in scorers),
            "runs": sum(scorer.runs for scorer in scorers),
            "waitingBytes": self._waiting.bytes,
        }

    async def close(self) -> None:
        """Wait for runs under way; nothing is loaded any more."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        await asyncio.to_thread(self._executor.shutdown, True, cancel_futures=True)
