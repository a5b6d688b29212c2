"""One batch on this node: its items go to the dispatcher, their results to the store."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from gristmill.batch_inputs import InputReader
from gristmill.batch_results import is_plain, stored
from gristmill.calls import Answer, failure_body
from gristmill.dispatcher import Dispatcher
from gristmill.errors import (
    GristmillError,
    LimitExceeded,
    NotFound,
    Overloaded,
    RuntimeUnavailable,
    ShellDied,
)
from gristmill.frames import WITH_FILES
from gristmill.jobs import Batch, Claim, ItemResult
from gristmill.ports import BatchStore, BlobStore, StateUnavailable
from gristmill.services import ServiceVersion

__all__ = ["BatchRun", "Places"]

log = structlog.get_logger()

#: Results are recorded together that come within so many seconds.
_GATHER_SECONDS = 0.05
#: No more items are sent while so many bytes of inputs are in flight, or of results not yet recorded.
_MOST_BYTES = 64 * 1024 * 1024
_MOST_UNRECORDED = 4000
#: An item that ended its shell so often is not tried again; a batch ends with so many such items in a row.
_MOST_DEATHS, _MOST_KILLERS = 2, 25
_RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What a batch is run with."""

    store: BatchStore
    blobs: BlobStore
    dispatcher: Dispatcher
    resolve: Callable[[str, str], ServiceVersion]  #: NotFound when the service was deleted
    hold_seconds: float  #: how long a claim holds from each write on
    told: Callable[[str], None]  #: called with the batch's id after each write


class _Unrunnable(GristmillError):
    """The batch cannot go on, on any node."""


