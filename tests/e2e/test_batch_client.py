"""Batches by the Python client and by the command line, against a real server."""

# The functions are published, not called: names of theirs are missing on purpose.
# mypy: disable-error-code="name-defined, no-any-return, no-untyped-def, attr-defined"

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gristmill.client import Client, connect, connect_async, errors
from gristmill.compat import DeployClient, MLServer
from tests.servers import GRISTMILL, Server

pytestmark = pytest.mark.timeout(120)
Start = Callable[..., subprocess.Popen[str]]


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def double(frame: pd.DataFrame) -> np.ndarray:
    import time

    time.sleep(0.05)
    if (frame["a"] == 13).any():
        raise ValueError("thirteen")
    return frame["a"].to_numpy() * 2


def area(r: float, name: str) -> float:
    with open("note.txt", "w") as file:
        file.write(name)
    return r * r


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with connect(server.url, username="admin", password=server.password) as made:
        yield made


@pytest.fixture(scope="module")
def doubler(client: Client) -> Any:
    return client.publish(unique("double"), double, inputs={"frame": pd.DataFrame({"a": [1.0]})}, version="1")


@pytest.fixture(scope="module")
def areas(client: Client) -> Any:
    return client.publish(unique("area"), area, version="1")


def test_the_rows_of_a_frame_are_scored_in_pieces(doubler: Any) -> None:
    frame = pd.DataFrame({"a": np.arange(20.0, 45.0)})
    batch = doubler.batch(frame, parallel_count=2, rows=10)
    assert batch.id is None
    sent: list[tuple[int, int]] = []
    assert batch.start(lambda *progress: sent.append(progress)) is batch
    assert sent[-1][0] == sent[-1][1] > 0
    results = batch.results()
    assert [result.index for result in results] == [0, 1, 2]
    np.testing.assert_array_equal(np.concatenate([each.output() for each in results]), frame["a"] * 2)
    state = batch.state()
    assert (state.state, state.completed, state.failed, state.total) == ("Complete", 3, 0, 3)
    assert batch.id in doubler.batches()
    again = doubler.get_batch(batch.id)
    assert len(again.results()) == 3
    again.cancel()
    with pytest.raises(errors.NotFound, match="there is no batch"):
        batch.state()


def test_results_are_given_as_they_arrive(doubler: Any) -> None:
    batch = doubler.batch([{"frame": {"a": [float(n)]}} for n in range(20)], parallel_count=2)
    seen = {}
    for result in batch:
        seen[result.index] = result
    assert sorted(seen) == list(range(20))
    assert not seen[13].success
    assert "thirteen" in seen[13].error
    with pytest.raises(errors.CodeFailed):
        seen[13].output()
    assert list(seen[7].output()) == [14.0]
    assert batch.state().failed == 1


def test_each_row_of_a_frame_is_an_item_where_the_service_takes_scalars(areas: Any, tmp_path: Path) -> None:
    batch = areas.batch(pd.DataFrame({"r": [1.0, 2.0], "other": [0, 0], "name": ["one", "two"]}))
    assert [result.output() for result in batch.results()] == [1.0, 4.0]
    assert batch.list_artifacts(1) == ["note.txt"]
    assert batch.artifact(1, "note.txt") == b"two"
    [path] = batch.download(0, to=tmp_path)
    assert path == tmp_path / "note.txt"
    assert path.read_text() == "one"
    with pytest.raises(errors.NotFound):
        batch.artifact(0, "other.txt")
    with pytest.raises(errors.NotFound):
        batch.artifact(5, "note.txt")


def test_a_record_that_does_not_fit_is_named_before_anything_is_sent(areas: Any, doubler: Any) -> None:
    with pytest.raises(errors.InvalidInput, match=r"record 1: .*'name' is missing"):
        areas.batch([{"r": 1.0, "name": "a"}, {"r": 2.0}])
    with pytest.raises(errors.InvalidInput, match=r"record 0: .*expected float"):
        areas.batch([{"r": "one", "name": "a"}])
    with pytest.raises(errors.InvalidInput, match="no column 'name'"):
        areas.batch(pd.DataFrame({"r": [1.0]}))
    with pytest.raises(errors.InvalidInput, match="one item at least"):
        doubler.batch([])
    with pytest.raises(errors.InvalidInput, match="expected a list of inputs"):
        doubler.batch("text")
    with pytest.raises(errors.InvalidInput, match="was not started yet"):
        areas.batch([{"r": 1.0, "name": "a"}]).state()
    with pytest.raises(errors.InvalidInput, match="parallelCount is 0"):
        areas.batch([{"r": 1.0, "name": "a"}], parallel_count=0).start()


def test_partial_results_and_the_end_of_a_cancelled_batch(client: Client, doubler: Any) -> None:
    batch = doubler.batch([{"frame": {"a": [1.0]}}] * 500, parallel_count=1).start()
    first, _ = batch.arrivals()
    assert 0 < len(batch.results(partial=True)) < 500
    assert len(first) >= 1
    client.delete(doubler.name, doubler.version)
    with pytest.raises(errors.BatchFailed, match="was deleted"):
        batch.results()
    with pytest.raises(errors.BatchFailed, match="was deleted"):
        list(batch)
    client.publish(doubler.name, double, inputs={"frame": pd.DataFrame({"a": [1.0]})}, version="1")


def test_the_asynchronous_client_has_the_same(server: Server, areas: Any) -> None:
    async def story() -> list[float]:
        async with await connect_async(server.url, username="admin", password=server.password) as client:
            service = await client.service(areas.name)
            batch = service.batch([{"r": float(r), "name": "x"} for r in range(5)])
            found = {result.index: result.output() async for result in batch}
            assert [each.output() for each in await batch.results()] == [found[n] for n in range(5)]
            await batch.cancel()
            return [found[n] for n in range(5)]

    assert asyncio.run(story()) == [0.0, 1.0, 4.0, 9.0, 16.0]


