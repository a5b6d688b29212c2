"""The table of bundles that were published at start-up."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.engine import Engine
from gristmill.db.tables import bundles

__all__ = ["DatabaseBundles"]


class DatabaseBundles:
    """`BundleStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def applied(self, digests: Collection[str]) -> set[str]:
        """One query."""
        if not digests:
            return set()
        query = sa.select(bundles.c.digest).where(bundles.c.digest.in_(digests))
        async with self._engine.read() as connection:
            return {digest for (digest,) in await connection.execute(query)}

    async def record(self, digest: str, name: str) -> None:
        """One row; another node may have written the same."""

        async def work(connection: AsyncConnection) -> None:
            values = {"digest": digest, "name": name, "applied": datetime.now(UTC)}
            await connection.execute(sa.insert(bundles).values(values))

        try:
            await self._engine.write(work)
        except IntegrityError:
            return
