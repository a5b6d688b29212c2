"""State in a database: SQLite in the data directory by default, PostgreSQL by URL."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa

from gristmill.db.batch_tables import blobs
from gristmill.db.batches import DatabaseBatches
from gristmill.db.bundles import DatabaseBundles
from gristmill.db.engine import SECONDS, UPKEEP_SECONDS, Engine, make_engine
from gristmill.db.failures import not_started
from gristmill.db.migrate import DatabaseTooNew, upgrade
from gristmill.db.services import DatabaseServices
from gristmill.db.snapshots import DatabaseSnapshots
from gristmill.db.tables import installation, revisions, services, snapshots
from gristmill.db.tokens import DatabaseTokens
from gristmill.db.users import DatabaseUsers
from gristmill.ports import DatabaseDamaged, StateUnavailable

__all__ = ["Database", "DatabaseTooNew", "default_url", "open_database"]


class Database:
    """The stores on one database; satisfies `gristmill.ports.Stores`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.services = DatabaseServices(engine)
        self.snapshots = DatabaseSnapshots(engine)
        self.users = DatabaseUsers(engine)
        self.tokens = DatabaseTokens(engine)
        self.batches = DatabaseBatches(engine)
        self.bundles = DatabaseBundles(engine)

    @property
    def damage(self) -> DatabaseDamaged | None:
        """What was found when the file was found damaged, since the start."""
        return self._engine.damage

    @property
    def silence(self) -> float:
        """Seconds since the database last answered."""
        return time.monotonic() - self._engine.answered

    async def revision(self, *, seconds: float | None = None) -> int:
        """Sum of all counters: moves whenever any in-memory copy may be stale.

        Raises StateUnavailable after `seconds`, if they are given, instead of after the usual time.
        """
        async with self._engine.read(seconds=seconds) as connection:
            return int((await connection.execute(sa.select(sa.func.sum(revisions.c.value)))).scalar_one())

    async def installation(self) -> str:
        """The row that the migration made."""
        async with self._engine.read() as connection:
            return str((await connection.execute(sa.select(installation.c.id))).scalar_one())

    async def references(self) -> set[str]:
        """Digests of all blobs that a service, a snapshot or a batch refers to, as of one moment."""
        every = sa.union(
            sa.select(services.c.content).where(services.c.content.is_not(None)),
            sa.select(snapshots.c.content),
            sa.select(blobs.c.digest),
        )
        async with self._engine.read(seconds=UPKEEP_SECONDS) as connection:
            return {digest for (digest,) in await connection.execute(every)}

    async def close(self) -> None:
        """Wait for writes under way, then disconnect."""
        await self._engine.close()


def default_url(data: Path) -> str:
    """URL of the embedded database of a data directory."""
    path = data.resolve() / "gristmill.db"
    return sa.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


async def open_database(url: str, *, seconds: float = SECONDS) -> Database:
    """Connect, create the SQLite file if need be, and upgrade the schema. A transaction may take `seconds`.

    Raises InvalidInput for a URL of another kind of database or without its driver, DatabaseTooNew,
    DatabaseDamaged, and StateUnavailable, for the administrator to read, when it cannot be reached.
    """
    engine = make_engine(url, seconds=seconds)
    engine.opening = True
    try:
        await engine.check()
        await upgrade(engine)
    except StateUnavailable as error:
        await engine.close()
        raise not_started(engine.url, error) from error
    except BaseException:
        await engine.close()
        raise
    engine.opening = False
    return Database(engine)
