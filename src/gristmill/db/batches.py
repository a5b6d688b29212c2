"""The tables of batches and their results."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.batch_tables import (
    batch_of,
    batch_values,
    batches,
    blobs,
    result_of,
    result_values,
    results,
)
from gristmill.db.engine import Engine
from gristmill.errors import Conflict
from gristmill.jobs import Batch, BatchState, Claim, ItemResult

__all__ = ["DatabaseBatches"]

_OPEN = [BatchState.PENDING.value, BatchState.READY.value, BatchState.IN_PROGRESS.value]
#: Results that are deleted in one transaction, so that other writers do not wait for long.
_AT_ONCE = 5000


class DatabaseBatches:
    """`BatchStore` on a database. A claim is checked by the UPDATE that opens each write, under its lock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, batch: Batch) -> None:
        """The batch and what it refers to, in one transaction."""

        async def work(connection: AsyncConnection) -> None:
            inserted = sa.insert(batches).values(batch_values(batch)).returning(batches.c.sequence)
            sequence = (await connection.execute(inserted)).scalar_one()
            await _refer(connection, sequence, {batch.inputs, batch.service.content})

        try:
            await self._engine.write(work)
        except IntegrityError as error:
            raise Conflict(f"batch {batch.id!r} exists already") from error

    async def get(self, id: str) -> Batch | None:
        """By its unique id."""
        if not (id.isascii() and id.isprintable()):
            return None  # no GUID, and some databases refuse to compare it
        async with self._engine.read() as connection:
            row = (await connection.execute(sa.select(batches).where(batches.c.id == id))).one_or_none()
            return None if row is None else batch_of(row)

    async def of(self, name: str, version: str, owner: str | None) -> list[str]:
        """By the index of names and versions."""
        query = sa.select(batches.c.id).where(batches.c.name == name, batches.c.version == version)
        if owner is not None:
            query = query.where(batches.c.owner == owner)
        query = query.order_by(batches.c.sequence)
        async with self._engine.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def take(self, holder: str, *, now: float, until: float, most: int) -> list[Batch]:
        """Reads first, so that the usual case, nothing to take, keeps no writer waiting."""
        free = batches.c.held_until.is_(None) | (batches.c.held_until <= now)
        query = sa.select(batches.c.sequence).where(batches.c.state.in_(_OPEN), free)
        query = query.order_by(batches.c.sequence).limit(most)
        async with self._engine.read() as connection:
            if (await connection.execute(query)).first() is None:
                return []

        async def work(connection: AsyncConnection) -> list[Batch]:
            found = list((await connection.execute(query.with_for_update(skip_locked=True))).scalars())
            taken = sa.update(batches).where(batches.c.sequence.in_(found))
            taken = taken.values(
                state=BatchState.IN_PROGRESS.value,
                holder=holder,
                held_until=until,
                takes=batches.c.takes + 1,
                stalled=batches.c.stalled + 1,
            )
            await connection.execute(taken)
            rows = sa.select(batches).where(batches.c.sequence.in_(found)).order_by(batches.c.sequence)
            return [batch_of(row) for row in await connection.execute(rows)]

        return await self._engine.write(work)

    async def hold(self, claims: Collection[Claim], *, until: float) -> set[Claim]:
        """An UPDATE each, in one transaction, always in the same order."""

        async def work(connection: AsyncConnection) -> set[Claim]:
            valid = set()
            for claim in sorted(claims, key=lambda claim: claim.id):
                held = sa.update(batches).where(_claimed(claim)).values(held_until=until)
                if (await connection.execute(held)).rowcount:
                    valid.add(claim)
            return valid

        return await self._engine.write(work) if claims else set()

    async def give_back(self, claim: Claim) -> None:
        """One UPDATE."""
        back = {"state": BatchState.READY.value, "holder": None, "held_until": None}
        await self._change(claim, **back, stalled=batches.c.stalled - 1)

    async def give_back_all(self, holder: str) -> int:
        """One UPDATE."""

        async def work(connection: AsyncConnection) -> int:
            held = (batches.c.holder == holder) & batches.c.state.in_(_OPEN)
            free = sa.update(batches).where(held).values(holder=None, held_until=None)
            return (await connection.execute(free)).rowcount

        return await self._engine.write(work)

    async def record(self, claim: Claim, results: Sequence[ItemResult], *, until: float) -> int | None:
        """The counts first: their row stays locked until all is in."""
        failed = sum(not result.ok for result in results)

        async def work(connection: AsyncConnection) -> int | None:
            counted = sa.update(batches).where(_claimed(claim))
            counted = counted.values(
                completed=batches.c.completed + len(results),
                failed=batches.c.failed + failed,
                stalled=0,
                held_until=until,
            ).returning(batches.c.sequence, batches.c.completed, batches.c.total)
            row = (await connection.execute(counted)).one_or_none()
            if row is None:
                return None
            await _insert(connection, row.sequence, row.completed - len(results), results)
            if row.completed == row.total:
                await connection.execute(_ended(row.sequence, BatchState.COMPLETE))
            return int(row.completed)

        try:
            return await self._engine.write(work)
        except IntegrityError as error:
            raise Conflict(f"an item of batch {claim.id!r} has a result already") from error

    async def fail(self, claim: Claim, message: str) -> None:
        """One UPDATE."""
        end = {"state": BatchState.FAILED.value, "finished": datetime.now(UTC)}
        await self._change(claim, **end, message=message)

    async def recorded(self, id: str) -> list[int]:
        """From the primary key alone."""
        query = sa.select(results.c.item).where(results.c.batch == _sequence_of(id))
        async with self._engine.read() as connection:
            return list((await connection.execute(query)).scalars())

    async def results(self, id: str, *, first: int, most: int, rank: int) -> list[ItemResult]:
        """In the order of the primary key."""
        wanted = (results.c.batch == _sequence_of(id)) & (results.c.item >= first) & (results.c.rank <= rank)
        return await self._list(sa.select(results).where(wanted).order_by(results.c.item).limit(most))

    async def arrivals(self, id: str, *, after: int, most: int) -> list[ItemResult]:
        """In the order of the second index."""
        wanted = (results.c.batch == _sequence_of(id)) & (results.c.rank > after)
        return await self._list(sa.select(results).where(wanted).order_by(results.c.rank).limit(most))

    async def remove(self, id: str) -> bool:
        """The batch at once, and with it every claim; then its results, piece by piece."""

        async def work(connection: AsyncConnection) -> Any:
            gone = sa.delete(batches).where(batches.c.id == id)
            gone_row = gone.returning(batches.c.sequence, batches.c.total)
            return (await connection.execute(gone_row)).one_or_none()

        row = await self._engine.write(work)
        if row is not None:
            await self._clear(row.sequence, row.total)
        return row is not None

    async def purge(self, *, finished_before: float) -> int:
        """Also clears results that a removal left behind when its node was killed."""
        moment = datetime.fromtimestamp(finished_before, UTC)
        ended = sa.select(batches.c.id).where(batches.c.finished < moment)
        known = sa.select(batches.c.sequence).scalar_subquery()
        left = sa.select(results.c.batch, sa.func.max(results.c.item)).where(results.c.batch.not_in(known))
        async with self._engine.read() as connection:
            ids = list((await connection.execute(ended)).scalars())
            orphans = [tuple(row) for row in await connection.execute(left.group_by(results.c.batch))]
        for sequence, last in orphans:
            await self._clear(sequence, last + 1)
        return sum([await self.remove(id) for id in ids])

    async def _list(self, query: sa.Select[Any]) -> list[ItemResult]:
        async with self._engine.read() as connection:
            return [result_of(row) for row in await connection.execute(query)]

    async def _change(self, claim: Claim, **values: Any) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(sa.update(batches).where(_claimed(claim)).values(values))

        await self._engine.write(work)

    async def _clear(self, sequence: int, total: int) -> None:
        for first in range(0, total, _AT_ONCE):
            piece = (results.c.batch == sequence) & results.c.item.between(first, first + _AT_ONCE - 1)

            async def work(connection: AsyncConnection, piece: Any = piece) -> None:
                await connection.execute(sa.delete(results).where(piece))

            await self._engine.write(work)


