"""What `open_database` promises on every kind of database."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gristmill.db import DatabaseTooNew, default_url, open_database
from gristmill.db.engine import make_engine
from gristmill.db.tables import metadata
from gristmill.ports import StateUnavailable


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database that is empty."""
    if request.param == "sqlite":
        return default_url(tmp_path)
    new: str = request.getfixturevalue("postgres").new_database()
    return new


async def test_nodes_that_open_a_new_database_at_once_do_not_collide(url: str) -> None:
    databases = await asyncio.gather(*(open_database(url) for _ in range(6)))
    assert [await database.revision() for database in databases] == [0] * 6
    for database in databases:
        await database.close()


async def test_the_migrations_make_the_tables_that_the_code_knows(url: str) -> None:
    await (await open_database(url)).close()
    engine = make_engine(url)

    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with engine.read() as connection:
        assert await connection.run_sync(differences) == []
    await engine.close()


async def test_a_database_of_a_later_release_is_left_alone(url: str) -> None:
    await (await open_database(url)).close()
    engine = make_engine(url)
    await engine.write(
        lambda connection: connection.execute(sa.text("UPDATE alembic_version SET version_num = '9'"))
    )
    with pytest.raises(DatabaseTooNew, match=r"schema '9'.*knows '0003'.*Install that later release"):
        await open_database(url)
    await engine.close()


async def test_a_server_that_does_not_answer_is_told_in_a_line_without_the_password() -> None:
    with pytest.raises(StateUnavailable) as caught:
        await open_database("postgresql://user:secret@127.0.0.1:1/name")
    assert caught.value.message == (
        "the database name at 127.0.0.1:1 cannot be used: Connection refused; "
        "check host and port, and that PostgreSQL runs there"
    )


async def test_a_database_knows_itself_when_it_is_opened_again(url: str) -> None:
    ids = set()
    for _ in range(2):
        database = await open_database(url)
        ids.add(await database.installation())
        await database.close()
    assert len(ids) == 1
