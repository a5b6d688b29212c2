"""The table of token families."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.engine import UPKEEP_SECONDS, Engine
from gristmill.db.revisions import bump, current
from gristmill.db.tables import families, family_of, users
from gristmill.ports import TokenFamily

__all__ = ["DatabaseTokens"]

_REVISION = "accounts"
#: Ids per query: well below what every SQLite takes as parameters.
_AT_ONCE = 500


class DatabaseTokens:
    """`TokenStore` on a database. The revision is bumped last: locks are always taken in one order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def revision(self) -> int:
        """One row is read."""
        async with self._engine.read() as connection:
            return await current(connection, _REVISION)

    async def start(self, family: TokenFamily, *, password_hash: str) -> bool:
        """Holds the user's row until the family stands."""

        async def work(connection: AsyncConnection) -> bool:
            known = (users.c.name == family.username) & (users.c.password_hash == password_hash)
            query = sa.select(users.c.name).where(known).with_for_update(read=True)
            if (await connection.execute(query)).first() is None:
                return False
            values = asdict(family)
            del values["role"]
            await connection.execute(sa.insert(families).values(values))
            return True

        return await self._engine.write(work)

    async def find(self, id: str) -> TokenFamily | None:
        """With the user's role as of now."""
        joined = families.join(users, families.c.username == users.c.name)
        query = sa.select(families, users.c.role).select_from(joined).where(families.c.id == id)
        async with self._engine.read() as connection:
            row = (await connection.execute(query)).one_or_none()
            return None if row is None else family_of(row)

    async def rotate(self, id: str, *, old_hash: str, new_hash: str, now: int) -> bool:
        """One UPDATE compares and sets, so that one caller wins."""

        async def work(connection: AsyncConnection) -> bool:
            valid = (families.c.id == id) & (families.c.refresh_hash == old_hash)
            changed = sa.update(families).where(valid)
            changed = changed.values(generation=families.c.generation + 1, refresh_hash=new_hash, used=now)
            if (await connection.execute(changed)).rowcount != 1:
                return False
            await bump(connection, _REVISION)
            return True

        return await self._engine.write(work)

    async def revoke(self, id: str) -> bool:
        """Deletes the row."""

        async def work(connection: AsyncConnection) -> bool:
            if (await connection.execute(sa.delete(families).where(families.c.id == id))).rowcount != 1:
                return False
            await bump(connection, _REVISION)
            return True

        return await self._engine.write(work)

    async def generations(self, ids: Iterable[str]) -> dict[str, int]:
        """In pieces of 500 ids, in one transaction."""
        wanted = list(ids)
        found: dict[str, int] = {}
        columns = sa.select(families.c.id, families.c.generation)
        async with self._engine.read() as connection:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                rows = await connection.execute(columns.where(families.c.id.in_(some)))
                found.update((row.id, row.generation) for row in rows)
        return found

    async def purge(self, *, created_before: int, used_before: int) -> int:
        """No revision: their tokens have expired too."""

        async def work(connection: AsyncConnection) -> int:
            old = (families.c.created < created_before) | (families.c.used < used_before)
            return (await connection.execute(sa.delete(families).where(old))).rowcount

        return await self._engine.write(work, seconds=UPKEEP_SECONDS)
