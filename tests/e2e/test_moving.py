"""Services as files, between real servers: the same scores and digests, and nothing from an unsound file."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import struct
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import gristmill
from gristmill.client.errors import Conflict, InvalidInput, NotFound
from gristmill.service_file import read_head, write_head
from gristmill.services import Runtime
from tests.conftest import stopping
from tests.e2e.accounts import add_user
from tests.e2e.publishing import call, publish
from tests.e2e.remote import Remote
from tests.realtime_models import model_file
from tests.servers import Server, start_server

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A second server."""
    with stopping(start_server(tmp_path_factory.mktemp("other"))) as running:
        yield running


@pytest.fixture(scope="module")
def there(other: Server) -> Iterator[httpx.Client]:
    with other.client() as client:
        yield client


def export(client: httpx.Client, name: str, version: str = "1") -> bytes:
    answer = client.get(f"/exported-services/{name}/{version}")
    assert answer.status_code == 200, answer.text
    return answer.content


def take_in(client: httpx.Client, data: bytes, **params: str) -> httpx.Response:
    return client.post("/exported-services", content=data, params=params)


def with_model(client: httpx.Client, name: str, runtime: str, setting: str, code: str) -> str:
    """Publish code with an object that travels by a snapshot."""
    session = Remote(client, runtime)
    session.run(setting, setting)
    path = publish(
        client,
        name,
        code,
        runtime=runtime,
        inputs={"x": "vector"},
        outputs={"y": "vector"},
        snapshotId=session.snapshot(),
        description=f"from {runtime}",
    )
    session.close()
    return path


def manifest_of(data: bytes) -> bytes:
    _, size, _ = struct.unpack_from(">20sI32s", data)
    return data[56 : 56 + size]


def forged(data: bytes, **changes: tuple[bytes, bytes]) -> bytes:
    """The file with other words in its manifest, and the digest of that made right."""
    manifest = manifest_of(data)
    content = data[56 + len(manifest) :]
    for before, after in changes.values():
        assert manifest.count(before) == 1
        manifest = manifest.replace(before, after)
    head = struct.pack(">20sI32s", data[:20], len(manifest), hashlib.sha256(manifest).digest())
    return head + manifest + content


X = [0.1, 2.5, -3.0, 1e300]


def test_a_python_service_gives_the_same_elsewhere(admin: httpx.Client, there: httpx.Client) -> None:
    path = with_model(admin, "moving-py", "Python", "factor = 1 / 3", "y = [factor * each for each in x]")
    data = export(admin, "moving-py")
    assert take_in(there, data).status_code == 201
    assert call(there, path, x=X) == call(admin, path, x=X) == {"y": [each * (1 / 3) for each in X]}
    assert export(there, "moving-py") == data == export(admin, "moving-py")


@pytest.mark.needs_r
def test_an_r_service_gives_the_same_elsewhere(admin: httpx.Client, there: httpx.Client) -> None:
    path = with_model(admin, "moving-r", "R", "factor <- 1 / 3", "y <- factor * x")
    data = export(admin, "moving-r")
    assert take_in(there, data).status_code == 201
    assert call(there, path, x=X) == call(admin, path, x=X)
    assert export(there, "moving-r") == data


def test_a_realtime_service_gives_the_same_elsewhere(admin: httpx.Client, there: httpx.Client) -> None:
    form = {"model": ("m", model_file())}
    assert admin.post("/realtime-services/moving-rt/1", files=form).status_code == 201
    data = export(admin, "moving-rt")
    assert take_in(there, data).status_code == 201
    rows = {"inputData": {"x": X[:3]}}
    answers = [client.post("/api/moving-rt/1", json=rows).json() for client in (admin, there)]
    assert answers[0]["outputParameters"] == answers[1]["outputParameters"]
    assert answers[0]["outputParameters"] == {"outputData": {"Score": [2 * each for each in X[:3]]}}
    assert export(there, "moving-rt") == data


