"""The table of services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.batch_queries import fail_of_service
from gristmill.db.engine import Engine
from gristmill.db.revisions import bump, current
from gristmill.db.tables import service_of, service_values, services, snapshots
from gristmill.errors import Conflict, NotFound
from gristmill.services import Runtime, ServiceVersion

__all__ = ["DatabaseServices"]

_REVISION = "services"
_Work = Callable[[AsyncConnection], Awaitable[int]]


class _Stale(Exception):
    """What is stored is not what the caller knew; undoes the transaction."""


class DatabaseServices:
    """`ServiceStore` on a database. Bumping the revision first queues the writers on PostgreSQL too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def revision(self) -> int:
        """One row is read."""
        async with self._engine.read() as connection:
            return await current(connection, _REVISION)

    async def load(self) -> tuple[int, list[ServiceVersion]]:
        """Two queries in one transaction."""
        async with self._engine.read() as connection:
            # The revision first: PostgreSQL may show a later state to the second query; it is reloaded then.
            revision = await current(connection, _REVISION)
            rows = await connection.execute(sa.select(services).order_by(services.c.id))
            return revision, [service_of(row) for row in rows]

    async def add(self, service: ServiceVersion, *, fresh: bool = False) -> int:
        """The revision is bumped first; a failure undoes it."""

        async def work(connection: AsyncConnection) -> int:
            revision = await bump(connection, _REVISION)
            if not fresh:
                await _require_content(connection, service)
            await connection.execute(sa.insert(services).values(service_values(service)))
            return revision

        try:
            return await self._engine.write(work)
        except IntegrityError as error:
            raise Conflict(f"service {service.name!r} version {service.version!r} exists already") from error

    async def replace(self, old: ServiceVersion, new: ServiceVersion, *, fresh: bool = False) -> int | None:
        """The row is compared as a whole, under the writer's lock."""

        async def work(connection: AsyncConnection) -> int:
            revision = await bump(connection, _REVISION)
            row = await _locate(connection, old)
            if not fresh:
                await _require_content(connection, new)
            changed = sa.update(services).where(services.c.id == row).values(service_values(new))
            await connection.execute(changed)
            return revision

        return await self._unless_stale(work)

    async def remove(self, old: ServiceVersion) -> int | None:
        """The row is compared as a whole, under the writer's lock; its batches fail with it."""

        async def work(connection: AsyncConnection) -> int:
            revision = await bump(connection, _REVISION)
            row = await _locate(connection, old)
            await fail_of_service(connection, old.name, old.version)
            await connection.execute(sa.delete(services).where(services.c.id == row))
            return revision

        return await self._unless_stale(work)

    async def _unless_stale(self, work: _Work) -> int | None:
        try:
            return await self._engine.write(work)
        except _Stale:
            return None


async def _locate(connection: AsyncConnection, old: ServiceVersion) -> int:
    """Id of the row that holds exactly `old`; raises _Stale."""
    query = sa.select(services).where(services.c.name == old.name, services.c.version == old.version)
    row = (await connection.execute(query)).one_or_none()
    if row is None or service_of(row) != old:
        raise _Stale
    return int(row.id)


async def _require_content(connection: AsyncConnection, service: ServiceVersion) -> None:
    """Refuse content that a sweep may be about to remove; a lock keeps its snapshot until the commit.

    The model of a realtime service has no snapshot: it was put into the blob store just now, and a sweep lets
    alone what is new.
    """
    if service.content is None or service.runtime is Runtime.REALTIME:
        return
    for table in (snapshots, services):
        query = sa.select(table.c.name).where(table.c.content == service.content)
        found = await connection.execute(query.limit(1).with_for_update(read=True))
        if found.first() is not None:
            return
    raise NotFound("the snapshot was deleted while the service was being published")
