"""Transactions: reading and writing ones, each with a bound on how long it may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gristmill.db.drivers import PATIENCE, parsed, postgresql_engine, sqlite_engine
from gristmill.db.failures import Translated, damaged, overdue
from gristmill.errors import InvalidInput
from gristmill.ports import DatabaseDamaged

__all__ = ["SECONDS", "UNBOUNDED", "UPKEEP_SECONDS", "Engine", "make_engine"]

T = TypeVar("T")
#: What a transaction may take, all in all, unless it says otherwise.
SECONDS = 10.0
#: For upkeep that goes through whole tables and that nobody waits for.
UPKEEP_SECONDS = 120.0
#: A day: for what must not be given up, such as an upgrade of the schema.
UNBOUNDED = 86_400.0
#: SQLite files up to this size are looked through at start; it takes some tenths of a second.
_CHECKED_BYTES = 256 * 2**20


class Engine:
    """Transactions on one database: any number of readers, writers one after another.

    All raise StateUnavailable when the database has not answered in time, and what `Translated` raises.
    """

    def __init__(self, engine: AsyncEngine, *, seconds: float = SECONDS) -> None:
        self._engine = engine
        self._writer = engine.execution_options(gristmill_begin="BEGIN IMMEDIATE")
        self._seconds = seconds
        #: The file of a SQLite database; None for a server's.
        self.file = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None
        #: SQLite has one writer at a time, and makes others poll: they wait here instead, in order.
        self._turn = asyncio.Semaphore(1 if self.file is not None else 1_000_000)
        self._writing: set[asyncio.Task[Any]] = set()
        #: What was found when the file was found damaged; it stays until the server is started anew.
        self.damage: DatabaseDamaged | None = None
        #: When a transaction last went well; monotonic seconds.
        self.answered = time.monotonic()
        #: Set while the database is opened: errors are told to the administrator then, and not logged.
        self.opening = False

    @property
    def url(self) -> sa.URL:
        """Of the database, with its password."""
        return self._engine.url

    @asynccontextmanager
    async def read(self, *, seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database and is rolled back, after `seconds` at most."""
        bound = self._seconds if seconds is None else seconds
        async with self._translated(), _bounded(bound), self._engine.connect() as connection:
            await self._tell_server(connection, bound)
            yield connection

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[T]], *, seconds: float | None = None
    ) -> T:
        """Run `work` in a transaction, durable on return, undone if it raises.

        A caller that is cancelled, or is told that it took too long, leaves the transaction to end on its
        own: a COMMIT must not be torn.
        """
        bound = self._seconds if seconds is None else seconds
        task = asyncio.ensure_future(self._write(work, bound))
        self._writing.add(task)
        task.add_done_callback(self._written)
        # Twice: a writer of SQLite waits for its turn here, and then for other processes.
        await asyncio.wait({task}, timeout=2 * bound)
        if not task.done():
            raise overdue(2 * bound)
        return task.result()

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]], bound: float) -> T:
        async with self._translated():
            if self.file is None:
                async with _bounded(bound), self._writer.begin() as connection:
                    await self._tell_server(connection, bound)
                    return await work(connection)
            async with self._own_turn(bound), self._writer.begin() as connection:
                return await work(connection)

    @asynccontextmanager
    async def _own_turn(self, bound: float) -> AsyncIterator[None]:
        """Only the wait is bounded: a write that has begun is never cancelled, since that could tear it."""
        async with _bounded(bound):
            await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    async def _tell_server(self, connection: AsyncConnection, bound: float) -> None:
        """Have PostgreSQL give up after the same time, where that is not the usual one."""
        if self.file is None and bound != self._seconds:
            for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
                await connection.execute(sa.text(f"SET LOCAL {name} = {round(bound * 1000)}"))

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            with Translated(self.file, quiet=self.opening):
                yield
        except DatabaseDamaged as error:
            self.damage = error
            raise
        self.answered = time.monotonic()

    def _written(self, task: asyncio.Task[Any]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may have waited for it to the end; `Translated` has logged it

    async def check(self) -> None:
        """Look a SQLite file of moderate size through. Raises DatabaseDamaged."""
        if self.file is None or self.file.stat().st_size > _CHECKED_BYTES:
            return
        async with self.read(seconds=UNBOUNDED) as connection:
            found = str((await connection.exec_driver_sql("PRAGMA quick_check(1)")).scalar())
        if found != "ok":
            self.damage = damaged(
                self.file, found.replace("\n", " ").removeprefix("*** in database main *** ")
            )
            raise self.damage

    async def close(self) -> None:
        """Wait for writes under way, as long as a transaction may take, then disconnect."""
        if self._writing:
            await asyncio.wait(set(self._writing), timeout=self._seconds)
        for task in list(self._writing):
            task.cancel()
        try:
            async with asyncio.timeout(self._seconds):
                await self._engine.dispose()
        except TimeoutError:
            overdue(self._seconds)  # logged; the connections go with the process


@asynccontextmanager
async def _bounded(seconds: float) -> AsyncIterator[None]:
    """Give up what takes longer than `seconds`, each exchange with a server too. Raises StateUnavailable."""
    patience = PATIENCE.set(seconds)
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            yield
    except TimeoutError:
        if scope.expired():
            raise overdue(seconds) from None
        raise
    finally:
        PATIENCE.reset(patience)


def make_engine(url: str, *, seconds: float = SECONDS) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://…`; InvalidInput for any other, or without its driver.

    `seconds` is what one transaction may take.
    """
    wanted = parsed(url)
    backend = wanted.get_backend_name()
    if backend == "sqlite":
        return Engine(sqlite_engine(wanted, seconds=seconds), seconds=seconds)
    if backend == "postgresql":
        return Engine(postgresql_engine(wanted, seconds=seconds), seconds=seconds)
    raise InvalidInput(f"{backend!r} databases are not supported: use sqlite:///… or postgresql://…")
