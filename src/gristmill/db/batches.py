"""The tables of batches and their results."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.batch_queries import OPEN, in_turn, is_free, refer
from gristmill.db.batch_tables import batch_of, batch_values, batches, result_of, result_values, results
from gristmill.db.clock import epoch, moment
from gristmill.db.engine import Engine
from gristmill.errors import Conflict
from gristmill.jobs import Batch, BatchState, Claim, ItemResult

__all__ = ["DatabaseBatches"]

#: Results that are read at once, or deleted in one transaction, so that others do not wait for long.
_AT_ONCE = 5000


class DatabaseBatches:
    """`BatchStore` on a database. A claim is checked by the UPDATE that opens each write, under its lock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def now(self) -> float:
        """Of the statement that asks, so that a long transaction does not set it back."""
        async with self._engine.read() as connection:
            return float((await connection.execute(sa.select(epoch()))).scalar_one())

    async def add(self, batch: Batch) -> None:
        """The batch and what it refers to, in one transaction."""

        async def work(connection: AsyncConnection) -> None:
            inserted = sa.insert(batches).values(batch_values(batch)).returning(batches.c.sequence)
            sequence = (await connection.execute(inserted)).scalar_one()
            await refer(connection, sequence, {batch.inputs, batch.service.content})

        try:
            await self._engine.write(work)
        except IntegrityError as error:
            found = await self.get(batch.id)
            if found is None or not found.began_as(batch):
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

    async def take(
        self, holder: str, *, now: float, until: float, most: int, running: Mapping[str, int] | None = None
    ) -> list[Batch]:
        """Reads first, so that the usual case, nothing to take, keeps no writer waiting."""
        chosen = in_turn(now, most, running or {})
        async with self._engine.read() as connection:
            wanted = [row.sequence for row in await connection.execute(chosen)]
        if not wanted:
            return []
        # Whoever was faster has them, or is about to: what is left of them is taken.
        still = sa.select(batches.c.sequence).where(batches.c.sequence.in_(wanted), is_free(now))
        still = still.order_by(batches.c.sequence).with_for_update(skip_locked=True)

        async def work(connection: AsyncConnection) -> list[Batch]:
            found = list((await connection.execute(still)).scalars())
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

    async def waiting(self, *, now: float, most: int) -> list[str]:
        """The query of `take`, and no more."""
        async with self._engine.read() as connection:
            return [row.owner for row in await connection.execute(in_turn(now, most, {}))]

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

    async def give_back_all(self, holder: str, *, but: Collection[str] | None = None) -> int:
        """One UPDATE."""
        held = (batches.c.holder == holder) & batches.c.state.in_(OPEN)
        values: dict[str, Any] = {"holder": None, "held_until": None}
        if but is not None:
            held &= batches.c.id.not_in(list(but))
            values["stalled"] = batches.c.stalled - 1

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(sa.update(batches).where(held).values(values))).rowcount

        return await self._engine.write(work)

    async def record(self, claim: Claim, results: Sequence[ItemResult], *, until: float) -> int | None:
        """The usual case first: that results are there already is found out by the primary key."""
        try:
            return await self._engine.write(lambda connection: _record(connection, claim, results, until))
        except IntegrityError:
            return await self._engine.write(lambda connection: _again(connection, claim, results, until))

    async def fail(self, claim: Claim, message: str) -> None:
        """One UPDATE."""
        end = {"state": BatchState.FAILED.value, "finished": moment()}
        await self._change(claim, **end, message=message)

    async def recorded(self, id: str) -> list[int]:
        """From the primary key alone; some at a time, so that 100,000 do not keep the event loop."""
        found: list[int] = []
        query = sa.select(results.c.item).where(results.c.batch == _sequence_of(id))
        query = query.order_by(results.c.item).limit(_AT_ONCE)
        async with self._engine.read() as connection:
            while True:
                page = list((await connection.execute(query.where(results.c.item > _last(found)))).scalars())
                found += page
                if len(page) < _AT_ONCE:
                    return found

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


def _last(indexes: list[int]) -> int:
    return indexes[-1] if indexes else -1


async def _record(
    connection: AsyncConnection, claim: Claim, added: Sequence[ItemResult], until: float
) -> int | None:
    """The counts first: their row stays locked until all is in."""
    failed = sum(not result.ok for result in added)
    counted = sa.update(batches).where(_claimed(claim))
    counted = counted.values(
        completed=batches.c.completed + len(added),
        failed=batches.c.failed + failed,
        stalled=0,
        held_until=until,
    ).returning(batches.c.sequence, batches.c.completed, batches.c.total)
    row = (await connection.execute(counted)).one_or_none()
    if row is None:
        return None
    await _insert(connection, row.sequence, row.completed - len(added), added)
    if row.completed == row.total:
        end = {"state": BatchState.COMPLETE.value, "finished": moment(), "holder": None, "held_until": None}
        await connection.execute(sa.update(batches).where(batches.c.sequence == row.sequence).values(end))
    return int(row.completed)


async def _again(
    connection: AsyncConnection, claim: Claim, added: Sequence[ItemResult], until: float
) -> int | None:
    """Record what of it is not there yet: under a claim that stands nobody else can have written the rest."""
    held = sa.update(batches).where(_claimed(claim)).values(held_until=until)
    row = (await connection.execute(held.returning(batches.c.sequence))).one_or_none()
    if row is None:
        return None
    indexes = [result.index for result in added]
    there = sa.select(results).where(results.c.batch == row.sequence, results.c.item.in_(indexes))
    found = {each.item: result_of(each) for each in await connection.execute(there)}
    for result in added:
        if result.index in found and replace(found[result.index], rank=result.rank) != result:
            raise Conflict(f"item {result.index} of batch {claim.id!r} has a result already")
    return await _record(connection, claim, [each for each in added if each.index not in found], until)


async def _insert(
    connection: AsyncConnection, sequence: int, before: int, added: Sequence[ItemResult]
) -> None:
    rows = [result_values(result, sequence, rank) for rank, result in enumerate(added, before + 1)]
    if rows:
        await connection.execute(sa.insert(results), rows)
    await refer(connection, sequence, {blob for result in added for blob in (result.content, result.files)})
