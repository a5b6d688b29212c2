"""PostgreSQL commits, and the connection breaks before it can say so: what was done is done, and once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from gristmill.batch import BatchRunner
from gristmill.batches import Batches, BatchSettings
from gristmill.db import Database, open_database
from gristmill.jobs import Batch, BatchState
from gristmill.registry import Registry
from gristmill.testing import MemoryBlobs
from tests.contract.databases import Postgres, postgres_programs, running_postgres
from tests.contract.records import service
from tests.fake_shells import until
from tests.unit.test_batch import ANN, FakeDispatcher

_COMMIT = b"COMMIT"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    with running_postgres(programs) as server:
        yield server


class Line:
    """A proxy before PostgreSQL. `cut_after` names a table: the next transaction that writes to it commits,
    and its connection is cut before the answer.
    """

    def __init__(self, directory: str) -> None:
        self.path = f"{directory}/.s.PGSQL.5432"
        self.cut_after = b""
        self.cuts = 0
        self.served: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.served.add(task)
        theirs, ours = await asyncio.open_unix_connection(self.path)
        held = asyncio.Event()  #: nothing goes back any more
        back = asyncio.create_task(self._back(theirs, writer, held))
        wrote = False
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                wrote |= bool(self.cut_after) and b"INSERT INTO " + self.cut_after in data
                if wrote and _COMMIT in data:
                    held.set()
                    self.cut_after = b""
                ours.write(data)
                await ours.drain()
                if held.is_set():
                    await back  # PostgreSQL has answered
                    self.cuts += 1
                    writer.transport.abort()
                    break
        ours.close()
        await asyncio.gather(back, return_exceptions=True)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await ours.wait_closed()
            await writer.wait_closed()

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if held.is_set():
                    return
                writer.write(data)
                await writer.drain()


@contextlib.asynccontextmanager
async def over_a_line(postgres: Postgres) -> AsyncIterator[tuple[Line, Database]]:
    url = postgres.new_database()
    path, _, directory = url.partition("?host=")
    line = Line(directory)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = await open_database(path.replace("postgres@/", f"postgres@127.0.0.1:{port}/"))
    try:
        yield line, database
    finally:
        await database.close()
        server.close()
        await asyncio.wait(line.served, timeout=10)


async def start(database: Database, runner: BatchRunner, folder: Path, items: int) -> Batch:
    batches = Batches(
        database.batches, runner._places.blobs, runner, settings=BatchSettings(), staging=folder
    )
    with batches.intake() as intake:
        await intake.feed(msgspec.json.encode(list(range(items))))
        intake.finish_json()
        return await batches.start(service(), intake, ANN, parallel=4)


@pytest.mark.parametrize("table", ["batch_results", "batches"])
async def test_a_batch_goes_on_to_its_end(postgres: Postgres, tmp_path: Path, table: str) -> None:
    async with over_a_line(postgres) as (line, database):
        runner = BatchRunner(
            database.batches,
            MemoryBlobs(),
            cast(Any, FakeDispatcher()),
            lambda name, version: service(),
            holder="n",
        )
        await runner.start()
        line.cut_after = table.encode()
        batch = await start(database, runner, tmp_path, 200)
        await until(lambda: line.cuts == 1)
        async with asyncio.timeout(20):
            while True:
                change = runner.change  # before the look, so that none is missed
                now = await database.batches.get(batch.id) or batch
                if now.ended:
                    break
                await change.wait()
        await runner.close()
        assert (now.state, now.completed, now.message) == (BatchState.COMPLETE, 200, "")
        assert await database.batches.of("bos", "1", None) == [batch.id]


async def test_a_publish_is_no_conflict_with_itself(postgres: Postgres) -> None:
    async with over_a_line(postgres) as (line, database):
        registry = Registry(database.services, database.snapshots)
        await registry.refresh()
        line.cut_after = b"services"
        published = await registry.publish(service(), None, ANN)
        assert line.cuts == 1
        assert (await database.services.load())[1] == [published] == registry.versions()
