"""A server whose disk is full: it says which and goes on with what it can; with room again all is well."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import stopping
from tests.e2e.publishing import call, publish
from tests.servers import Server, start_server
from tests.small_disks import fill, small_disk

MIB = 2**20


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[Server]:
    """A server whose data folder is a disk of 64 MiB."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(small_disk(tmp_path / "data", 64))
        yield stack.enter_context(stopping(start_server(tmp_path, "--pool-initial", "1")))


def refused(answer: httpx.Response, data: Path) -> None:
    assert (answer.status_code, answer.json()["exceptionType"]) == (507, "StorageFull"), answer.text
    assert f"the disk of {data}" in answer.json()["message"]
    assert "retry-after" in answer.headers


def until(right: Callable[[], bool]) -> None:
    end = time.monotonic() + 40
    while not right():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.2)


def staged(data: Path) -> list[Path]:
    return list((data / "staging").iterdir())


@pytest.mark.timeout(180)
def test_a_full_disk_is_507_and_seen_and_calls_go_on(cramped: Server) -> None:
    data = cramped.data
    with cramped.client() as client:
        path = publish(client, "double", "y = 2 * x", inputs={"x": "numeric"}, outputs={"y": "numeric"})
        exported = client.get("/exported-services/double/1").content
        session = client.post("/sessions", json={"name": "s", "runtimeType": "Python"}).json()["sessionId"]
        filling = fill(data)
        large = "y = 1 #" + "x" * (8 * MIB)
        refused(client.post("/services/large/1", json={"code": large, "runtimeType": "Python"}), data)
        refused(client.post("/exported-services?name=z", content=exported + b"x" * (2 * MIB)), data)
        sent = {"file": ("large.bin", io.BytesIO(b"x" * (4 * MIB)))}
        refused(client.post(f"/sessions/{session}/files", files=sent), data)
        refused(client.post(f"/sessions/{session}/workspace/x", content=b"x" * (4 * MIB)), data)
        assert call(client, path, x=4) == {"y": 8}
        report = client.get("/status").json()
        until(lambda: client.get("/status").json()["components"]["storage"]["statusCode"] == "fail")
        ready = httpx.get(f"{cramped.url}/health/ready", timeout=10)
        assert (ready.status_code, ready.json()["status"]) == (200, "warn")
        assert f"the disk of {data} is full" in ready.json()["message"]
        assert report["components"]["database"]["statusCode"] == "pass"
        assert staged(data) == []
        filling.unlink()
        publish(client, "large", large)
        answer = client.post("/exported-services?name=copy", content=exported)
        assert answer.status_code == 201, answer.text
        assert call(client, "/api/copy/1", x=5) == {"y": 10}
    assert "Traceback" not in cramped.log.read_text()


@pytest.mark.timeout(90)
def test_what_a_killed_server_left_on_its_way_in_is_removed_at_the_next_start(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    left = tmp_path / "data" / "staging"
    (left / "folder").mkdir(parents=True)
    (left / "folder" / "part").write_bytes(b"half")
    (left / "spooled").write_bytes(b"half")
    server = serve("--pool-initial", "1")
    assert staged(server.data) == []
