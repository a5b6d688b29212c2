"""SQLAlchemy's engines for the two kinds of database, with their settings and time-outs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gristmill import disk
from gristmill.errors import InvalidInput
from gristmill.ports import StateUnavailable

if TYPE_CHECKING:
    import psycopg

__all__ = ["PATIENCE", "parsed", "postgresql_engine", "sqlite_engine"]

#: How long a SQLite writer waits for one of another process before the caller is told to come again.
BUSY_MILLISECONDS = 10_000
#: Seconds that one exchange with a PostgreSQL server may take in this context; None: as the engine was told.
PATIENCE: ContextVar[float | None] = ContextVar("PATIENCE", default=None)


def parsed(url: str) -> sa.URL:
    """A database URL in its parts. Raises InvalidInput, without its text: it may hold a password."""
    try:
        found = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput("that is not a database URL: use sqlite:///… or postgresql://…") from None
    return found.set(drivername="postgresql") if found.drivername == "postgres" else found


def sqlite_engine(url: sa.URL, *, seconds: float) -> AsyncEngine:
    """An engine for a file, which is made if need be; StateUnavailable, StorageFull."""
    if not url.database or url.database == ":memory:":
        raise InvalidInput("a SQLite database needs a file: sqlite:///path/to/gristmill.db")
    path = Path(url.database)
    try:
        _make_private(path)
    except OSError as error:
        if disk.is_full(error):
            raise disk.full(path.parent, "the database") from error
        raise StateUnavailable(
            f"the database file {path} cannot be made or opened: {error.strerror}; check its folder and the "
            "rights to it, or choose another with --data or --database"
        ) from error
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        connect_args={"isolation_level": None},
        pool_timeout=seconds,
        hide_parameters=True,  # else errors, and so the log, show what was to be stored
    )
    sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def postgresql_engine(url: sa.URL, *, seconds: float) -> AsyncEngine:
    """An engine whose connections answer within `seconds` or break. Raises InvalidInput without a driver.

    Whatever driver a URL names, psycopg is used. What it says of time-outs goes before ours.
    """
    try:
        connect = _connector(seconds, given=str(url.query.get("options", "")))
    except ImportError as error:
        missing = (
            "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be used ({error})"
        )
        text = " ".join(missing.split())
        raise InvalidInput(
            f"a PostgreSQL database needs the package psycopg, which {text}: "
            "pip install 'gristmill[postgres]'"
        ) from None
    engine = create_async_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_timeout=seconds,
        hide_parameters=True,
        connect_args={"async_creator_fn": connect, **_unless_given(url, _libpq_options(seconds))},
    )
    dialect = engine.sync_engine.dialect
    dialect.do_ping = partial(_ping, dialect.do_ping, seconds)  # type: ignore[method-assign]
    return engine


def _ping(ping: Callable[[Any], bool], seconds: float, connection: Any) -> bool:
    """Look whether a pooled connection still works, in a quarter of the time: the rest is for a new one.

    SQLAlchemy makes a new one, and drops all that are older, when this fails.
    """
    patience = PATIENCE.set((PATIENCE.get() or seconds) / 4)
    try:
        return ping(connection)
    finally:
        PATIENCE.reset(patience)


def _libpq_options(seconds: float) -> dict[str, int]:
    """Time-outs of libpq and of the kernel, for a peer or a network that is gone without a word."""
    return {
        "connect_timeout": max(2, round(seconds)),  # seconds; libpq knows no less than 2
        "tcp_user_timeout": round(seconds * 1000),
        "keepalives": 1,
        "keepalives_idle": max(1, round(seconds)),
        "keepalives_interval": max(1, round(seconds / 3)),
        "keepalives_count": 3,
    }


def _unless_given(url: sa.URL, options: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in options.items() if name not in url.query}


def _connector(seconds: float, *, given: str) -> Callable[..., Awaitable[Any]]:
    """How connections are made whose every exchange with the server is bounded."""
    import psycopg

    class Bounded(psycopg.AsyncConnection[Any]):
        """Breaks its socket when the server does not answer in time, or nobody waits for the answer any more.

        psycopg itself would then ask the server to cancel, and wait for that: a network that hangs keeps it.
        """

        async def wait(self, *arguments: Any, **named: Any) -> Any:
            patience = PATIENCE.get() or seconds
            cutting = asyncio.get_running_loop().call_later(patience, _cut, self)
            try:
                return await super().wait(*arguments, **named)
            except psycopg.Error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError from None
                raise
            finally:
                cutting.cancel()

        async def cancel_safe(self, *, timeout: float = 0.0) -> None:  # noqa: ASYNC109 - psycopg's signature
            _cut(self)

    async def connect(*arguments: Any, **named: Any) -> Any:
        made = await Bounded.connect(*arguments, **named)
        try:
            await _bound_statements(made, seconds, given)
        except BaseException:
            await made.close()
            raise
        return made

    return connect


async def _bound_statements(connection: psycopg.AsyncConnection[Any], seconds: float, given: str) -> None:
    """Let the server give up too, and let go of the locks of a node that has vanished within a transaction.

    Set after connecting, since not every pooler lets options of a connection pass.
    """
    bounds = {"statement_timeout": seconds, "idle_in_transaction_session_timeout": 2 * seconds}
    wanted = [f"SET {name} = {round(value * 1000)}" for name, value in bounds.items() if name not in given]
    if wanted:
        await connection.set_autocommit(True)
        await connection.execute("; ".join(wanted))
        await connection.set_autocommit(False)


def _cut(connection: psycopg.AsyncConnection[Any]) -> None:
    """End the connection on this side at once: whoever waits for it reads its end."""
    with contextlib.suppress(OSError):  # it is closed already
        if not connection.closed:
            with socket.socket(fileno=os.dup(connection.fileno())) as ours:
                ours.shutdown(socket.SHUT_RDWR)


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
