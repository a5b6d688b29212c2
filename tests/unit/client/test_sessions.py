"""Sessions from Python."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import dill
import pandas as pd
import pytest

from gristmill.client import Client, connect_async, errors
from tests.unit.client.fake import URL, FakeServer


def test_a_session_is_closed_when_its_block_ends(client: Client, fake: FakeServer) -> None:
    with client.session(name="mine") as session:
        assert (session.id, session.runtime, session.name) == ("s1", "Python", "mine")
    assert fake.body("POST /sessions") == {"name": "mine", "runtimeType": "Python"}
    assert fake.did()[-1] == "DELETE /sessions/s1"


def test_a_session_whose_block_fails_is_closed_by_force(client: Client, fake: FakeServer) -> None:
    with pytest.raises(ZeroDivisionError), client.session("R"):
        raise ZeroDivisionError
    assert fake.did()[-1] == "DELETE /sessions/s1/force"


def test_code_takes_variables_and_brings_some_back(client: Client, fake: FakeServer) -> None:
    outputs = [{"name": "y", "value": [1, 2]}, {"name": "f", "value": {"a": [1]}}]
    fake.execute = lambda body: {"outputParameters": outputs, "consoleOutput": "hi\n", "changedFiles": ["a"]}
    with client.session() as session:
        result = session.execute("y = x", inputs={"x": pd.DataFrame({"a": [1]}), "k": 2}, outputs=["y", "f"])
    assert fake.body("POST /sessions/s1/execute") == {
        "code": "y = x",
        "inputParameters": [{"name": "x", "value": {"a": [1]}}, {"name": "k", "value": 2}],
        "outputParameters": ["y", "f"],
    }
    assert result.output("y").tolist() == [1, 2]
    assert result.output("f").shape == (1, 1)
    assert (result.console_output, result.changed_files) == ("hi\n", ["a"])


def test_code_that_fails_is_a_result_that_says_so(client: Client, fake: FakeServer) -> None:
    fake.execute = lambda body: {"success": False, "errorMessage": "NameError: x"}
    with client.session() as session:
        result = session.execute("x")
        assert result.error == "NameError: x"
        with pytest.raises(errors.CodeFailed, match="the code of session s1 failed: NameError: x"):
            result.check()


def test_objects_go_to_python_by_dill_and_come_back(client: Client, fake: FakeServer) -> None:
    with client.session() as session:
        session.put({"a": {1}}, b=2)
        assert session.objects() == ["a", "b"]
        assert dill.loads(fake.workspace["a"]) == {1}
        assert session.get("a") == {1}
        session.remove("a")
        with pytest.raises(errors.NotFound, match="there is no a"):
            session.get("a")
        fake.workspace["broken"] = b"?"
        with pytest.raises(errors.InvalidInput, match="the object 'broken' came, and cannot be loaded here"):
            session.get("broken")


def test_objects_go_to_r_as_values(client: Client, fake: FakeServer) -> None:
    with client.session("R") as session:
        session.put(x=[1, 2])
        sent = fake.body("POST /sessions/s1/execute")
        assert sent["inputParameters"] == [{"name": "x", "value": [1, 2]}]
        fake.workspace["x"] = b""
        fake.execute = lambda body: {"outputParameters": [{"name": "x", "value": 3}]}
        assert session.get("x") == 3
        with pytest.raises(errors.NotFound, match="there is no object 'y'"):
            session.get("y")


def test_files_go_up_and_down(client: Client, fake: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a\n1\n")
    sent: list[Any] = []
    with client.session() as session:
        assert session.upload(path) == "rows.csv"
        assert session.upload(b"x", "b.bin") == "b.bin"
        with path.open("rb") as file:
            assert session.upload(file, "c.csv", progress=lambda done, size: sent.append(done)) == "c.csv"
        with pytest.raises(errors.InvalidInput, match="give the uploaded file a name"):
            session.upload(io.BytesIO(b"x"))
        with pytest.raises(errors.InvalidInput, match=r"no.csv cannot be read: No such file"):
            session.upload(tmp_path / "no.csv")
        assert session.files() == ["b.bin", "c.csv", "rows.csv"]
        assert session.download("rows.csv", tmp_path / "copy.csv") == b"a\n1\n"
        assert (tmp_path / "copy.csv").read_bytes() == b"a\n1\n"
        assert session.download("b.bin", tmp_path) == b"x"
        session.remove_file("b.bin")
        assert session.files() == ["c.csv", "rows.csv"]


def test_the_rest_of_a_session_is_a_request_each(client: Client, fake: FakeServer) -> None:
    with client.session(snapshot="old") as session:
        assert session.snapshot("kept") == "snap1"
        session.load_snapshot("snap1")
        assert session.console() == "so far"
        assert session.history() == ["x = 1"]
        session.cancel()
        assert "Python" in repr(session)
        assert "AsyncSession" not in repr(session)
        assert session._repr_html_().startswith("<table")
    assert fake.body("POST /sessions")["snapshotId"] == "old"
    assert "POST /sessions/s1/loadsnapshot/snap1" in fake.did()
    assert "POST /sessions/s1/cancel" in fake.did()


def test_sessions_and_snapshots_are_listed(client: Client, fake: FakeServer) -> None:
    (session,) = client.sessions()
    assert (session.id, session.name) == ("s1", "mine")
    assert client.snapshots() == [{"id": "snap1"}]
    assert client.download_snapshot("snap1") == b"zip"
    client.delete_snapshot("snap1")
    assert client.status()["statusCode"] == "pass"
    assert repr(client) == f"<Client {URL} as ann>"


async def test_on_an_event_loop_a_session_is_awaited(fake: FakeServer) -> None:
    client = await connect_async(URL, username="ann", password="right", transport=fake.transport)
    told: list[int] = []
    async with client, await client.session() as session:
        await session.put(a=1)
        await session.upload(b"x" * 300_000, "big", progress=lambda done, size: told.append(done))
        assert await session.get("a") == 1
    assert len(fake.files["big"]) == 300_000
