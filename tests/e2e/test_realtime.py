"""Realtime services as a caller meets them: publish, call, change, batch, delete, and what is refused."""

from __future__ import annotations

import concurrent.futures
import json
import math
import uuid
from typing import Any

import httpx
import pytest

from tests.e2e.accounts import add_user
from tests.e2e.batches import finish, start
from tests.e2e.protocol import accepted, refused
from tests.realtime_models import model_file
from tests.servers import Server

FILE = {"model": ("model.blob", model_file())}


@pytest.fixture(scope="module")
def client(server: Server) -> Any:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def path(client: httpx.Client) -> str:
    """Of a published service, `score(x) = 2 x`."""
    sent = {"description": "twice", "operationId": "double"}
    answer = client.post("/realtime-services/twice/1", files=FILE, data=sent)
    accepted(answer, "text", 201)
    assert answer.headers["location"] == "/services/twice/1"
    return "/api/twice/1"


def score(client: httpx.Client, path: str, *x: float | None) -> Any:
    return accepted(client.post(path, json={"inputData": {"x": x}}), "result")["outputParameters"]


def test_it_is_scored_without_an_interpreter(client: httpx.Client, path: str) -> None:
    assert score(client, path, 1.25, None, -3) == {"outputData": {"Score": [2.5, None, -6.0]}}
    assert score(client, path) == {"outputData": {"Score": []}}


def test_doubles_keep_every_bit(client: httpx.Client, path: str) -> None:
    numbers = [math.pi, 5e-324, 1.7976931348623157e308 / 2, -0.1, 1 / 3]
    assert score(client, path, *numbers)["outputData"]["Score"] == [2 * x for x in numbers]


def test_it_is_listed_and_described_as_the_protocol_says(client: httpx.Client, path: str) -> None:
    (found,) = accepted(client.get("/services/twice/1"), "services")
    assert (found["runtimeType"], found["code"], found["operationId"]) == ("Realtime", "", "double")
    assert [(each["name"], each["type"]) for each in found["inputParameterDefinitions"]] == [
        ("inputData", "data.frame")
    ]
    assert [(each["name"], each["type"]) for each in found["outputParameterDefinitions"]] == [
        ("outputData", "data.frame")
    ]
    swagger = accepted(client.get(f"{path}/swagger.json"), "swagger")
    assert swagger["definitions"]["InputParameters"]["properties"]["inputData"]["required"] == ["x"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"inputData": {"x": ["text"]}}, "'x'"),
        ({"inputData": {"y": [1]}}, "x"),
        ({"x": [1]}, "inputData"),
        ([], "inputData"),
    ],
)
def test_rows_that_do_not_fit_are_400_and_say_where(
    client: httpx.Client, path: str, body: Any, why: str
) -> None:
    assert why in refused(client.post(path, json=body), 400)


def test_many_callers_at_once_each_get_their_own_rows(server: Server, path: str) -> None:
    def calls(number: int) -> None:
        with server.client() as mine:
            for n in range(40):
                rows = [float(number * 1000 + n + k) for k in range(1 + n % 5)]
                assert score(mine, path, *rows)["outputData"]["Score"] == [2 * x for x in rows]

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        list(threads.map(calls, range(16)))


def test_a_batch_of_it_runs_beside_all_others(client: httpx.Client, path: str) -> None:
    batch = start(client, path, [{"inputData": {"x": [n, n + 1]}} for n in range(30)], parallelCount=4)
    results = finish(client, batch)["batchExecutionResults"]
    assert [each["outputParameters"]["outputData"]["Score"] for each in results] == [
        [2.0 * n, 2.0 * n + 2] for n in range(30)
    ]


def test_a_bad_item_of_a_batch_is_that_items_error(client: httpx.Client, path: str) -> None:
    batch = start(client, path, [{"inputData": {"x": [1]}}, {"inputData": {"x": ["no"]}}])
    good, bad = finish(client, batch)["batchExecutionResults"]
    assert (good["success"], bad["success"]) == (True, False)
    assert "'x'" in bad["errorMessage"]


