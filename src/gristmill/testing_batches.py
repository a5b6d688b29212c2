"""The in-memory fake of the port for batches; `gristmill.testing` has it with all others."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gristmill.errors import Conflict
from gristmill.jobs import Batch, BatchState, Claim, ItemResult, was_deleted

__all__ = ["MemoryBatches"]


class MemoryBatches:
    """Fake of `BatchStore`; `clock` is its own clock."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.rows: dict[str, Batch] = {}
        self.items: dict[str, dict[int, ItemResult]] = {}
        self.held: dict[str, tuple[str, float]] = {}  #: by whom, and until when

    async def now(self) -> float:
        """See the port."""
        return self.clock()

    async def add(self, batch: Batch) -> None:
        """See the port."""
        if batch.id in self.rows:
            if self.rows[batch.id].began_as(batch):
                return
            raise Conflict(f"batch {batch.id!r} exists already")
        self.rows[batch.id] = batch
        self.items[batch.id] = {}

    async def get(self, id: str) -> Batch | None:
        """See the port."""
        return self.rows.get(id)

    async def of(self, name: str, version: str, owner: str | None) -> list[str]:
        """See the port."""
        of_service = [b for b in self.rows.values() if (b.service.name, b.service.version) == (name, version)]
        return [batch.id for batch in of_service if owner in (None, batch.owner)]

    async def take(
        self, holder: str, *, now: float, until: float, most: int, running: Mapping[str, int] | None = None
    ) -> list[Batch]:
        """See the port."""
        free = self._in_turn(now, running or {})
        taken = []
        for batch in free[:most]:
            self.rows[batch.id] = replace(
                batch, state=BatchState.IN_PROGRESS, takes=batch.takes + 1, stalled=batch.stalled + 1
            )
            taken.append(self.rows[batch.id])
            self.held[batch.id] = holder, until
        return taken

    async def waiting(self, *, now: float, most: int) -> list[str]:
        """See the port."""
        return [batch.owner for batch in self._in_turn(now, {})[:most]]

    async def hold(self, claims: Collection[Claim], *, until: float) -> set[Claim]:
        """See the port."""
        valid = {claim for claim in claims if self._claimed(claim)}
        for claim in valid:
            self.held[claim.id] = self.held[claim.id][0], until
        return valid

    async def give_back(self, claim: Claim) -> None:
        """See the port."""
        batch = self._claimed(claim)
        if batch is not None:
            self.rows[batch.id] = replace(batch, state=BatchState.READY, stalled=batch.stalled - 1)
            del self.held[batch.id]

    async def give_back_all(self, holder: str, *, but: Collection[str] | None = None) -> int:
        """See the port."""
        held = [id for id, (by, _) in self.held.items() if by == holder and not self.rows[id].ended]
        held = [id for id in held if id not in (but or ())]
        for id in held:
            del self.held[id]
            if but is not None:
                self.rows[id] = replace(self.rows[id], stalled=self.rows[id].stalled - 1)
        return len(held)

    async def record(self, claim: Claim, results: Sequence[ItemResult], *, until: float) -> int | None:
        """See the port."""
        batch, items = self._claimed(claim), self.items.get(claim.id, {})
        if batch is None:
            return None
        for result in results:
            if result.index in items and replace(items[result.index], rank=result.rank) != result:
                raise Conflict(f"item {result.index} of batch {claim.id!r} has a result already")
        added = [result for result in results if result.index not in items]
        for rank, result in enumerate(added, batch.completed + 1):
            items[result.index] = replace(result, rank=rank)
        failed = batch.failed + sum(not result.ok for result in added)
        batch = replace(batch, completed=len(items), failed=failed, stalled=0)
        if len(items) == batch.total:
            batch = replace(batch, state=BatchState.COMPLETE, finished=self._moment())
        self.rows[batch.id] = batch
        self.held[batch.id] = self.held[batch.id][0], until
        return batch.completed

    async def fail(self, claim: Claim, message: str) -> None:
        """See the port."""
        batch = self._claimed(claim)
        if batch is not None:
            self._fail(batch, message)

    def fail_of_service(self, name: str, version: str) -> None:
        """What `ServiceStore` does in the same write."""
        for batch in list(self.rows.values()):
            if (batch.service.name, batch.service.version) == (name, version) and not batch.ended:
                self._fail(batch, was_deleted(name, version))

    async def recorded(self, id: str) -> list[int]:
        """See the port."""
        return list(self.items.get(id, ()))

    async def results(self, id: str, *, first: int, most: int, rank: int) -> list[ItemResult]:
        """See the port."""
        items = sorted(self.items.get(id, {}).values(), key=lambda result: result.index)
        return [result for result in items if result.index >= first and result.rank <= rank][:most]

    async def arrivals(self, id: str, *, after: int, most: int) -> list[ItemResult]:
        """See the port."""
        items = sorted(self.items.get(id, {}).values(), key=lambda result: result.rank)
        return items[after : after + most]

    async def remove(self, id: str) -> bool:
        """See the port."""
        self.items.pop(id, None)
        self.held.pop(id, None)
        return self.rows.pop(id, None) is not None

    async def purge(self, *, finished_before: float) -> int:
        """See the port."""
        ended = [b.id for b in self.rows.values() if b.finished and b.finished.timestamp() < finished_before]
        for id in ended:
            await self.remove(id)
        return len(ended)

    def references(self) -> set[str]:
        """Digests of all blobs that a batch refers to."""
        found = {blob for batch in self.rows.values() for blob in (batch.inputs, batch.service.content)}
        for items in self.items.values():
            found |= {blob for result in items.values() for blob in (result.content, result.files)}
        return {blob for blob in found if blob is not None}

    def _fail(self, batch: Batch, message: str) -> None:
        end: dict[str, Any] = {"state": BatchState.FAILED, "finished": self._moment()}
        self.rows[batch.id] = replace(batch, message=message, **end)

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    def _in_turn(self, now: float, running: Mapping[str, int]) -> list[Batch]:
        turns, free = Counter(running), []
        rows = [(batch.takes, place, batch) for place, batch in enumerate(self.rows.values())]
        for takes, place, batch in sorted(rows, key=lambda row: row[:2]):
            if not batch.ended and self.held.get(batch.id, ("", now))[1] <= now:
                turns[batch.owner] += 1
                free.append((turns[batch.owner], takes, place, batch))
        return [batch for *_, batch in sorted(free, key=lambda row: row[:3])]

    def _claimed(self, claim: Claim) -> Batch | None:
        batch = self.rows.get(claim.id)
        valid = batch is not None and batch.takes == claim.take and batch.state is BatchState.IN_PROGRESS
        return batch if valid and claim.id in self.held else None
