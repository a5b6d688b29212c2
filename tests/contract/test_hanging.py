"""What transactions promise when PostgreSQL, or the network to it, does not answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db import Database, open_database
from gristmill.db.engine import Engine, make_engine
from gristmill.ports import StateUnavailable
from tests.contract.databases import Postgres
from tests.contract.records import service
from tests.wires import Wire, running_wire

SECONDS = 1.0


@pytest.fixture
def wire(postgres: Postgres) -> Any:
    name = postgres.new_database().split("/")[3].split("?")[0]
    with running_wire(postgres.socket) as made:
        yield made, f"postgresql://postgres@127.0.0.1:{made.port}/{name}?sslmode=disable"
        made.mend()


@pytest.fixture
async def database(wire: tuple[Wire, str]) -> AsyncIterator[Database]:
    opened = await open_database(wire[1], seconds=SECONDS)
    yield opened
    wire[0].mend()
    await opened.close()


async def unavailable_within(seconds: float, asked: Awaitable[object]) -> None:
    began = time.monotonic()
    with pytest.raises(StateUnavailable, match="does not answer"):
        await asked
    assert time.monotonic() - began < seconds


async def test_however_many_ask_each_is_told_in_time_and_all_is_well_afterwards(
    wire: tuple[Wire, str], database: Database
) -> None:
    wire[0].cut()
    reads = [unavailable_within(SECONDS + 2, database.revision()) for _ in range(30)]
    writes = [unavailable_within(SECONDS + 2, database.services.add(service("s", str(i)))) for i in range(5)]
    await asyncio.gather(*reads, *writes)
    await unavailable_within(1.5, database.revision(seconds=0.3))
    assert database.silence > SECONDS
    wire[0].mend()
    assert await database.revision() == 0
    assert database.silence < 1
    assert await database.services.add(service()) == 1


async def test_connections_that_were_lost_without_a_word_are_made_anew_within_the_same_call(
    wire: tuple[Wire, str],
) -> None:
    opened = await open_database(wire[1], seconds=4 * SECONDS)
    await asyncio.gather(*(opened.revision() for _ in range(8)))
    wire[0].lose()
    assert await asyncio.gather(*(opened.revision() for _ in range(8))) == [0] * 8
    assert await opened.services.add(service()) == 1
    await opened.close()


async def test_a_caller_that_leaves_is_not_kept_by_a_network_that_hangs(
    wire: tuple[Wire, str], database: Database
) -> None:
    wire[0].cut()
    asking = asyncio.create_task(database.revision(seconds=60))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert time.monotonic() - began < 1


async def test_closing_ends_although_a_write_is_under_way(wire: tuple[Wire, str]) -> None:
    opened = await open_database(wire[1], seconds=SECONDS)
    wire[0].cut()
    writing = asyncio.create_task(opened.services.add(service()))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await opened.close()
    assert time.monotonic() - began < 2 * SECONDS + 1
    with pytest.raises(StateUnavailable):
        await writing


@pytest.fixture
async def engine(postgres: Postgres) -> AsyncIterator[Engine]:
    made = make_engine(postgres.new_database(), seconds=SECONDS)
    yield made
    await made.close()


async def settings(connection: AsyncConnection) -> tuple[str, ...]:
    names = ("statement_timeout", "idle_in_transaction_session_timeout")
    return tuple([str((await connection.exec_driver_sql(f"SHOW {name}")).scalar()) for name in names])


async def test_the_server_gives_up_at_the_same_time_and_lets_locks_of_a_lost_node_go(engine: Engine) -> None:
    async with engine.read() as connection:
        assert await settings(connection) == ("1s", "2s")
    async with engine.read(seconds=90) as connection:
        assert await settings(connection) == ("90s", "90s")
    async with engine.read() as connection:
        assert await settings(connection) == ("1s", "2s")


async def test_a_statement_that_takes_too_long_is_given_up(engine: Engine) -> None:
    async def slow(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("SELECT pg_sleep(30)"))

    await unavailable_within(SECONDS + 2, engine.write(slow))
    async with engine.read() as connection:
        assert (await connection.execute(sa.text("SELECT 1"))).scalar() == 1


async def test_what_a_url_says_of_time_outs_goes_before_ours(postgres: Postgres) -> None:
    made = make_engine(postgres.new_database() + "&options=-c%20statement_timeout%3D7000", seconds=SECONDS)
    async with made.read() as connection:
        assert await settings(connection) == ("7s", "2s")
    await made.close()
