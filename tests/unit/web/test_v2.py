"""The Open Inference Protocol over HTTP: paths, permissions, errors; and Arrow on the scoring route."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from gristmill.calls import Answer, StageTimes
from gristmill.realtime import container
from gristmill.realtime.model import Model, load
from gristmill.services import Runtime, ServiceVersion
from gristmill.web.context import Limits
from tests.realtime_models import model_file
from tests.unit.web.fakes import BORN, FakeRealtime, Server, service

INFER = "/v2/models/twice/versions/1/infer"
REQUEST = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1, 2.5]}]}
STREAM = "application/vnd.apache.arrow.stream"


class Doubling(FakeRealtime):
    """Each of its services doubles x; it scores without gathering."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = load(container.read(model_file()))

    async def model(self, service: ServiceVersion) -> Model:
        return self.loaded

    async def score_call(
        self, service: ServiceVersion, call: Callable[[Model], Any], body: bytes, encode: Any
    ) -> Answer:
        made = call(self.loaded)
        columns = self.loaded.run(made.tensors, made.rows)
        return Answer((encode or self.loaded.answer)(columns), True, StageTimes(0, 0, 0, 0, 0))


def arrow(**columns: Any) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@pytest.fixture
def server() -> Server:
    made = Server(realtime=Doubling())
    old = service(name="twice", version="1", runtime=Runtime.REALTIME)
    for known in (service(), old, replace(old, version="2", created=BORN + timedelta(days=1))):
        made.registry.known[known.name, known.version] = known
    return made


async def test_a_version_scores_and_without_one_the_newest(server: Server) -> None:
    async with server.client("rea") as client:
        answer = await client.post(INFER, json=REQUEST, headers={"X-Request-Id": "abc"})
        newest = await client.post("/v2/models/twice/infer", json=REQUEST)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == "abc"
    assert answer.json() == {
        "model_name": "twice",
        "model_version": "1",
        "outputs": [{"name": "Score", "shape": [2], "datatype": "FP64", "data": [2, 5]}],
    }
    assert newest.json()["model_version"] == "2"


async def test_a_binary_answer_says_how_long_its_json_is(server: Server) -> None:
    async with server.client() as client:
        answer = await client.post(INFER, json={**REQUEST, "parameters": {"binary_data_output": True}})
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert len(answer.content) == length + 16
    assert json.loads(answer.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 16}


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/v2/models/nothing/infer", 404, "there is no realtime service 'nothing'"),
        ("/v2/models/twice/versions/9/infer", 404, "there is no service twice 9"),
        ("/v2/models/bos-rf/infer", 404, "there is no realtime service 'bos-rf'"),
        ("/v2/models/bos-rf/versions/1.0.0/infer", 400, "is no realtime service: call it by POST /api/"),
        ("/v2/models/twice/versions/infer", 405, "POST is not possible"),
        ("/v2/models/a/b/c/d/infer", 404, "there is nothing at"),
        ("/v2/models/infer", 405, "POST is not possible"),
    ],
)
async def test_what_is_no_model_is_told_as_the_protocol_has_it(
    server: Server, path: str, status: int, why: str
) -> None:
    async with server.client() as client:
        answer = await client.post(path, json=REQUEST)
    assert answer.status_code == status
    assert why in answer.json()["error"]


async def test_malformed_requests_are_400(server: Server) -> None:
    async with server.client() as client:
        for body in (b"", b"{", b'{"inputs": 1}', b'{"inputs": []}', b"\x1f\x8b"):
            answer = await client.post(INFER, content=body)
            assert (answer.status_code, set(answer.json()) > {"error"}) == (400, True), body
        packed = await client.post(INFER, json=REQUEST, headers={"Content-Encoding": "gzip"})
        assert (packed.status_code, "compressed" in packed.json()["error"]) == (400, True)
        length = await client.post(INFER, json=REQUEST, headers={"Inference-Header-Content-Length": "-1"})
        assert length.status_code == 400


