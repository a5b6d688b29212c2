"""The table of snapshots."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.engine import Engine
from gristmill.db.tables import snapshot_of, snapshots
from gristmill.errors import Conflict
from gristmill.ports import Snapshot

__all__ = ["DatabaseSnapshots"]


class DatabaseSnapshots:
    """`SnapshotStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, snapshot: Snapshot) -> None:
        """One row."""

        async def work(connection: AsyncConnection) -> None:
            values = {**asdict(snapshot), "runtime": snapshot.runtime.value}
            await connection.execute(sa.insert(snapshots).values(values))

        try:
            await self._engine.write(work)
        except IntegrityError as error:
            raise Conflict(f"snapshot {snapshot.id!r} exists already") from error

    async def get(self, id: str) -> Snapshot | None:
        """By its unique index."""
        if not (id.isascii() and id.isprintable()):
            return None  # no GUID, and some databases refuse to compare it
        async with self._engine.read() as connection:
            row = (await connection.execute(sa.select(snapshots).where(snapshots.c.id == id))).one_or_none()
            return None if row is None else snapshot_of(row)

    async def of(self, owner: str) -> list[Snapshot]:
        """In the order in which they were added."""
        query = sa.select(snapshots).where(snapshots.c.owner == owner).order_by(snapshots.c.sequence)
        async with self._engine.read() as connection:
            return [snapshot_of(row) for row in await connection.execute(query)]

    async def remove(self, id: str) -> bool:
        """The blob stays until a sweep."""

        async def work(connection: AsyncConnection) -> bool:
            gone = await connection.execute(sa.delete(snapshots).where(snapshots.c.id == id))
            return gone.rowcount == 1

        return await self._engine.write(work)
