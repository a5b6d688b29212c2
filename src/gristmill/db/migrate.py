"""Bring the database's schema to the one this code knows.

All of an upgrade is one transaction, which also keeps every other process out: two servers that start at once
upgrade one after the other, and a killed one leaves the schema that it found. It takes what time it needs.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.engine import UNBOUNDED, Engine
from gristmill.errors import GristmillError

__all__ = ["HEAD", "MIGRATIONS", "DatabaseTooNew", "upgrade"]

log = structlog.get_logger(__name__)
MIGRATIONS = Path(__file__).parent / "migrations"
#: The newest migration. Kept here, too, so that an ordinary start does not have to import alembic.
HEAD = "0003"
#: Any constant will do: it names the lock on PostgreSQL.
_LOCK = 0x6772697374


class DatabaseTooNew(GristmillError):
    """A later release of Gristmill has upgraded this database; this one must not touch it."""


async def upgrade(engine: Engine) -> None:
    """Apply what is missing; raises DatabaseTooNew."""
    async with engine.read() as connection:
        if await connection.run_sync(_version) == HEAD:
            return
    await engine.write(_upgrade, seconds=UNBOUNDED)


async def _upgrade(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    found = await connection.run_sync(_version)
    if found != HEAD:
        await connection.run_sync(_run_alembic, found)
        log.info("database_upgraded", before=found, after=HEAD)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _run_alembic(connection: sa.Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseTooNew(
            f"the database has schema {found!r}, made by a later Gristmill; this one knows {HEAD!r}. "
            "Install that later release, or restore the database's backup from before its upgrade."
        )
    command.upgrade(config, "head")
