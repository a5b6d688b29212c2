"""One batch on this node: its items go to the dispatcher, their results to the store."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from gristmill.batch_inputs import InputReader
from gristmill.batch_results import is_plain, stored
from gristmill.calls import Answer, failure_body
from gristmill.dispatcher import Dispatcher
from gristmill.errors import (
    CallEndedShell,
    GristmillError,
    LimitExceeded,
    NotFound,
    Overloaded,
    RuntimeUnavailable,
    ShellDied,
)
from gristmill.frames import WITH_FILES
from gristmill.jobs import Batch, Claim, ItemResult
from gristmill.off_loop import Work, off_loop
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
#: An item that could not be sent, for want of descriptors for instance, is tried again; so often in a row.
_MOST_TROUBLES = 5
_RETRY_SECONDS = 0.2
#: The longest pause between two tries to record results.
_LONGEST_RETRY_SECONDS = 5.0
#: Larger items are read in a thread: not everything is in the page cache, and a network may lie between.
_READ_AT_ONCE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What a batch is run with."""

    store: BatchStore
    blobs: BlobStore
    dispatcher: Dispatcher
    resolve: Callable[[str, str], ServiceVersion]  #: NotFound where the service is not known here
    until: Callable[[], float]  #: until when a write of this moment holds the batch, by the store's clock
    told: Callable[[str], None]  #: called with the batch's id after each write


class _Unrunnable(GristmillError):
    """The batch cannot go on, on any node."""