def test_the_python_client_moves_a_service(server: Server, other: Server, tmp_path: Path) -> None:
    here, there = [
        gristmill.connect(each.url, username="admin", password=each.password) for each in (server, other)
    ]

    def triple(x: float) -> float:
        return 3 * x

    here.publish("moving-client", triple, version="1", description="times three")
    seen: list[tuple[int, int]] = []
    written = here.export("moving-client", "1", tmp_path / "x.gm", progress=lambda *told: seen.append(told))
    assert written == tmp_path / "x.gm"
    assert seen[-1] == (written.stat().st_size, written.stat().st_size)
    assert list(tmp_path.iterdir()) == [written]
    service = there.import_(written, progress=lambda *told: seen.append(told))
    assert (service.name, service.version) == ("moving-client", "1")
    assert service.triple(2.0).output() == 6.0
    assert seen[-1] == (written.stat().st_size, written.stat().st_size)
    with pytest.raises(Conflict, match="exists already"):
        there.import_(written)
    assert there.import_(written, replace=True).version == "1"
    assert there.import_(written, name="copy", version="2").triple(2.0).output() == 6.0
    with pytest.raises(NotFound):
        here.export("moving-client", "9", tmp_path / "none.gm")
    (tmp_path / "bad.gm").write_bytes(written.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match="cut off"):
        there.import_(tmp_path / "bad.gm", version="3")
    with pytest.raises(InvalidInput, match="is no exported service"):
        there.import_(Path(__file__))
    with pytest.raises(InvalidInput, match="cannot be written: No such file"):
        here.export("moving-client", "1", tmp_path / "nowhere/x.gm")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.gm", "x.gm"]


async def test_the_asynchronous_client_moves_a_service(server: Server, tmp_path: Path) -> None:
    async with await gristmill.connect_async(
        server.url, username="admin", password=server.password
    ) as client:
        await client.publish("moving-async", "y = x", inputs={"x": float}, outputs={"y": float}, version="1")
        seen: list[tuple[int, int]] = []
        file = await client.export(
            "moving-async", "1", tmp_path / "x.gm", progress=lambda *told: seen.append(told)
        )
        service = await client.import_(file, version="2", progress=lambda *told: seen.append(told))
        assert service.version == "2"
        size = file.stat().st_size
        assert seen.count((size, size)) == 2


def test_only_who_may_change_a_service_exports_it_and_only_who_may_publish_imports(
    server: Server, admin: httpx.Client, tmp_path: Path
) -> None:
    publish(admin, "moving-mine", "y = x", inputs={"x": "numeric"}, outputs={"y": "numeric"})
    data = export(admin, "moving-mine")
    with (
        add_user(server, "moving-carl", "contributor") as carl,
        add_user(server, "moving-rita", "reader") as rita,
    ):
        for client in (carl, rita):
            answer = client.get("/exported-services/moving-mine/1")
            assert (answer.status_code, answer.json()["exceptionType"]) == (403, "Forbidden")
        assert take_in(rita, data, version="rita").status_code == 403
        assert take_in(carl, data, version="carl").status_code == 201
        assert take_in(carl, data, replace="true").status_code == 403
        found = carl.get("/services/moving-mine/carl").json()[0]
        assert (found["versionPublishedBy"], found["code"]) == ("moving-carl", "y = x")
        assert export(carl, "moving-mine", "carl") != data
    assert httpx.get(f"{server.url}/exported-services/moving-mine/1").status_code == 401
    assert httpx.post(f"{server.url}/exported-services", content=data).status_code == 401


def test_a_service_with_shells_of_its_own_has_them_elsewhere(
    admin: httpx.Client, there: httpx.Client
) -> None:
    path = publish(admin, "moving-pool", "y = x", inputs={"x": "numeric"}, outputs={"y": "numeric"})
    size = {"InitialPoolSize": 1, "MaxPoolSize": 1}
    admin.post("/services/moving-pool/1/pool", json=size).raise_for_status()
    assert take_in(there, export(admin, "moving-pool")).status_code == 201
    assert call(there, path, x=1.0) == {"y": 1.0}
    states = {each["Status"] for each in there.get("/services/moving-pool/1/pool").json()}
    assert states <= {"Success", "Pending"}


@pytest.fixture(scope="module")
def sound(admin: httpx.Client) -> bytes:
    """The file of a service with content."""
    with_model(admin, "moving-sound", "Python", "a = 1", "y = x")
    return export(admin, "moving-sound")


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name.replace("__", "/"), content)
    return file.getvalue()


