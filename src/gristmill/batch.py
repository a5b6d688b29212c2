"""Take batches that wait, keep hold of them while they run, and go on where a node that died has stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from gristmill.batch_run import BatchRun, Places
from gristmill.dispatcher import Dispatcher
from gristmill.jobs import Batch
from gristmill.ports import BatchStore, BlobStore, StateUnavailable
from gristmill.services import ServiceVersion

__all__ = ["BatchRunner"]

log = structlog.get_logger()

#: How long a node holds a batch without a sign of life, how often it gives one, how often it looks for more.
HOLD_SECONDS, SIGN_SECONDS, LOOK_SECONDS = 15.0, 4.0, 1.0
#: Batches that a node runs at a time: each keeps its offsets in memory.
_AT_ONCE = 64
#: Nodes that may take a batch one after another without one item getting done.
_MOST_STALLED = 5
#: What is in flight at shutdown is given so long; it is run again later otherwise.
_STOP_SECONDS = 5.0


class BatchRunner:
    """The batches that this node runs. `holder` names the node, also after it has started anew."""

    def __init__(
        self,
        store: BatchStore,
        blobs: BlobStore,
        dispatcher: Dispatcher,
        resolve: Callable[[str, str], ServiceVersion],
        *,
        holder: str,
    ) -> None:
        self._store = store
        self._holder = holder
        self._runs: dict[str, BatchRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._look = asyncio.Event()
        self.change = asyncio.Event()  #: set, and replaced, with the next change of a batch that runs here
        self._places = Places(
            store=store,
            blobs=blobs,
            dispatcher=dispatcher,
            resolve=resolve,
            hold_seconds=HOLD_SECONDS,
            told=self._tell,
        )

    async def start(self) -> None:
        """Go on with what this node ran before it ended, and look for more from now on."""
        resumed = await self._store.give_back_all(self._holder)
        if resumed:
            log.info("batches_resumed", batches=resumed)
        self._loops = [
            asyncio.create_task(self._take_forever(), name="take batches"),
            asyncio.create_task(self._hold_forever(), name="hold batches"),
        ]

    def look(self) -> None:
        """There is a new batch."""
        self._look.set()

    def drop(self, id: str) -> None:
        """The batch was deleted: stop running it."""
        run = self._runs.pop(id, None)
        if run is not None:
            run.abort()
        self._tell(id)

    @property
    def running(self) -> int:
        """How many batches run here."""
        return len(self._runs)

    async def close(self) -> None:
        """Stop, record what is answered within a few seconds, and leave the rest to whoever comes next."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for run in self._runs.values():
            run.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_STOP_SECONDS)
            for run in self._runs.values():
                run.abort()
            await asyncio.gather(*late, return_exceptions=True)

    def _tell(self, id: str) -> None:
        self.change.set()
        self.change = asyncio.Event()

    async def _take_forever(self) -> None:
        while True:
            self._look.clear()
            try:
                await self._take()
            except StateUnavailable as error:
                log.warning("batches_not_taken", why=error.message)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _take(self) -> None:
        now = time.time()
        room = _AT_ONCE - len(self._runs)
        if room <= 0:
            return
        for batch in await self._store.take(self._holder, now=now, until=now + HOLD_SECONDS, most=room):
            self.drop(batch.id)  # a claim of our own that had run out
            run = self._runs[batch.id] = BatchRun(batch, self._places)
            task = asyncio.create_task(self._run(run), name=f"batch {batch.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, run: BatchRun) -> None:
        batch = run.batch
        log.info("batch_started", batch=batch.id, items=batch.total, done=batch.completed, takes=batch.takes)
        self._tell(batch.id)
        try:
            await self._run_to_end(run, batch)
        except StateUnavailable as error:
            log.warning("batch_interrupted", batch=batch.id, why=error.message)
        finally:
            if self._runs.get(batch.id) is run:
                del self._runs[batch.id]
            self._tell(batch.id)
        log.info("batch_left", batch=batch.id)

    async def _run_to_end(self, run: BatchRun, batch: Batch) -> None:
        if batch.stalled > _MOST_STALLED:
            why = f"{_MOST_STALLED} nodes in a row ended while they ran it, before one item was done"
            await self._store.fail(run.claim, why)
            return
        try:
            await run.run()
        except StateUnavailable:
            raise
        except Exception:
            log.exception("batch_broke", batch=batch.id)
            await self._store.fail(run.claim, "something went wrong in the server, and it has been logged")
        await self._store.give_back(run.claim)  # which is void if it has ended

    async def _hold_forever(self) -> None:
        while True:
            await asyncio.sleep(SIGN_SECONDS)
            claims = {run.claim: run for run in self._runs.values()}
            try:
                valid = await self._store.hold(claims, until=time.time() + HOLD_SECONDS)
            except StateUnavailable as error:
                log.warning("batches_not_held", why=error.message)
                continue
            for claim in claims.keys() - valid:
                if self._runs.get(claim.id) is claims[claim]:
                    self.drop(claim.id)