def test_a_new_model_takes_the_place_of_the_old(client: httpx.Client) -> None:
    name = f"rt-{uuid.uuid4().hex[:8]}"
    accepted(client.post(f"/realtime-services/{name}/1", files=FILE), "text", 201)
    renamed = model_file(
        columns=[{"name": "z", "type": "numeric"}],
        feeds=[{"name": "X", "dtype": "double", "columns": ["z"]}],
        sample={"columns": {"z": [1.0]}, "expected": {"Score": [2.0]}},
    )
    changed = client.patch(f"/realtime-services/{name}/1", files={"model": ("m", renamed)})
    accepted(changed, "text")
    body = {"inputData": {"z": [4]}}
    answer = accepted(client.post(f"/api/{name}/1", json=body), "result")
    assert answer["outputParameters"]["outputData"] == {"Score": [8.0]}
    accepted(client.patch(f"/realtime-services/{name}/1", files={"description": (None, "new")}), "text")
    (found,) = accepted(client.get(f"/services/{name}/1"), "services")
    assert found["description"] == "new"
    assert accepted(client.post(f"/api/{name}/1", json=body), "result")["success"]
    accepted(client.delete(f"/services/{name}/1"), "text")
    refused(client.post(f"/api/{name}/1", json=body), 404)


def test_a_version_that_exists_is_409_and_one_of_its_own_is_made_where_none_is_named(
    client: httpx.Client, path: str
) -> None:
    refused(client.post("/realtime-services/twice/1", files=FILE), 409)
    answer = client.post("/realtime-services/unnamed", files=FILE)
    accepted(answer, "text", 201)
    where = answer.headers["location"].removeprefix("/services")
    assert score(client, f"/api{where}", 1) == {"outputData": {"Score": [2.0]}}


def test_scores_other_than_the_models_own_refuse_the_publish(client: httpx.Client) -> None:
    sample = {"columns": {"x": [1.0, 2.0]}, "expected": {"Score": [2.0, 4.5]}}
    answer = client.post("/realtime-services/drifts/1", files={"model": ("m", model_file(sample=sample))})
    message = refused(answer, 400)
    assert "1 of 2 sample rows differ" in message
    assert "4.5" in message
    refused(client.get("/services/drifts/1"), 404)


def test_bad_models_are_400_and_the_process_lives(server: Server, client: httpx.Client, path: str) -> None:
    good = model_file()
    bad = [
        good[:-10],
        good[:30],
        b"blob" + bytes(2000),
        b"\x80\x04K\x01.",
        b"",
        good + b"more",
        good[:-40] + bytes(40),
    ]
    for content in bad:
        refused(client.post("/realtime-services/bad/1", files={"model": ("m", content)}), 400)
    assert server.process.poll() is None
    assert score(client, path, 1) == {"outputData": {"Score": [2.0]}}
    refused(client.get("/services/bad/1"), 404)


def test_only_who_may_publish_and_who_owns_it_may_change_it(
    server: Server, client: httpx.Client, path: str
) -> None:
    with (
        add_user(server, "rt-reader", "reader") as reader,
        add_user(server, "rt-other", "contributor") as other,
    ):
        refused(reader.post("/realtime-services/mine/1", files=FILE), 403)
        assert score(reader, path, 2) == {"outputData": {"Score": [4.0]}}
        refused(other.patch("/realtime-services/twice/1", files={"description": (None, "x")}), 403)


def test_status_tells_of_native_scoring(client: httpx.Client, path: str) -> None:
    score(client, path, 1)
    counts = client.get("/status").json()["components"]["backends"]["components"]["Realtime"]["details"]
    assert counts["models"] >= 1
    assert counts["calls"] >= counts["runs"] > 0


def test_it_is_there_after_a_restart(serve: Any) -> None:
    first = serve("--pool-initial", "1")
    with first.client() as client:
        accepted(client.post("/realtime-services/kept/1", files=FILE), "text", 201)
        headers = client.headers
    first.process.kill()
    first.process.wait()
    second = serve("--pool-initial", "1")
    with httpx.Client(base_url=second.url, headers=headers, timeout=60) as client:
        assert score(client, "/api/kept/1", 3) == {"outputData": {"Score": [6.0]}}
        shown = json.loads(client.get("/services/kept/1").text)
        assert shown[0]["runtimeType"] == "Realtime"
