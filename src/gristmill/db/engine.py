"""Connections: settings of SQLite and PostgreSQL, reading and writing transactions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gristmill.errors import InvalidInput
from gristmill.ports import StateUnavailable

__all__ = ["Engine", "make_engine"]

T = TypeVar("T")
log = structlog.get_logger(__name__)
#: How long a writer waits for another before the caller is told to come again.
BUSY_MILLISECONDS = 10_000


class Engine:
    """Transactions on one database: any number of readers, writers one after another."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(gristmill_begin="BEGIN IMMEDIATE")
        #: SQLite has one writer at a time, and makes others poll: they wait here instead, in order.
        self._turn = asyncio.Semaphore(1 if engine.dialect.name == "sqlite" else 1_000_000)
        self._writing: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database and is rolled back."""
        with _Translated():
            async with self._engine.connect() as connection:
                yield connection

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `work` in a transaction, durable on return, undone if it raises.

        A caller that is cancelled leaves the transaction to end on its own: a COMMIT must not be torn.
        """
        task = asyncio.ensure_future(self._write(work))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with _Translated():
            async with self._turn, self._writer.begin() as connection:
                return await work(connection)

    async def close(self) -> None:
        """Wait for writes under way, then disconnect."""
        await asyncio.gather(*self._writing, return_exceptions=True)
        await self._engine.dispose()


class _Translated:
    """Drivers' trouble becomes StateUnavailable; the driver's text, which may name hosts, goes to the log."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (UnicodeEncodeError, DataError)):
            raise InvalidInput(
                "a text holds a character that cannot be stored: NUL, or half of a pair"
            ) from error
        if isinstance(error, IntegrityError) or not isinstance(error, (DBAPIError, PoolTimeout)):
            return
        log.error("database_failed", reason=str(getattr(error, "orig", None) or error))
        raise StateUnavailable("the database does not answer; try again shortly") from error


def make_engine(url: str) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://…`; InvalidInput for any other."""
    try:
        parsed = sa.make_url(url)
    except ArgumentError:  # its text is not passed on: it may hold a password
        raise InvalidInput("that is not a database URL: use sqlite:///… or postgresql://…") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise InvalidInput("a SQLite database needs a file: sqlite:///path/to/gristmill.db")
        _make_private(Path(parsed.database))
        engine = create_async_engine(
            parsed.set(drivername="sqlite+aiosqlite"),
            connect_args={"isolation_level": None},
            hide_parameters=True,  # else errors, and so the log, show what was to be stored
        )
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return Engine(engine)
    if backend == "postgresql":
        target = parsed.set(drivername="postgresql+psycopg")
        return Engine(create_async_engine(target, pool_pre_ping=True, hide_parameters=True))
    raise InvalidInput(f"{backend!r} databases are not supported: use sqlite:///… or postgresql://…")


def _make_private(path: Path) -> None:
    """Create the file with mode 0600 before SQLite makes it readable for others, and its name durable."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _prepare_sqlite(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """The driver is in autocommit: on its own it begins too late for reads, and deferred for writes."""
    connection.exec_driver_sql(connection.get_execution_options().get("gristmill_begin", "BEGIN"))