class BatchRun:
    """Runs what is left of a batch, at most `parallel` items at a time, until it is done or stopped.

    Once its claim is void, or `run` has returned, nothing more is sent, whatever answer comes in late.
    """

    def __init__(self, batch: Batch, places: Places) -> None:
        self.batch = batch
        self.of = batch.service.name, batch.service.version
        self.claim = Claim(batch.id, batch.takes)
        self._lane = f"{batch.owner}/{batch.id}"
        self._places = places
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self._reader: InputReader | None = None
        self._todo: Iterator[int] = iter(())
        self._again: deque[int] = deque()  #: items to be tried once more
        self._deaths: dict[int, int] = {}  #: shells that an item ended
        self._killers = 0  #: items in a row that ended theirs for good
        self._troubles = 0  #: items in a row that could not be sent
        self._running: dict[int, asyncio.Future[Answer]] = {}
        self._bytes = 0  #: of the inputs in flight
        self._results: list[ItemResult] = []
        self._result_bytes = 0
        self._left = batch.total  #: items without a recorded result
        self._paused_until = 0.0
        self.stopping = False  #: no more items are sent
        self._void = False  #: the claim is another node's by now, or nobody's
        self._over = asyncio.Event()  #: it is aborted, or has ended: answers are of no interest any more
        self._failure: Exception | None = None
        self._wake = asyncio.Event()  #: there is something to do
        self._all_answered = asyncio.Event()

    @property
    def unfinished(self) -> bool:
        """Whether items are left, and still are this node's to run."""
        return self._left > 0 and not self._void

    def stop(self) -> None:
        """Send no more items; `run` returns when those in flight are answered and recorded."""
        self.stopping = True
        self._wake.set()

    def abort(self) -> None:
        """Drop what is in flight: the batch was deleted, another node has it, or this one ends."""
        self.stopping = True
        self._let_go()
        self._wake.set()
        self._all_answered.set()

    async def run(self) -> None:
        """Raises StateUnavailable and OSError when the batch cannot be read now."""
        try:
            await self._open()
            await self._work()
        except (_Unrunnable, NotFound) as error:
            log.warning("batch_failed", batch=self.batch.id, why=error.message)
            await self._places.store.fail(self.claim, error.message)
            self._void = True
        finally:
            self._let_go()
            if self._reader is not None:
                self._reader.close()

    def _let_go(self) -> None:
        """First of all nothing is sent any more: a cancelled item must not make room for the next."""
        self._over.set()
        for future in list(self._running.values()):
            future.cancel()
        self._results.clear()

    async def _open(self) -> None:
        places = self._places
        file = await places.blobs.open(self.batch.inputs)
        try:
            self._reader = await off_loop(Work.READ, InputReader, file)
        except BaseException:
            file.close()
            raise
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
            elif self.stopping and not self._running:
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
        if await self._recorded(results) is None:
            self._void = True
            return False
        self._left -= len(results)
        self._places.told(self.batch.id)
        return True

    async def _recorded(self, results: list[ItemResult]) -> int | None:
        """How many the store holds now, however long it takes to be there; None if the claim is void.

        What was written, and only the answer lost, counts as written when it is tried again. A disk that is
        full, for what is large, is waited for as well.
        """
        places, pause = self._places, _RETRY_SECONDS
        while not self._over.is_set():
            try:
                results = [r if is_plain(r.body or b"") else await stored(r, places.blobs) for r in results]
                return await places.store.record(self.claim, results, until=places.until())
            except StateUnavailable as error:
                why = error.message
                log.warning("batch_results_wait", batch=self.batch.id, results=len(results), why=why)
            await self._sleep_unless_over(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_RETRY_SECONDS)
        return None

    async def _sleep_unless_over(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return

    # Items on their way

    def _feed(self) -> None:
        """Send items as long as there is room for them."""
        if self.stopping or self._over.is_set() or self._failure is not None:
            return
        if self._loop.time() < self._paused_until:
            return
        while len(self._running) < self.batch.parallel and self._has_room():
            index = self._again.popleft() if self._again else next(self._todo, None)
            if index is None:
                return
            try:
                self._send(index)
            except Exception as error:  # noqa: BLE001 - `run` raises it
                self._fail(error)
                return

    def _has_room(self) -> bool:
        recorded_slowly = len(self._results) >= _MOST_UNRECORDED or self._result_bytes >= _MOST_BYTES
        return not recorded_slowly and (self._bytes < _MOST_BYTES or not self._running)

    def _send(self, index: int) -> None:
        assert self._reader is not None
        size = self._reader.size(index)
        future: asyncio.Future[Answer]
        if size > _READ_AT_ONCE:
            future = self._loop.create_task(self._read_and_submit(self._reader, index))
        else:
            try:
                future = self._submit(self._reader.item(index))
            except Overloaded:
                self._try_again(index)
                return
        self._running[index] = future
        self._bytes += size
        future.add_done_callback(lambda done: self._answered(index, size, done))

    async def _read_and_submit(self, reader: InputReader, index: int) -> Answer:
        body = await off_loop(Work.READ, reader.item, index)
        return await self._submit(body)

    def _submit(self, body: bytes) -> asyncio.Future[Answer]:
        try:
            return self._places.dispatcher.submit(self._service(), body, lane=self._lane, meta=WITH_FILES)
        except RuntimeUnavailable as error:
            raise _Unrunnable(error.message) from None

    def _service(self) -> ServiceVersion:
        """The service as the batch was accepted with; as the registry has it, where that is the same.

        What is not known here may just have been published elsewhere. Had it been deleted, the batch would
        have failed with it.
        """
        accepted = self.batch.service
        try:
            current = self._places.resolve(accepted.name, accepted.version)
        except NotFound:
            return accepted
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
        error = done.exception()
        if self._over.is_set():
            return
        if error is None:
            self._killers = self._troubles = 0
            answer = done.result()
            self._keep(index, answer.body, ok=answer.ok)
        elif isinstance(error, ShellDied) and not isinstance(error, LimitExceeded):
            self._died(index, error, again=not isinstance(error, CallEndedShell))
        elif isinstance(error, Overloaded):
            self._try_again(index)
        elif isinstance(error, OSError) and self._troubles < _MOST_TROUBLES:
            self._troubles += 1
            self._try_again(index)
        elif isinstance(error, GristmillError) and not isinstance(error, _Unrunnable):
            self._keep(index, failure_body(error.message), ok=False)
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """`run` raises it."""
        self._failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
        self._wake.set()

    def _died(self, index: int, error: ShellDied, *, again: bool) -> None:
        """Try an item `again` whose shell ended; what its own code did to its shell, it would do again."""
        deaths = self._deaths[index] = self._deaths.get(index, 0) + 1
        if again and deaths < _MOST_DEATHS:
            self._again.append(index)
            self._wake.set()
            return
        self._killers += 1
        if self._killers == _MOST_KILLERS:
            self._failure = _Unrunnable(
                f"{self._killers} items in a row ended their process: {error.message}"
            )
        message = error.message
        if deaths > 1:
            message = f"this item ended the process that ran it {deaths} times: {message}"
        self._keep(index, failure_body(message), ok=False)

    def _keep(self, index: int, body: bytes, *, ok: bool) -> None:
        self._deaths.pop(index, None)
        self._results.append(ItemResult(index=index, ok=ok, body=body))
        self._result_bytes += len(body)
        self._wake.set()
