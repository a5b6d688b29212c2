"""Every adapter of every port."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.blobs import DirectoryBlobs
from gristmill.db import default_url, open_database
from gristmill.db.engine import make_engine
from gristmill.db.tables import installation, metadata, revisions
from gristmill.ports import BlobStore, Stores
from gristmill.testing import MemoryBlobs, MemoryStores
from tests.contract.databases import Postgres, postgres_programs, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, or a skip where there is none."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    with running_postgres(programs) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """One database for all tests of stores: emptying it is quicker than making another."""
    return postgres.new_database()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    """Empty stores: the fake, and each database."""
    if request.param == "memory":
        yield MemoryStores()
        return
    url = default_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    database = await open_database(url)
    if request.param == "postgresql":
        await _empty(url)
    yield database
    await database.close()


async def _empty(url: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        names = ", ".join(
            table.name for table in metadata.sorted_tables if table not in (revisions, installation)
        )
        await connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY"))
        await connection.execute(sa.update(revisions).values(value=0))

    engine = make_engine(url)
    await engine.write(work)
    await engine.close()


@pytest.fixture(params=["memory", "directory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty blob store: the fake, and each adapter."""
    return MemoryBlobs() if request.param == "memory" else DirectoryBlobs(tmp_path / "blobs")
