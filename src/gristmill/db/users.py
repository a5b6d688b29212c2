"""The table of local accounts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.engine import Engine
from gristmill.db.revisions import bump
from gristmill.db.tables import families, user_of, users
from gristmill.errors import Conflict, NotFound
from gristmill.identity import Role
from gristmill.ports import User

__all__ = ["DatabaseUsers"]


class DatabaseUsers:
    """`UserStore` on a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, user: User) -> None:
        """One row; no revision, as nobody loses anything."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(sa.insert(users).values({**asdict(user), "role": user.role.value}))

        try:
            await self._engine.write(work)
        except IntegrityError as error:
            raise Conflict(f"user {user.name!r} exists already") from error

    async def get(self, name: str) -> User | None:
        """By its primary key."""
        async with self._engine.read() as connection:
            row = (await connection.execute(sa.select(users).where(users.c.name == name))).one_or_none()
            return None if row is None else user_of(row)

    async def all(self) -> list[User]:
        """Sorted here: databases collate each in their own way."""
        async with self._engine.read() as connection:
            found = [user_of(row) for row in await connection.execute(sa.select(users))]
        return sorted(found, key=lambda user: user.name)

    async def set_password(self, name: str, password_hash: str) -> None:
        """With the families, in one transaction."""
        await self._change(name, password_hash=password_hash)

    async def rehash(self, name: str, old_hash: str, new_hash: str) -> None:
        """Compares and sets."""

        async def work(connection: AsyncConnection) -> None:
            known = (users.c.name == name) & (users.c.password_hash == old_hash)
            await connection.execute(sa.update(users).where(known).values(password_hash=new_hash))

        await self._engine.write(work)

    async def set_role(self, name: str, role: Role) -> None:
        """With the families, in one transaction."""
        await self._change(name, role=role.value)

    async def remove(self, name: str) -> None:
        """The families go by the foreign key."""

        async def work(connection: AsyncConnection) -> None:
            gone = await connection.execute(sa.delete(users).where(users.c.name == name))
            _require(gone, name)
            await bump(connection, "accounts")

        await self._engine.write(work)

    async def _change(self, name: str, **values: str) -> None:
        async def work(connection: AsyncConnection) -> None:
            changed = sa.update(users).where(users.c.name == name).values(values)
            _require(await connection.execute(changed), name)
            await connection.execute(sa.delete(families).where(families.c.username == name))
            await bump(connection, "accounts")

        await self._engine.write(work)


def _require(result: sa.CursorResult[Any], name: str) -> None:
    if result.rowcount != 1:
        raise NotFound(f"there is no user {name!r}")