def _claimed(claim: Claim) -> sa.ColumnElement[bool]:
    held = (batches.c.state == BatchState.IN_PROGRESS.value) & batches.c.holder.is_not(None)
    return (batches.c.id == claim.id) & (batches.c.takes == claim.take) & held


def _sequence_of(id: str) -> sa.ScalarSelect[int]:
    return sa.select(batches.c.sequence).where(batches.c.id == id).scalar_subquery()


def _ended(sequence: int, state: BatchState) -> sa.Update:
    ended = sa.update(batches).where(batches.c.sequence == sequence)
    return ended.values(state=state.value, finished=datetime.now(UTC), holder=None, held_until=None)


async def _insert(
    connection: AsyncConnection, sequence: int, before: int, added: Sequence[ItemResult]
) -> None:
    rows = [result_values(result, sequence, rank) for rank, result in enumerate(added, before + 1)]
    if rows:
        await connection.execute(sa.insert(results), rows)
    await _refer(connection, sequence, {blob for result in added for blob in (result.content, result.files)})


async def _refer(connection: AsyncConnection, sequence: int, digests: set[str | None]) -> None:
    """Note blobs of the batch; two of its items may have the same one."""
    for digest in sorted(digest for digest in digests if digest is not None):
        known = (blobs.c.batch == sequence) & (blobs.c.digest == digest)
        if (await connection.execute(sa.select(blobs.c.batch).where(known))).first() is None:
            await connection.execute(sa.insert(blobs).values(batch=sequence, digest=digest))
