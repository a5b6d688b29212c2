"""The in-memory fake of the port for batches; `gristmill.testing` has it with all others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from gristmill.errors import Conflict
from gristmill.jobs import Batch, BatchState, Claim, ItemResult

__all__ = ["MemoryBatches"]


class MemoryBatches:
    """Fake of `BatchStore`."""

    def __init__(self) -> None:
        self.rows: dict[str, Batch] = {}
        self.items: dict[str, dict[int, ItemResult]] = {}
        self.held: dict[str, tuple[str, float]] = {}  #: by whom, and until when

    async def add(self, batch: Batch) -> None:
        """See the port."""
        if batch.id in self.rows:
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

    async def take(self, holder: str, *, now: float, until: float, most: int) -> list[Batch]:
        """See the port."""
        free = [b for b in self.rows.values() if not b.ended and self.held.get(b.id, ("", now))[1] <= now]
        taken = []
        for batch in free[:most]:
            self.rows[batch.id] = replace(
                batch, state=BatchState.IN_PROGRESS, takes=batch.takes + 1, stalled=batch.stalled + 1
            )
            taken.append(self.rows[batch.id])
            self.held[batch.id] = holder, until
        return taken

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

    async def give_back_all(self, holder: str) -> int:
        """See the port."""
        held = [id for id, (by, _) in self.held.items() if by == holder and not self.rows[id].ended]
        for id in held:
            del self.held[id]
        return len(held)

    async def record(self, claim: Claim, results: Sequence[ItemResult], *, until: float) -> int | None:
        """See the port."""
        batch, items = self._claimed(claim), self.items.get(claim.id, {})
        if batch is None:
            return None
        if items.keys() & {result.index for result in results}:
            raise Conflict(f"an item of batch {claim.id!r} has a result already")
        for rank, result in enumerate(results, batch.completed + 1):
            items[result.index] = replace(result, rank=rank)
        failed = batch.failed + sum(not result.ok for result in results)
        batch = replace(batch, completed=len(items), failed=failed, stalled=0)
        if len(items) == batch.total:
            batch = replace(batch, state=BatchState.COMPLETE, finished=datetime.now(UTC))
        self.rows[batch.id] = batch
        self.held[batch.id] = self.held[batch.id][0], until
        return batch.completed

    async def fail(self, claim: Claim, message: str) -> None:
        """See the port."""
        batch = self._claimed(claim)
        if batch is not None:
            now = datetime.now(UTC)
            self.rows[batch.id] = replace(batch, state=BatchState.FAILED, message=message, finished=now)

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

    def _claimed(self, claim: Claim) -> Batch | None:
        batch = self.rows.get(claim.id)
        valid = batch is not None and batch.takes == claim.take and batch.state is BatchState.IN_PROGRESS
        return batch if valid and claim.id in self.held else None
