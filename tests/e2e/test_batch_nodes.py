"""Two servers on one PostgreSQL and one store of content: what a killed one had, the other takes over."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import stopping
from tests.contract.databases import postgres_programs, running_postgres
from tests.e2e.batches import start
from tests.e2e.publishing import publish
from tests.e2e.test_batch_kills import CODE, wait_for
from tests.servers import Server, start_server

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def database() -> Iterator[str]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    with running_postgres(programs) as postgres:
        yield postgres.new_database()


def test_another_node_goes_on_with_the_batch_of_a_killed_one(database: str, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"

    def node(name: str) -> Server:
        folder = tmp_path / name
        folder.mkdir()
        signed = ["--signing-key", str(key)] if key.exists() else []
        return start_server(folder, "--database", database, "--blobs", str(tmp_path / "blobs"), *signed)

    with stopping(node("one")) as one:
        key.write_bytes((one.data / "signing-key.pem").read_bytes())
        key.chmod(0o600)
        with stopping(node("two")) as two, one.client() as first, two.client() as second:
            path = publish(first, "square", CODE, inputs={"x": "numeric"}, outputs={"y": "numeric"})
            batch = start(first, path, [{"x": x} for x in range(600)], parallelCount=2)
            wait_for(second, batch, 50)
            os.kill(one.process.pid, signal.SIGKILL)
            one.process.wait()
            wait_for(second, batch, 600, seconds=120)
            results = second.get(batch).json()["batchExecutionResults"]
            assert [each["outputParameters"]["y"] for each in results] == [
                float(x) ** 2 + 1 for x in range(600)
            ]
            assert [each["index"] for each in results] == list(range(600))