class BatchRun:
    """Runs what is left of a batch, at most `parallel` items at a time, until it is done or stopped."""

    def __init__(self, batch: Batch, places: Places) -> None:
        self.batch = batch
        self.claim = Claim(batch.id, batch.takes)
        self._places = places
        self._loop = asyncio.get_running_loop()
        self._reader: InputReader | None = None
        self._todo: Iterator[int] = iter(())
        self._again: deque[int] = deque()  #: items to be tried once more
        self._deaths: dict[int, int] = {}  #: shells that an item ended
        self._killers = 0  #: items in a row that ended theirs for good
        self._running: dict[int, asyncio.Future[Answer]] = {}
        self._bytes = 0  #: of the inputs in flight
        self._results: list[ItemResult] = []
        self._result_bytes = 0
        self._left = batch.total  #: items without a recorded result
        self._paused_until = 0.0
        self._stopping = False
        self._failure: Exception | None = None
        self._wake = asyncio.Event()  #: there is something to do
        self._all_answered = asyncio.Event()

    def stop(self) -> None:
        """Send no more items; `run` returns when those in flight are answered and recorded."""
        self._stopping = True
        self._wake.set()

    def abort(self) -> None:
        """Drop what is in flight: the batch was deleted, or another node has it."""
        self._stopping = True
        for future in list(self._running.values()):
            future.cancel()
        self._results.clear()
        self._wake.set()

    async def run(self) -> None:
        """Raises StateUnavailable when the batch cannot be read now."""
        try:
            await self._open()
            await self._work()
        except (_Unrunnable, NotFound) as error:
            log.warning("batch_failed", batch=self.batch.id, why=error.message)
            await self._places.store.fail(self.claim, error.message)
        finally:
            for future in list(self._running.values()):
                future.cancel()
            if self._reader is not None:
                self._reader.close()

    async def _open(self) -> None:
        places = self._places
        self._reader = InputReader(await places.blobs.open(self.batch.inputs))
        done = bytearray(self.batch.total)
        for index in await places.store.recorded(self.batch.id):
            done[index] = 1
        self._left = self.batch.total - sum(done)
        self._todo = (index for index, is_done in enumerate(done) if not is_done)

    async def _work(self) -> None:
        while self._left:
            self._feed()
            if self._results:
                await self._gather()
                if not await self._record():
                    return
            elif self._failure is not None:
                raise self._failure
            elif self._stopping and not self._running:
                return
            else:
                await self._pause()

    async def _gather(self) -> None:
        """Let more results come in, unless none will."""
        if not self._running or self._failure is not None:
            return
        self._all_answered.clear()
        try:
            async with asyncio.timeout(_GATHER_SECONDS):
                await self._all_answered.wait()
        except TimeoutError:
            return

    async def _pause(self) -> None:
        """Until there is a result, or an item may be tried again."""
        self._wake.clear()
        pause = self._paused_until - self._loop.time()
        try:
            async with asyncio.timeout(pause if pause > 0 else None):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _record(self) -> bool:
        """Write what has gathered; False if the claim is void."""
        results, self._results, self._result_bytes = self._results, [], 0
        places = self._places
        plain = [r if is_plain(r.body or b"") else await stored(r, places.blobs) for r in results]
        if await self._recorded(plain) is None:
            return False
        self._left -= len(plain)
        places.told(self.batch.id)
        return True

    async def _recorded(self, results: list[ItemResult]) -> int | None:
        """How many the store holds now, however long it takes to be there; None if the claim is void."""
        places = self._places
        while True:
            try:
                until = time.time() + places.hold_seconds
                return await places.store.record(self.claim, results, until=until)
            except StateUnavailable:
                log.warning("batch_results_wait", batch=self.batch.id, results=len(results))
                await asyncio.sleep(_RETRY_SECONDS)

    # Items on their way

    def _feed(self) -> None:
        """Send items as long as there is room for them."""
        if self._stopping or self._failure is not None or self._loop.time() < self._paused_until:
            return
        while len(self._running) < self.batch.parallel and self._has_room():
            index = self._again.popleft() if self._again else next(self._todo, None)
            if index is None:
                return
            try:
                self._send(index)
            except Exception as error:  # noqa: BLE001 - `run` raises it
                self._failure = error
                self._wake.set()
                return

    def _has_room(self) -> bool:
        recorded_slowly = len(self._results) >= _MOST_UNRECORDED or self._result_bytes >= _MOST_BYTES
        return not recorded_slowly and (self._bytes < _MOST_BYTES or not self._running)

    def _send(self, index: int) -> None:
        assert self._reader is not None
        service = self._service()
        body = self._reader.item(index)
        try:
            future = self._places.dispatcher.submit(service, body, lane=self.batch.id, meta=WITH_FILES)
        except RuntimeUnavailable as error:
            raise _Unrunnable(error.message) from None
        except Overloaded:
            self._try_again(index)
            return
        self._running[index] = future
        self._bytes += len(body)
        future.add_done_callback(lambda done: self._answered(index, len(body), done))

    def _service(self) -> ServiceVersion:
        """The service as the batch was accepted with; as the registry has it, where that is the same."""
        accepted = self.batch.service
        try:
            current = self._places.resolve(accepted.name, accepted.version)
        except NotFound:
            raise _Unrunnable(f"the service {accepted.name} {accepted.version} was deleted") from None
        return current if current.digest == accepted.digest else accepted

    def _try_again(self, index: int) -> None:
        self._again.append(index)
        self._paused_until = self._loop.time() + _RETRY_SECONDS
        self._wake.set()

    def _answered(self, index: int, size: int, done: asyncio.Future[Answer]) -> None:
        self._running.pop(index, None)
        self._bytes -= size
        if not done.cancelled():
            self._settle(index, done)
        self._feed()
        if not self._running:
            self._all_answered.set()
            self._wake.set()

    def _settle(self, index: int, done: asyncio.Future[Answer]) -> None:
        try:
            answer = done.result()
        except LimitExceeded as error:
            self._keep(index, failure_body(error.message), ok=False)
        except ShellDied as error:
            self._died(index, error)
        except Overloaded:
            self._try_again(index)
        except GristmillError as error:
            self._keep(index, failure_body(error.message), ok=False)
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._failure = error
            self._wake.set()
        else:
            self._killers = 0
            self._keep(index, answer.body, ok=answer.ok)

    def _died(self, index: int, error: ShellDied) -> None:
        deaths = self._deaths[index] = self._deaths.get(index, 0) + 1
        if deaths < _MOST_DEATHS:
            self._again.append(index)
            self._wake.set()
            return
        self._killers += 1
        if self._killers == _MOST_KILLERS:
            self._failure = _Unrunnable(
                f"{self._killers} items in a row ended their process: {error.message}"
            )
        message = f"this item ended the process that ran it {deaths} times: {error.message}"
        self._keep(index, failure_body(message), ok=False)

    def _keep(self, index: int, body: bytes, *, ok: bool) -> None:
        self._deaths.pop(index, None)
        self._results.append(ItemResult(index=index, ok=ok, body=body))
        self._result_bytes += len(body)
        self._wake.set()