def unsound(sound: bytes) -> dict[str, bytes]:
    manifest = manifest_of(sound)
    end = 56 + len(manifest)
    nine = (b'"version":"1"', b'"version":"9"')
    return {
        "empty": b"",
        "another kind": archive(a=b"x"),
        "no manifest": sound[:56],
        "cut off": sound[:-1],
        "no content": sound[:end],
        "other content": sound[:end] + b"x" * (len(sound) - end),
        "more content": sound + b"x",
        "later format": sound.replace(b"gristmill-service 1", b"gristmill-service 2"),
        "huge manifest": struct.pack(">20sI32s", sound[:20], 2**32 - 1, b"") + b"{}",
        "damaged manifest": sound.replace(b'"code":"y = x"', b'"code":"y = 2"'),
        "other code": forged(sound, code=(b'"code":"y = x"', b'"code":"y = 2"')),
        "name": forged(sound, name=(b'"name":"moving-sound"', b'"name":"../../x"')),
        "digest of another": forged(sound, version=nine),
        "wrong type": forged(sound, flag=(b'"batchable":false', b'"batchable":"no"')),
        "unknown field": forged(sound, flag=(b'"batchable":false', b'"batchable":false,"uid":0')),
    }


def test_hostile_files_are_refused_with_a_reason_and_leave_nothing(
    other: Server, there: httpx.Client, sound: bytes
) -> None:
    before = there.get("/services").json()
    blobs = sorted(path.name for path in (other.data / "blobs").rglob("*"))
    for what, data in unsound(sound).items():
        answer = take_in(there, data, name="hostile")
        assert answer.status_code in {400, 413}, what
        assert len(answer.json()["message"]) > 20, what
    assert there.get("/services").json() == before
    assert there.get("/snapshots").json() == []
    assert sorted(path.name for path in (other.data / "blobs").rglob("*")) == blobs


def rewritten(there: httpx.Client, sound: bytes, content: bytes) -> httpx.Response:
    """The answer to the service with another content, all digests of it right."""
    service, _ = read_head(io.BytesIO(sound))
    changed = replace(service, content=hashlib.sha256(content).hexdigest()).sealed()
    return take_in(there, write_head(changed, len(content)) + content, name="hostile")


def test_archives_that_lead_elsewhere_or_swell_are_refused(there: httpx.Client, sound: bytes) -> None:
    for content, why in (
        (archive(a=bytes(64 * 2**20)), "unpacks to more than"),
        (archive(**{"..__..__x": b"x"}), "not a plain relative one"),
        (b"no zip at all", "no zip"),
    ):
        answer = rewritten(there, sound, content)
        assert answer.status_code in {400, 413}
        assert why in answer.json()["message"]
    assert there.get("/services/hostile").json() == []


def test_code_that_does_not_parse_and_a_model_that_is_none_are_refused(
    there: httpx.Client, sound: bytes
) -> None:
    service, _ = read_head(io.BytesIO(sound))
    broken = replace(service, code="y = (", content=None).sealed()
    answer = take_in(there, write_head(broken, 0), name="hostile")
    assert answer.status_code == 400
    assert "line 1" in answer.json()["message"]
    for model in (b"blob-gm\n and no more", model_file()[:-10], b"\x80\x04pickle"):
        fields: dict[str, Any] = {"runtime": Runtime.REALTIME, "code": "", "init_code": ""}
        realtime = replace(service, **fields, content=hashlib.sha256(model).hexdigest()).sealed()
        assert take_in(there, write_head(realtime, len(model)) + model, name="hostile").status_code == 400
    assert there.get("/services/hostile").json() == []


def test_killed_while_it_imports_it_has_all_of_a_service_or_nothing(tmp_path: Path, sound: bytes) -> None:
    with stopping(start_server(tmp_path)) as running, running.client() as client:
        acknowledged = 0

        def work() -> None:
            nonlocal acknowledged
            try:
                for number in range(10_000):
                    assert take_in(client, sound, name=f"s{number}").status_code == 201
                    acknowledged = number + 1
            except httpx.TransportError:
                return

        thread = threading.Thread(target=work)
        thread.start()
        while acknowledged < 5:
            assert thread.is_alive()
            thread.join(0.01)
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        thread.join()
    with stopping(start_server(tmp_path)) as again, again.client() as client:
        found = {each["name"] for each in client.get("/services").json()}
        assert {f"s{number}" for number in range(acknowledged)} <= found
        assert len(found) <= acknowledged + 1
        for name in sorted(found):
            assert call(client, f"/api/{name}/1", x=X) == {"y": X}
        assert client.get("/snapshots").json() == []
