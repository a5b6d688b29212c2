"""Statements about batches that more than one store needs, or that are long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.batch_tables import batches, blobs
from gristmill.db.clock import moment
from gristmill.jobs import BatchState, was_deleted

__all__ = ["OPEN", "fail_of_service", "in_turn", "is_free", "refer"]

#: States of batches that have not ended.
OPEN = [BatchState.PENDING.value, BatchState.READY.value, BatchState.IN_PROGRESS.value]


def is_free(now: float) -> sa.ColumnElement[bool]:
    """Whether a batch is to be run, and no node holds it."""
    return batches.c.state.in_(OPEN) & (batches.c.held_until.is_(None) | (batches.c.held_until <= now))


def in_turn(now: float, most: int, running: Mapping[str, int]) -> sa.Select[Any]:
    """`sequence` and `owner` of the batches that are to be taken next, of `running` by owner so many are."""
    turn = sa.func.row_number().over(
        partition_by=batches.c.owner, order_by=(batches.c.takes, batches.c.sequence)
    )
    columns = (batches.c.sequence, batches.c.owner, batches.c.takes)
    free = sa.select(*columns, turn.label("turn")).where(is_free(now)).subquery()
    ahead = sa.case(running, value=free.c.owner, else_=0) if running else sa.literal(0)
    query = sa.select(free.c.sequence, free.c.owner)
    return query.order_by(free.c.turn + ahead, free.c.takes, free.c.sequence).limit(most)


async def fail_of_service(connection: AsyncConnection, name: str, version: str) -> None:
    """Fail the batches of a service that is being deleted; in the order of ids, as all that lock several."""
    query = sa.select(batches.c.id).where(batches.c.name == name, batches.c.version == version)
    ids = list((await connection.execute(query.where(batches.c.state.in_(OPEN)))).scalars())
    end = {"state": BatchState.FAILED.value, "finished": moment(), "message": was_deleted(name, version)}
    for id in sorted(ids):
        failed = sa.update(batches).where(batches.c.id == id, batches.c.state.in_(OPEN))
        await connection.execute(failed.values(end))


async def refer(connection: AsyncConnection, sequence: int, digests: set[str | None]) -> None:
    """Note blobs of the batch; two of its items may have the same one."""
    for digest in sorted(digest for digest in digests if digest is not None):
        known = (blobs.c.batch == sequence) & (blobs.c.digest == digest)
        if (await connection.execute(sa.select(blobs.c.batch).where(known))).first() is None:
            await connection.execute(sa.insert(blobs).values(batch=sequence, digest=digest))
