"""The SQLite database as files and processes see it: migrations, locks, privacy."""

import asyncio
import multiprocessing
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db import Database, default_url, open_database
from gristmill.db.engine import make_engine
from gristmill.db.migrate import HEAD, MIGRATIONS
from gristmill.errors import InvalidInput, NotFound
from gristmill.ports import StateUnavailable
from gristmill.registry import Registry
from tests.contract.records import family, service, user


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await open_database(default_url(tmp_path))
    yield database
    await database.close()


def test_the_head_in_the_code_is_that_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_every_connection_is_durable_and_holds_to_foreign_keys(tmp_path: Path) -> None:
    engine = make_engine(default_url(tmp_path))

    async def pragma(connection: AsyncConnection, name: str) -> object:
        return (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()

    async def settings(connection: AsyncConnection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [await pragma(connection, name) for name in names]

    async with engine.read() as first, engine.read() as second:
        for connection in (first, second):
            assert await settings(connection) == ["wal", 2, 1, 10_000]
    await engine.close()


async def test_the_files_are_the_servers_alone(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    database = await open_database(default_url(data))
    await database.users.add(user())
    assert data.stat().st_mode & 0o777 == 0o700
    files = {path.name: path.stat().st_mode & 0o777 for path in data.iterdir()}
    assert files.keys() == {"gristmill.db", "gristmill.db-wal", "gristmill.db-shm"}
    assert set(files.values()) == {0o600}
    await database.close()


async def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    data = tmp_path / "a b%20c?d#ü"
    database = await open_database(default_url(data))
    await database.close()
    assert [path.name for path in data.iterdir()] == ["gristmill.db"]


def _open_once(url: str) -> str:
    async def run() -> str:
        database = await open_database(url)
        try:
            return str(await database.revision())
        finally:
            await database.close()

    return asyncio.run(run())


@pytest.mark.timeout(120)
def test_servers_that_start_at_once_on_a_new_database_do_not_collide(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gristmill.db", "alembic.command"])
    with ProcessPoolExecutor(6, mp_context=context) as processes:
        for i in range(3):
            urls = [default_url(tmp_path / str(i))] * 6
            assert list(processes.map(_open_once, urls)) == ["0"] * 6


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://localhost/x", "'mysql' databases are not supported"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("no url", "is not a database URL"),
    ],
)
async def test_a_url_of_another_kind_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        await open_database(url)


async def test_a_file_that_is_no_database_is_unavailable_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "gristmill.db"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(StateUnavailable):
        await open_database(default_url(tmp_path))
    assert path.read_bytes() == b"something else" * 1000


async def test_a_writer_elsewhere_is_waited_for_while_readers_go_on(
    database: Database, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "gristmill.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(database.services.add(service()))
    assert await database.services.revision() == 0
    assert not writing.done()
    other.execute("COMMIT")
    other.close()
    assert await writing == 1


async def test_a_caller_that_leaves_does_not_tear_its_write(database: Database) -> None:
    for i in range(20):
        writing = asyncio.create_task(database.services.add(service("bos", str(i))))
        for _ in range(i):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    last = await database.services.add(service("last"))
    revision, services = await database.services.load()
    assert revision == last == len(services)


async def test_text_that_cannot_be_stored_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInput, match="cannot be stored"):
        await database.services.add(replace(service(), code="\ud800"))
    assert await database.services.load() == (0, [])


async def test_two_processes_see_each_other_through_the_revision(tmp_path: Path) -> None:
    here, there = [await open_database(default_url(tmp_path)) for _ in range(2)]
    registry = Registry(here.services, here.snapshots)
    await registry.refresh()
    await there.services.add(service())
    with pytest.raises(NotFound):
        registry.resolve("bos", "1")
    await registry.refresh()
    assert registry.resolve("bos", "1") == service()
    before = await here.revision()
    await there.users.add(user())
    await there.tokens.start(family(), password_hash="hash of ann")
    assert await here.revision() == before
    await there.tokens.revoke("f1")
    assert await here.revision() == before + 1
    for database in (here, there):
        await database.close()
