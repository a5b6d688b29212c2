"""Counters that tell other nodes that their in-memory copies are stale."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.tables import revisions

__all__ = ["bump", "current"]


async def bump(connection: AsyncConnection, name: str) -> int:
    """Count one write, in the transaction of that write; the counter after it."""
    counted = sa.update(revisions).where(revisions.c.name == name).values(value=revisions.c.value + 1)
    return int((await connection.execute(counted.returning(revisions.c.value))).scalar_one())


async def current(connection: AsyncConnection, name: str) -> int:
    """The counter."""
    found = await connection.execute(sa.select(revisions.c.value).where(revisions.c.name == name))
    return int(found.scalar_one())
