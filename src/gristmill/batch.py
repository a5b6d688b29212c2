"""Take batches that wait, keep hold of them while they run, and go on where a node that died has stopped."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

from gristmill.background import Background, Repeated
from gristmill.batch_run import BatchRun, Places
from gristmill.dispatcher import Dispatcher
from gristmill.errors import GristmillError
from gristmill.jobs import Batch
from gristmill.ports import BatchStore, BlobStore, StateUnavailable
from gristmill.services import ServiceVersion

__all__ = ["BatchRunner"]

log = structlog.get_logger()

#: How long a node holds a batch without a sign of life, how often it gives one, how often it looks for more.
HOLD_SECONDS, SIGN_SECONDS, LOOK_SECONDS = 15.0, 4.0, 1.0
#: Batches that a node runs at a time: each keeps its offsets in memory.
_AT_ONCE = 64
#: Where more wait, a batch has its turn for so long before it lets another of its owner's have it.
_TURN_SECONDS = 30.0
#: Batches that may be asked to let others go first at one look.
_MOST_YIELDS = 8
#: Nodes that may take a batch one after another without one item getting done.
_MOST_STALLED = 5
#: A batch is left alone for so long when the store does not answer.
_AWAY_SECONDS = 2.0
#: What is in flight at shutdown is given so long; it is run again later otherwise.
_STOP_SECONDS = 5.0
#: Then batches are given back, for which the database is given so long.
_GIVE_BACK_SECONDS = 1.0


class _Clock:
    """The store's clock, as far as it was learnt: leases go by it, whatever this node's own clock says."""

    def __init__(self, store: BatchStore) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._ahead = 0.0  #: of the loop's time, which never leaps

    async def learn(self) -> float:
        """Ask the store, and return what it said."""
        now = await self._store.now()
        self._ahead = now - self._loop.time()
        return now

    def now(self) -> float:
        """Epoch seconds; behind the store's by as long as an answer travels, so that no lease is too long."""
        return self._loop.time() + self._ahead


