"""Snapshots in both languages: kept, loaded, and published as services that outlive them."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import dill
import httpx
import pytest

from tests.e2e.protocol import BOTH, accepted, refused
from tests.e2e.publishing import call, parameters, publish
from tests.e2e.remote import Remote

pytestmark = pytest.mark.timeout(180)

WORKSPACE = {"Python": ".dill", "R": ".RData"}


@pytest.fixture
def session(admin: httpx.Client, runtime: str) -> Iterator[Remote]:
    """A session with an object, a function, and two files."""
    remote = Remote(admin, runtime)
    remote.run(
        "import os\nfactor = 3\ndef times(v): return factor * v\n"
        "os.makedirs('below'); _ = open('data.csv', 'w').write('a\\n10\\n')\n"
        "_ = open('below/é.bin', 'wb').write(bytes(range(256)))",
        "factor <- 3; times <- function(v) factor * v\n"
        "writeLines(c('a', '10'), 'data.csv')\n"
        "dir.create('below'); writeBin(as.raw(0:255), 'below/\\u00e9.bin')",
    )
    yield remote
    remote.close()


@pytest.fixture
def name() -> str:
    """Of a service that there has not been yet."""
    return f"from-snapshot-{uuid.uuid4().hex[:8]}"


def content_of(client: httpx.Client, snapshot: str) -> bytes:
    answer = client.get(f"/snapshots/{snapshot}")
    assert answer.status_code == 200, answer.text
    return answer.content


@BOTH
def test_a_snapshot_is_a_zip_of_the_workspace_and_all_files(session: Remote, admin: httpx.Client) -> None:
    snapshot = session.snapshot("first")
    answer = admin.get(f"/snapshots/{snapshot}")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "first.zip" in answer.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    files = {name for name in archive.namelist() if not name.endswith("/")}
    assert files == {WORKSPACE[session.runtime], "data.csv", "below/é.bin"}
    assert archive.read("data.csv") == b"a\n10\n"
    assert archive.read("below/é.bin") == bytes(range(256))
    (listed,) = (s for s in accepted(admin.get("/snapshots"), "snapshots") if s["id"] == snapshot)
    assert (listed["name"], listed["owner"]) == ("first", "admin")
    assert listed["contentSize"] == len(answer.content)
    accepted(admin.delete(f"/snapshots/{snapshot}"), "text")
    refused(admin.get(f"/snapshots/{snapshot}"), 404)
    assert snapshot not in {each["id"] for each in accepted(admin.get("/snapshots"), "snapshots")}


@pytest.mark.needs_r
@pytest.mark.parametrize("runtime", ["R"])
def test_the_workspace_file_is_what_rs_own_load_reads(session: Remote, admin: httpx.Client) -> None:
    archive = zipfile.ZipFile(io.BytesIO(content_of(admin, session.snapshot())))
    other = Remote(admin, "R")
    other.upload("ws.RData", archive.read(".RData"))
    assert other.run("", "load('ws.RData'); y <- times(2)", outputs=["y"]) == {"y": 6}
    other.close()


@BOTH
def test_a_snapshot_replaces_workspace_and_files_of_a_session(session: Remote, admin: httpx.Client) -> None:
    snapshot = session.snapshot()
    other = Remote(admin, session.runtime)
    other.run("mine = 1; _ = open('mine.txt', 'w').write('x')", "mine <- 1; cat('x', file = 'mine.txt')")
    accepted(admin.post(f"{other.path}/loadsnapshot/{snapshot}"), "text")
    assert {"factor", "times"} <= set(other.names())
    assert "mine" not in other.names()
    assert other.files() == ["below/é.bin", "data.csv"]
    assert other.download("data.csv") == b"a\n10\n"
    assert other.run("y = times(4)", "y <- times(4)", outputs=["y"]) == {"y": 12}
    other.run("factor = 5", "factor <- 5")
    accepted(admin.post(f"{other.path}/loadsnapshot/{snapshot}"), "text")
    assert other.run("y = times(4)", "y <- times(4)", outputs=["y"]) == {"y": 12}
    other.close()


@BOTH
def test_a_session_can_begin_with_a_snapshot(session: Remote, admin: httpx.Client) -> None:
    other = Remote(admin, session.runtime, snapshotId=session.snapshot())
    assert other.run("y = times(factor)", "y <- times(factor)", outputs=["y"]) == {"y": 9}
    assert other.files() == ["below/é.bin", "data.csv"]
    other.close()


@BOTH
def test_a_snapshot_stays_as_it_was_taken(session: Remote, admin: httpx.Client) -> None:
    snapshot = session.snapshot()
    before = content_of(admin, snapshot)
    session.run("factor = 99; os.remove('data.csv')", "factor <- 99; unlink('data.csv')")
    session.close()
    assert content_of(admin, snapshot) == before
    other = Remote(admin, session.runtime, snapshotId=snapshot)
    assert other.run("y = times(2)", "y <- times(2)", outputs=["y"]) == {"y": 6}
    other.close()


@pytest.mark.needs_r
@BOTH
def test_a_snapshot_of_the_other_language_is_400_everywhere(
    session: Remote, admin: httpx.Client, name: str
) -> None:
    snapshot = session.snapshot()
    other = "R" if session.runtime == "Python" else "Python"
    for answer in (
        admin.post("/sessions", json={"runtimeType": other, "snapshotId": snapshot}),
        admin.post(f"/services/{name}", json={"code": "1", "runtimeType": other, "snapshotId": snapshot}),
    ):
        message = refused(answer, 400)
        assert "R" in message
        assert "Python" in message
    remote = Remote(admin, other)
    refused(admin.post(f"{remote.path}/loadsnapshot/{snapshot}"), 400)
    remote.close()
    assert accepted(admin.get(f"/services/{name}"), "services") == []


@pytest.mark.parametrize("runtime", ["Python"])
def test_objects_that_cannot_be_serialized_are_named_and_leave_no_snapshot(
    session: Remote, admin: httpx.Client
) -> None:
    before = accepted(admin.get("/snapshots"), "snapshots")
    session.run("stream = (n for n in range(3)); import threading; lock = threading.Lock()", "")
    message = refused(admin.post(f"{session.path}/snapshot", json={}), 400)
    assert "stream" in message
    assert accepted(admin.get("/snapshots"), "snapshots") == before
    session.run("del stream; del lock", "")
    assert session.snapshot()


#: Uses an object, a function and both files, and changes one of the files for itself.
CODE = {
    "Python": (
        "import os\n"
        "rows = open('data.csv').read().split()\n"
        "y = times(x) + int(rows[1]) + os.path.getsize('below/é.bin')\n"
        "_ = open('data.csv', 'a').write('999\\n'); os.remove('below/é.bin')"
    ),
    "R": (
        "rows <- read.csv('data.csv')\n"
        "y <- times(x) + rows$a[1] + file.size('below/\\u00e9.bin')\n"
        "cat('999\\n', file = 'data.csv', append = TRUE); unlink('below/\\u00e9.bin')"
    ),
}


@BOTH
def test_a_service_outlives_the_session_and_the_snapshot_it_was_made_of(
    session: Remote, admin: httpx.Client, name: str
) -> None:
    """As the Python client does it: both are deleted right after the publish."""
    snapshot = session.snapshot()
    path = publish(
        admin,
        name,
        CODE[session.runtime],
        runtime=session.runtime,
        inputs={"x": "numeric"},
        outputs={"y": "numeric"},
        snapshotId=snapshot,
    )
    accepted(admin.delete(session.path), "text")
    accepted(admin.delete(f"/snapshots/{snapshot}"), "text")
    (shown,) = accepted(admin.get(f"/services/{name}/1"), "services")
    assert shown["snapshotId"] == snapshot
    for n in range(4):
        assert call(admin, path, x=n) == {"y": 3 * n + 10 + 256}
    result = accepted(admin.post(path, json={"x": 1}), "result")
    assert result["changedFiles"] == ["data.csv"]


@BOTH
def test_init_code_sees_the_snapshot_and_code_sees_both(
    session: Remote, admin: httpx.Client, name: str
) -> None:
    init, code = (
        ("base = times(100)", "y = base + x")
        if session.runtime == "Python"
        else ("base <- times(100)", "y <- base + x")
    )
    path = publish(
        admin,
        name,
        code,
        runtime=session.runtime,
        inputs={"x": "numeric"},
        outputs={"y": "numeric"},
        initCode=init,
        snapshotId=session.snapshot(),
    )
    assert call(admin, path, x=1) == {"y": 301}


@BOTH
def test_a_patch_can_give_a_service_another_snapshot_and_keeps_the_old_without(
    session: Remote, admin: httpx.Client, name: str
) -> None:
    first = session.snapshot()
    session.run("factor = 7", "factor <- 7")
    second = session.snapshot()
    code = "y = times(1)" if session.runtime == "Python" else "y <- times(1)"
    path = publish(admin, name, code, runtime=session.runtime, outputs={"y": "numeric"}, snapshotId=first)
    service = path.replace("/api", "/services")
    assert call(admin, path) == {"y": 3}
    accepted(admin.patch(service, json={"description": "the same"}), "text")
    accepted(admin.patch(service, json={"snapshotId": None}), "text")
    accepted(admin.delete(f"/snapshots/{first}"), "text")
    assert call(admin, path) == {"y": 3}
    accepted(admin.patch(service, json={"snapshotId": second}), "text")
    assert call(admin, path) == {"y": 7}
    refused(admin.patch(service, json={"snapshotId": first}), 404)
    assert call(admin, path) == {"y": 7}


def test_the_way_of_the_python_client(admin: httpx.Client, name: str) -> None:
    """A model by dill, a snapshot, a publish, both deleted, a call; nothing else of the API is used."""
    client: dict[str, Any] = {"__name__": "__main__"}
    exec(
        "class Model:\n    slope = 2.5\n    def predict(self, xs): return [self.slope * x for x in xs]",
        client,
    )
    remote = Remote(admin, "Python", name="Session name")
    accepted(remote.put("model", dill.dumps(client["Model"]())), "text")
    accepted(remote.put("offset", dill.dumps(1)), "text")
    snapshot = remote.snapshot("Snapshot name")
    body = {
        "code": "def score(hp):\n    return [offset + p for p in model.predict(hp)]\nanswer = score(hp)",
        "description": "a model",
        "operationId": "score",
        "snapshotId": snapshot,
        "runtimeType": "Python",
        "inputParameterDefinitions": parameters(hp="vector"),
        "outputParameterDefinitions": parameters(answer="vector"),
        "outputFileNames": [],
    }
    assert isinstance(accepted(admin.post(f"/services/{name}/v1.0.0", json=body), "text", 201), str)
    accepted(admin.delete(f"/snapshots/{snapshot}"), "text")
    accepted(admin.delete(remote.path), "text")
    assert call(admin, f"/api/{name}/v1.0.0", hp=[1, 2]) == {"answer": [3.5, 6]}
    swagger = accepted(admin.get(f"/api/{name}/v1.0.0/swagger.json"), "swagger")
    assert swagger["paths"][f"/api/{name}/v1.0.0"]["post"]["operationId"] == "score"