async def test_without_a_token_only_health_is_open(server: Server) -> None:
    async with server.client(None) as client:
        for path in (INFER, "/v2/models/twice/infer", "/v2/models/nothing/infer"):
            for method in ("POST", "GET", "OPTIONS", "PUT"):
                answer = await client.request(method, path, content=b"{")
                assert (answer.status_code, "error" in answer.json()) == (401, True)
        assert (await client.get("/v2")).status_code == 401
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        assert (await client.get("/v2/health/ready")).json() == {"ready": True}


async def test_a_server_that_starts_or_ends_is_not_ready(server: Server) -> None:
    server.phase.ready = False
    async with server.client() as client:
        assert (await client.get("/v2/health/ready")).status_code == 503
        server.phase.ready, server.phase.draining = True, True
        assert (await client.get("/v2/health/ready")).status_code == 503
        assert (await client.post(INFER, json=REQUEST)).status_code == 503


async def test_other_methods_and_bodies_that_are_too_large_are_refused(server: Server) -> None:
    async with server.client() as client:
        answer = await client.get(INFER)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    server.limits = Limits(body_bytes=10)
    async with server.client() as client:
        assert (await client.post(INFER, json=REQUEST)).status_code == 413


async def test_a_defect_is_500_with_a_reference(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> Answer:
        raise ZeroDivisionError

    monkeypatch.setattr(server.realtime, "score_call", fail)
    async with server.client() as client:
        answer = await client.post(INFER, json=REQUEST, headers={"X-Request-Id": "ref-1"})
    assert (answer.status_code, "ref-1" in answer.json()["error"]) == (500, True)


async def test_metadata_tell_the_tensors_and_ready_loads_the_model(server: Server) -> None:
    async with server.client("rea") as client:
        about = (await client.get("/v2/models/twice")).json()
        assert about == (await client.get("/v2/models/twice/versions/1")).json()
        assert about == {
            "name": "twice",
            "versions": ["1", "2"],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1]}],
            "outputs": [{"name": "Score", "datatype": "FP64", "shape": [-1]}],
        }
        assert (await client.get("/v2/models/twice/ready")).json() == {"name": "twice", "ready": True}
        assert (await client.get("/v2/models/twice/versions/1/ready")).status_code == 200
        assert [each.version for each in server.realtime.prepared] == ["2", "1"]
        assert (await client.get("/v2/models/bos-rf/versions/1.0.0/ready")).status_code == 400
        index = (await client.post("/v2/repository/index")).json()
        assert [(each["name"], each["version"], each["state"]) for each in index] == [
            ("twice", "1", "READY"),
            ("twice", "2", "READY"),
        ]
        assert (await client.get("/v2")).json()["name"] == "gristmill"


async def test_arrow_on_the_scoring_route_answers_json_or_arrow(server: Server) -> None:
    async with server.client() as client:
        sent, kind = arrow(x=[1.0, None]), {"Content-Type": STREAM}
        answer = await client.post("/api/twice/1", content=sent, headers=kind)
        assert answer.json()["outputParameters"] == {"outputData": {"Score": [2, None]}}
        answer = await client.post("/api/twice/1", content=sent, headers={**kind, "Accept": STREAM})
    assert answer.headers["content-type"] == STREAM
    assert pa.ipc.open_stream(answer.content).read_all().to_pydict() == {"Score": [2, None]}


async def test_arrow_to_a_standard_service_and_bad_arrow_are_400(server: Server) -> None:
    async with server.client() as client:
        headers = {"Content-Type": STREAM + "; x=y"}
        standard = await client.post("/api/bos-rf/1.0.0", content=arrow(x=[1.0]), headers=headers)
        assert (standard.status_code, "takes JSON" in standard.json()["message"]) == (400, True)
        assert server.dispatcher.bodies == []
        bad = await client.post("/api/twice/1", content=b"nonsense", headers=headers)
        assert (bad.status_code, "not valid Arrow" in bad.json()["message"]) == (400, True)


async def test_without_pyarrow_arrow_is_501(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = arrow(x=[1.0])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    async with server.client() as client:
        answer = await client.post("/api/twice/1", content=sent, headers={"Content-Type": STREAM})
    assert (answer.status_code, "pyarrow" in answer.json()["message"]) == (501, True)
