"""A database URL that is wrong is told in one line, without a password, with what to do."""

import sys

import pytest

from gristmill.db import open_database
from gristmill.errors import GristmillError
from tests.contract.databases import Postgres


async def refused(url: str) -> str:
    with pytest.raises(GristmillError) as caught:
        await open_database(url, seconds=3)
    message = caught.value.message
    assert "\n" not in message
    assert "secret" not in message
    return message


@pytest.mark.parametrize(
    ("url", "says", "advises"),
    [
        ("postgresql://u:secret@127.0.0.1:1/d", "Connection refused", "check host and port"),
        ("postgresql://u:secret@no-such-host.invalid/d", "resolve host", "check the host's name"),
        ("postgresql://u:secret@127.0.0.1:1/d?sslmode=nonsense", "sslmode", "check"),
        ("postgresql://u:secret@127.0.0.1:1/d?ssl=require", 'invalid connection option "ssl"', "the URL"),
        ("postgresql://u:secret@[::1/d", "that is not a database URL", "use sqlite:///… or postgresql://…"),
        ("postgresql://u:secret@host:port/d", "that is not a database URL", "use sqlite:///…"),
        ("mysql://u:secret@host/d", "'mysql' databases are not supported", "use sqlite:///…"),
    ],
)
async def test_what_is_wrong_with_a_url_is_told(url: str, says: str, advises: str) -> None:
    message = await refused(url)
    assert says in message
    assert advises in message


async def test_a_database_or_user_that_is_not_there_is_told(postgres: Postgres) -> None:
    host = postgres.socket.parent
    message = await refused(f"postgresql://postgres:secret@/nowhere?host={host}")
    assert 'database "nowhere" does not exist; create it first' in message
    message = await refused(f"postgresql://nobody:secret@/postgres?host={host}")
    assert 'role "nobody" does not exist; create the user first' in message
    message = await refused(f"postgresql://postgres:secret@/postgres?host={host}/elsewhere")
    assert "No such file or directory; check host and port" in message


async def test_a_wrong_password_is_told(postgres: Postgres) -> None:
    url = postgres.new_database().replace("postgres@", "postgres:secret@")
    host = postgres.socket.parent
    rules = host / "data" / "pg_hba.conf"
    before = rules.read_text()
    try:
        rules.write_text("local all all scram-sha-256\n")
        postgres.run("pg_ctl", "-D", str(host / "data"), "reload")
        message = ""
        for _ in range(50):  # the server takes its rules over when it gets to it
            try:
                await (await open_database(url, seconds=3)).close()
            except GristmillError as error:
                message = error.message
                break
    finally:
        rules.write_text(before)
        postgres.run("pg_ctl", "-D", str(host / "data"), "reload")
    assert 'password authentication failed for user "postgres"; check the user\'s password' in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"]
)
async def test_urls_that_name_another_driver_are_taken(postgres: Postgres, scheme: str) -> None:
    database = await open_database(postgres.new_database().replace("postgresql", scheme, 1))
    assert await database.revision() == 0
    await database.close()


async def test_a_missing_driver_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    message = await refused("postgresql://u:secret@127.0.0.1:1/d")
    assert "needs the package psycopg" in message
    assert "pip install 'gristmill[postgres]'" in message
