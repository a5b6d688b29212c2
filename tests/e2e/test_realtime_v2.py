"""Realtime services by the Open Inference Protocol, called with Triton's own client."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from tests.e2e.protocol import accepted, refused
from tests.realtime_models import model_file
from tests.servers import Server

NAN = float("nan")


@pytest.fixture(scope="module")
def plain(server: Server) -> Any:
    """An HTTP client with two versions of a service `v2-twice`, score(x) = 2 x."""
    with server.client() as client:
        for version in ("1", "2"):
            files = {"model": ("model.blob", model_file())}
            accepted(client.post(f"/realtime-services/v2-twice/{version}", files=files), "text", 201)
        yield client


@pytest.fixture
def client(server: Server, plain: httpx.Client) -> Any:
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as made:
        yield made


def token(plain: httpx.Client) -> dict[str, str]:
    """The header anew for each call: the client writes into what it is given."""
    return {"Authorization": plain.headers["Authorization"]}


def tensor(name: str, values: Any, datatype: str, *, binary: bool) -> Any:
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def test_the_client_finds_the_server_and_its_models(client: Any, plain: httpx.Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata(headers=token(plain))["name"] == "gristmill"
    assert client.is_model_ready("v2-twice", "1", headers=token(plain))
    assert client.is_model_ready("v2-twice", headers=token(plain))
    assert not client.is_model_ready("v2-nothing", headers=token(plain))
    about = client.get_model_metadata("v2-twice", "2", headers=token(plain))
    assert about["versions"] == ["1", "2"]
    assert about["inputs"] == [{"name": "x", "datatype": "FP64", "shape": [-1]}]
    index = client.get_model_repository_index(headers=token(plain))
    assert {"name": "v2-twice", "version": "1", "state": "READY", "reason": ""} in index


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    ("values", "datatype"),
    [
        (np.array([1.5, -2.0]), "FP64"),
        (np.array([[1.5], [-2.0]], np.float32), "FP32"),
        (np.array([3, -2]), "INT64"),
        (np.array([3, -2], np.int32), "INT32"),
        (np.array([True, False]), "BOOL"),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_it_scores_tensors_of_each_datatype_in_json_and_binary(
    client: Any, plain: httpx.Client, values: Any, datatype: str, binary: bool, asked: bool
) -> None:
    answer = client.infer(
        "v2-twice",
        [tensor("x", values, datatype, binary=binary)],
        model_version="1",
        outputs=[triton.InferRequestedOutput("Score", binary_data=asked)],
        request_id="id-1",
        headers=token(plain),
    )
    assert answer.as_numpy("Score").tolist() == (2.0 * values.reshape(-1)).tolist()
    told = answer.get_response()
    assert (told["id"], told["model_name"], told["model_version"]) == ("id-1", "v2-twice", "1")


def test_without_a_version_the_newest_answers_and_missing_values_are_nan(
    client: Any, plain: httpx.Client
) -> None:
    sent = [tensor("x", np.array([NAN, 1.0]), "FP64", binary=True)]
    answer = client.infer("v2-twice", sent, headers=token(plain))
    np.testing.assert_array_equal(answer.as_numpy("Score"), [NAN, 2.0])
    assert answer.get_response()["model_version"] == "2"


def test_the_client_shows_what_is_wrong(client: Any, plain: httpx.Client) -> None:
    good = [tensor("x", np.array([1.0]), "FP64", binary=True)]
    bad = [tensor("x", np.array([b"1"], object), "BYTES", binary=True)]
    with pytest.raises(InferenceServerException, match="expected numeric, and got texts"):
        client.infer("v2-twice", bad, headers=token(plain))
    with pytest.raises(InferenceServerException, match="there is no realtime service 'v2-nothing'"):
        client.infer("v2-nothing", good, headers=token(plain))
    with pytest.raises(InferenceServerException, match="no output 'Sum'"):
        client.infer("v2-twice", good, outputs=[triton.InferRequestedOutput("Sum")], headers=token(plain))
    with pytest.raises(InferenceServerException, match="needs a token"):
        client.infer("v2-twice", good)
    with pytest.raises(InferenceServerException, match="no compressed bodies"):
        client.infer("v2-twice", good, request_compression_algorithm="gzip", headers=token(plain))


def test_damaged_requests_are_400_and_the_server_lives(client: Any, plain: httpx.Client) -> None:
    sent = [tensor("x", np.arange(20.0), "FP64", binary=True)]
    body, length = triton.InferenceServerClient.generate_request_body(sent)
    path = "/v2/models/v2-twice/infer"
    for cut in range(0, len(body), 5):
        header = {"Inference-Header-Content-Length": str(length)}
        answer = plain.post(path, content=body[:cut], headers=header)
        assert (answer.status_code, "error" in answer.json()) == (400, True)
    for place in range(0, length, 2):
        damaged = body[:place] + b"\xff" + body[place + 1 :]
        answer = plain.post(path, content=damaged, headers={"Inference-Header-Content-Length": str(length)})
        # What stands in a field that no one reads may be anything.
        assert answer.status_code in {200, 400}, damaged
    for size in (-1, 2**63, 1.5, None, "8", [8], 1e400):
        told = {**json.loads(body[:length])["inputs"][0], "parameters": {"binary_data_size": size}}
        text = json.dumps({"inputs": [told]}).encode()
        answer = plain.post(path, content=text, headers={"Inference-Header-Content-Length": str(len(text))})
        assert answer.status_code == 400, size
    assert client.is_server_live()


def test_arrow_scores_as_json_does(plain: httpx.Client) -> None:
    batch = pa.record_batch({"x": pa.array([1.5, None, 3.0])})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    kind = {"Content-Type": "application/vnd.apache.arrow.stream"}
    answer = plain.post("/api/v2-twice/1", content=sink.getvalue().to_pybytes(), headers=kind)
    assert accepted(answer, "result")["outputParameters"] == {"outputData": {"Score": [3.0, None, 6.0]}}
    refused(plain.post("/api/v2-twice/1", content=b"ARROW1\0\0", headers=kind), 400)