class BatchRunner:
    """The batches that this node runs. `holder` names the node, also after it has started anew.

    `resolve` gives a service as it is known here; what is not known runs as the batch was accepted, since
    batches of a service that was deleted have failed with it.
    """

    def __init__(
        self,
        store: BatchStore,
        blobs: BlobStore,
        dispatcher: Dispatcher,
        resolve: Callable[[str, str], ServiceVersion],
        *,
        holder: str,
        background: Background | None = None,
    ) -> None:
        self._store = store
        self._holder = holder
        self._background = background or Background()
        self._loop = asyncio.get_running_loop()
        self._clock = _Clock(store)
        self._runs: dict[str, BatchRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._repeated: list[Repeated] = []
        self._doubtful_until = 0.0  #: loop time until which a taking whose answer was lost may come to light
        self.change = asyncio.Event()  #: set, and replaced, with the next change of a batch that runs here
        self._places = Places(
            store=store,
            blobs=blobs,
            dispatcher=dispatcher,
            resolve=resolve,
            until=lambda: self._clock.now() + HOLD_SECONDS,
            told=self._tell,
        )

    async def start(self) -> None:
        """Go on with what this node ran before it ended, and look for more from now on."""
        resumed = await self._store.give_back_all(self._holder)
        if resumed:
            log.info("batches_resumed", batches=resumed)
        repeat = self._background.repeat
        self._repeated = [
            repeat("take batches", self._take, every=LOOK_SECONDS, at_once=True),
            repeat("hold batches", self._hold, every=SIGN_SECONDS, longest_pause=SIGN_SECONDS),
        ]

    def look(self) -> None:
        """There is a new batch."""
        if self._repeated:
            self._repeated[0].wake.set()

    def service_changed(self, service: ServiceVersion) -> None:
        """It was replaced or deleted: see soon whether its batches still are to be run."""
        name = service.name, service.version
        if self._repeated and any(run.of == name for run in self._runs.values()):
            self._repeated[1].wake.set()

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
        """Stop, record what is answered within a few seconds, and leave the rest to whoever comes next.

        Ends in its own time, also where the store does not answer.
        """
        for repeated in self._repeated:
            await repeated.stop()
        for run in self._runs.values():
            run.stop()
        late = await _ended_of(self._tasks, _STOP_SECONDS)
        for run in self._runs.values():
            run.abort()
        late = await _ended_of(late, _GIVE_BACK_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if self._doubtful_until > self._loop.time():
            await self._give_back_doubtful()

    async def _give_back_doubtful(self) -> None:
        try:
            async with asyncio.timeout(_GIVE_BACK_SECONDS):
                await self._store.give_back_all(self._holder, but=[])
        except (GristmillError, TimeoutError) as error:
            log.warning("batches_not_given_back", why=str(error) or "no answer in time")

    def _tell(self, id: str) -> None:
        self.change.set()
        self.change = asyncio.Event()

    # Taking

    async def _take(self) -> None:
        now = await self._clock.learn()
        if self._doubtful_until > self._loop.time():
            # They are held by this node, which does not know of them: else they would wait for nobody.
            await self._store.give_back_all(self._holder, but=list(self._runs))
        active = [run for run in self._runs.values() if not run.stopping]
        room = min(_AT_ONCE - len(active), 2 * _AT_ONCE - len(self._runs))
        if room <= 0:
            await self._make_room(now, active)
            return
        running = Counter(run.batch.owner for run in active)
        try:
            taken = await self._store.take(
                self._holder, now=now, until=self._places.until(), most=room, running=running
            )
        except BaseException:
            self._doubtful_until = self._loop.time() + HOLD_SECONDS
            raise
        for batch in taken:
            self._begin(batch)

    def _begin(self, batch: Batch) -> None:
        self.drop(batch.id)  # a claim of our own that had run out
        run = self._runs[batch.id] = BatchRun(batch, self._places)
        task = self._background.once(f"batch {batch.id}", self._run(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make_room(self, now: float, active: list[BatchRun]) -> None:
        """Have batches let others go first, so that owners share the node, and no batch waits for ever."""
        for owner in (await self._store.waiting(now=now, most=_AT_ONCE))[:_MOST_YIELDS]:
            run = self._to_yield(owner, active)
            if run is None:
                continue
            log.info("batch_yields", batch=run.batch.id, to=owner)
            run.stop()
            active.remove(run)
            self.look()

    def _to_yield(self, owner: str, active: list[BatchRun]) -> BatchRun | None:
        """One of the owner who has two more, or most; else one of the same owner's that had its turn."""
        counts = Counter(run.batch.owner for run in active)
        most, count = counts.most_common(1)[0] if counts else (owner, 0)
        if count > counts[owner] + 1 and most != owner:
            mine = [run for run in active if run.batch.owner == most]
        else:
            since = self._loop.time() - _TURN_SECONDS
            mine = [run for run in active if run.batch.owner == owner and run.began <= since]
        return max(mine, key=lambda run: (run.batch.takes, -run.began), default=None)

    # Running

    async def _run(self, run: BatchRun) -> None:
        batch = run.batch
        log.info("batch_started", batch=batch.id, items=batch.total, done=batch.completed, takes=batch.takes)
        self._tell(batch.id)
        try:
            await self._run_to_end(run, batch)
        except OSError as error:
            # It stays held, and is taken again, here or elsewhere, when its time is over: some times.
            log.warning("batch_interrupted", batch=batch.id, why=str(error))
        except StateUnavailable as error:
            log.warning("batch_interrupted", batch=batch.id, why=error.message)
            await asyncio.sleep(_AWAY_SECONDS)
            await self._store.give_back(run.claim)  # which counts as no attempt: it is not the batch's fault
        finally:
            if self._runs.get(batch.id) is run:
                del self._runs[batch.id]
            self._tell(batch.id)
        log.info("batch_left", batch=batch.id)

    async def _run_to_end(self, run: BatchRun, batch: Batch) -> None:
        if batch.stalled > _MOST_STALLED:
            why = (
                f"{_MOST_STALLED} nodes in a row ended, or could not read its inputs, while they ran it, "
                "before one item was done"
            )
            await self._store.fail(run.claim, why)
            return
        try:
            await run.run()
        except (StateUnavailable, OSError):
            raise
        except Exception:
            log.exception("batch_broke", batch=batch.id)
            await self._store.fail(run.claim, "something went wrong in the server, and it has been logged")
            return
        if run.unfinished:
            await self._store.give_back(run.claim)
            self.look()

    async def _hold(self) -> None:
        claims = {run.claim: run for run in self._runs.values()}
        await self._clock.learn()
        valid = await self._store.hold(claims, until=self._places.until())
        for claim in claims.keys() - valid:
            if self._runs.get(claim.id) is claims[claim]:
                self.drop(claim.id)


async def _ended_of(tasks: set[asyncio.Task[None]], seconds: float) -> set[asyncio.Task[None]]:
    """Wait for them; those that have not ended by then."""
    if not tasks:
        return set()
    _, late = await asyncio.wait(tasks, timeout=seconds)
    return late