def test_the_old_clients_names_for_batches_work(server: Server, client: Client) -> None:
    old = DeployClient(server.url, use=MLServer, auth=("admin", server.password))
    made = old.deploy_service(
        unique("old"), code_fn=area, inputs={"r": float, "name": str}, outputs={"a": float}, version="1"
    )
    batch = made.batch(pd.DataFrame({"name": ["one", "two"], "r": [1, 2]}), parallel_count=2)
    assert repr(batch.execution_id) == "None"
    assert batch.start() is batch
    assert batch.execution_id is not None
    client.service(made.name).get_batch(batch.execution_id).wait()
    results = made.get_batch(batch.execution_id).results()
    assert (results.state, results.completed_item_count, results.total_item_count) == ("Complete", 2, 2)
    assert [results.execution(index).output("a") for index in (0, 1)] == [1.0, 4.0]
    assert results.execution(2) is None
    assert batch.list_artifacts(0) == ["note.txt"]
    assert batch.artifact(1, "note.txt") == b"two"
    assert batch.execution_id in made.list_batch_executions()
    assert made.batch([{"r": 3, "name": "x"}]).start().execution_id in made.list_batch_executions()
    batch.cancel()
    assert batch.execution_id not in made.list_batch_executions()


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Start:
    """`start("batch", …)` in a folder of its own, logged in."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRISTMILL_")}
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "NO_COLOR": "1", "COLUMNS": "110"}

    def start(*words: str, input: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [GRISTMILL, *words],
            cwd=tmp_path,
            env={**clean, **home},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(input)
        process.stdin.close()
        process.stdin = None
        return process

    login = start("login", server.url, "-u", "admin", "--password-stdin", input=server.password + "\n")
    assert finish(login)[0] == 0
    return start


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_a_file_is_scored_to_a_file(start: Start, areas: Any, doubler: Any, tmp_path: Path) -> None:
    pd.DataFrame({"a": np.arange(20.0, 145.0)}).to_csv(tmp_path / "rows.csv", index=False)
    words = ("batch", doubler.name, "1", "--input", "rows.csv", "--by-rows", "50")
    status, told = finish(start(*words, "--output", "scored.parquet"))
    assert (status, "3 of 3 items" in told) == (0, True), told
    assert list(pd.read_parquet(tmp_path / "scored.parquet")["result"]) == list(np.arange(20.0, 145.0) * 2)
    assert not (tmp_path / "scored.parquet.batch").exists()
    assert finish(start(*words, "--output", "both.csv", "--with-inputs"))[0] == 0
    both = pd.read_csv(tmp_path / "both.csv")
    assert list(both.columns) == ["a", "result"]
    assert (both["a"] * 2 == both["result"]).all()

    pd.DataFrame({"r": [1.5, 2.0], "name": ["a", "b"]}).to_parquet(tmp_path / "rows.parquet")
    assert finish(start("batch", areas.name, "1", "-i", "rows.parquet", "-o", "areas.json"))[0] == 0
    assert json.loads((tmp_path / "areas.json").read_text()) == {"result": [2.25, 4.0]}


def test_items_that_fail_leave_their_rows_empty_with_the_reason(
    start: Start, doubler: Any, tmp_path: Path
) -> None:
    pd.DataFrame({"a": np.arange(10.0, 16.0)}).to_csv(tmp_path / "rows.csv", index=False)
    status, told = finish(
        start("batch", doubler.name, "1", "-i", "rows.csv", "-o", "scored.csv", "--by-rows", "2")
    )
    assert (status, "1 of 3 items failed" in told) == (6, True), told
    scored = pd.read_csv(tmp_path / "scored.csv")
    assert list(scored["result"].fillna(-1)) == [20.0, 22.0, -1.0, -1.0, 28.0, 30.0]
    assert list(scored["error"].notna()) == [False, False, True, True, False, False]
    assert "thirteen" in scored["error"][2]


def test_an_interrupted_command_goes_on_where_the_batch_is(
    start: Start, doubler: Any, tmp_path: Path
) -> None:
    pd.DataFrame({"a": np.arange(100.0, 160.0)}).to_csv(tmp_path / "rows.csv", index=False)
    words = (
        "batch",
        doubler.name,
        "1",
        "-i",
        "rows.csv",
        "-o",
        "scored.csv",
        "--by-rows",
        "1",
        "--parallel",
        "1",
    )
    first = start(*words)
    note = tmp_path / "scored.csv.batch"
    while not note.exists() or not note.read_text():
        assert first.poll() is None, first.communicate()
    id = json.loads(note.read_text())["id"]
    first.send_signal(signal.SIGINT)
    status, told = finish(first)
    assert status == 130, told
    assert "the same command" in told.lower()
    status, told = finish(start(*words))
    assert status == 0, told
    assert f"going on with the batch {id}" in told
    assert list(pd.read_csv(tmp_path / "scored.csv")["result"]) == list(np.arange(100.0, 160.0) * 2)
    assert not note.exists()

    other = start(*words)
    while not note.exists() or not note.read_text():
        assert other.poll() is None, other.communicate()
    other.send_signal(signal.SIGINT)
    assert finish(other)[0] == 130
    status, told = finish(start(*words, "--cancel"))
    assert (status, "cancelled" in told) == (0, True), told
    assert finish(start(*words, "--cancel"))[0] == 4
