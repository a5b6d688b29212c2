"""Batches on a running server: the six operations of the protocol, and those beyond it."""

from __future__ import annotations

import base64
import io
import json
import time
import uuid
from typing import Any

import httpx
import pytest

from tests.e2e.accounts import add_user
from tests.e2e.batches import events, finish, start
from tests.e2e.publishing import publish
from tests.servers import Server

pytestmark = pytest.mark.timeout(120)

NUMBER: Any = {"inputs": {"x": "numeric"}, "outputs": {"y": "numeric"}}


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def adder(admin: httpx.Client) -> str:
    """A service that adds 1."""
    return publish(admin, unique("adder"), "y = x + 1", **NUMBER)


@pytest.fixture(scope="module")
def slow(admin: httpx.Client) -> str:
    """A service that takes its time."""
    code = "import time\ntime.sleep(0.3)\ny = x"
    return publish(admin, unique("slow"), code, **NUMBER)


@pytest.fixture(scope="module")
def writer(admin: httpx.Client) -> str:
    """A service that writes a declared file and others."""
    code = """
import os
print("writing", x)
open("declared.txt", "w").write(f"declared {x}")
os.makedirs("sub", exist_ok=True)
open("sub/other é.bin", "wb").write(bytes(range(256)) * int(x))
y = x
if x == 3:
    raise ValueError("three")
"""
    return publish(admin, unique("writer"), code, outputFileNames=["declared.txt"], **NUMBER)


@pytest.fixture(scope="module")
def ben(server: Server) -> Any:
    """Somebody else, who may call services."""
    name = unique("ben")
    with add_user(server, name, "reader") as client:
        yield client


def test_a_batch_is_accepted_run_and_read(admin: httpx.Client, adder: str) -> None:
    answer = admin.post(f"{adder}/batch?parallelCount=2", json=[{"x": 1}, {"x": 2.5}, {"x": -1}])
    assert answer.status_code == 202
    body = answer.json()
    _, _, name, version = adder.split("/")
    assert (body["name"], body["version"]) == (name, version)
    assert body["batchExecutionId"] == body["BatchExecutionId"]
    batch = f"{adder}/batch/{body['batchExecutionId']}"
    assert answer.headers["Location"] == batch
    found = finish(admin, batch)
    assert found == {
        "state": "Complete",
        "completedItemCount": 3,
        "failedItemCount": 0,
        "totalItemCount": 3,
        "message": "",
        "batchExecutionResults": [
            {
                "index": index,
                "success": True,
                "errorMessage": "",
                "outputParameters": {"y": y},
                "outputFiles": {},
                "consoleOutput": "",
                "changedFiles": [],
            }
            for index, y in enumerate([2.0, 3.5, 0.0])
        ],
    }
    assert body["batchExecutionId"] in admin.get(f"{adder}/batch").json()


@pytest.mark.needs_r
def test_r_runs_batches_too(admin: httpx.Client) -> None:
    path = publish(admin, unique("r"), "y <- sqrt(x); cat('root\\n'); plot(x)", runtime="R", **NUMBER)
    batch = start(admin, path, [{"x": x} for x in (4, 9, "no", 16)], parallelCount=4)
    results = finish(admin, batch)["batchExecutionResults"]
    assert [each["outputParameters"].get("y") for each in results] == [2, 3, None, 4]
    assert results[0]["consoleOutput"] == "root\n"
    assert admin.get(f"{batch}/0/files").json() == ["Rplot001.png"]
    assert admin.get(f"{batch}/0/files/Rplot001.png").content.startswith(b"\x89PNG")


def test_an_item_that_fails_is_its_own_error(admin: httpx.Client, adder: str) -> None:
    items: list[Any] = [{"x": 1}, {"x": "one"}, 5, {}, {"x": 1, "z": 2}, None, {"x": 6}]
    found = finish(admin, start(admin, adder, items))
    results = found["batchExecutionResults"]
    assert (found["state"], found["completedItemCount"]) == ("Complete", 7)
    assert found["failedItemCount"] == sum(not each["success"] for each in results) >= 4
    assert [each["index"] for each in results] == list(range(7))
    assert results[0]["success"]
    assert results[6]["success"]
    assert "'x': expected numeric (a number), got the string 'one'" in results[1]["errorMessage"]
    for each in results:
        assert bool(each["errorMessage"]) is not each["success"]


def test_an_error_in_the_code_comes_with_its_console_and_files(admin: httpx.Client, writer: str) -> None:
    batch = start(admin, writer, [{"x": 1}, {"x": 3}, {"x": 300}])
    one, three, large = finish(admin, batch)["batchExecutionResults"]
    assert one["consoleOutput"].startswith("writing 1")
    assert base64.b64decode(one["outputFiles"]["declared.txt"]).startswith(b"declared 1")
    assert "files" not in one
    assert "ValueError: three" in three["errorMessage"]
    assert three["consoleOutput"].startswith("writing 3")
    for index, times in ((0, 1), (1, 3), (2, 300)):
        assert admin.get(f"{batch}/{index}/files").json() == ["declared.txt", "sub/other é.bin"]
        for name in ("sub/other é.bin", "sub%2Fother%20%C3%A9.bin"):
            answer = admin.get(f"{batch}/{index}/files/{name}")
            assert answer.content == bytes(range(256)) * times
            assert answer.headers["content-type"] == "application/octet-stream"
    assert large["success"]
    assert admin.get(f"{batch}/1/files/declared.txt").text.startswith("declared 3")


def test_results_larger_than_a_row_come_back_whole(admin: httpx.Client) -> None:
    path = publish(
        admin, unique("large"), "y = list(range(int(x)))", inputs={"x": "numeric"}, outputs={"y": "vector"}
    )
    results = finish(admin, start(admin, path, [{"x": 50_000}, {"x": 1}, {"x": 50_000}]))[
        "batchExecutionResults"
    ]
    assert [len(each["outputParameters"]["y"]) for each in results] == [50_000, 1, 50_000]


def test_partial_results_are_shown_on_demand_and_none_without(admin: httpx.Client, slow: str) -> None:
    batch = start(admin, slow, [{"x": x} for x in range(8)], parallelCount=1)
    shown = [0]
    while shown[-1] < 8:
        name = "showPartialResults" if len(shown) % 2 else "showPartialResult"
        found = admin.get(f"{batch}?{name}=true").json()
        results = found["batchExecutionResults"]
        assert len(results) == found["completedItemCount"] >= shown[-1]
        assert [each["index"] for each in results] == sorted(each["index"] for each in results)
        without = admin.get(batch).json()
        if without["state"] != "Complete":
            assert without["state"] in {"Pending", "InProgress"}
            assert without["batchExecutionResults"] == []
        shown.append(found["completedItemCount"])
    assert len(set(shown)) > 2


def test_progress_is_told_as_events_and_results_as_they_arrive(admin: httpx.Client, slow: str) -> None:
    batch = start(admin, slow, [{"x": x} for x in range(6)], parallelCount=2)
    told = events(admin, batch)
    counts = [each["completedItemCount"] for each in told]
    assert counts == sorted(counts)
    assert len(counts) > 2
    assert (told[-1]["state"], counts[-1], told[-1]["totalItemCount"]) == ("Complete", 6, 6)
    assert events(admin, batch)[0]["state"] == "Complete"
    seen: list[int] = []
    while True:
        page = admin.get(f"{batch}/results", params={"after": len(seen), "limit": 4}).json()
        if not page["batchExecutionResults"]:
            break
        seen += [each["index"] for each in page["batchExecutionResults"]]
        assert page["next"] == len(seen)
    assert sorted(seen) == list(range(6))


def test_cancelling_stops_and_deletes(admin: httpx.Client, slow: str) -> None:
    batch = start(admin, slow, [{"x": x} for x in range(1000)], parallelCount=2)
    answer = admin.delete(batch)
    assert (answer.status_code, answer.json()) == (200, [batch.rpartition("/")[2]])
    assert admin.get(batch).status_code == 404
    assert admin.delete(batch).status_code == 404
    assert batch.rpartition("/")[2] not in admin.get(f"{slow}/batch").json()
    deadline = time.monotonic() + 5
    while True:
        pool = admin.get("/status").json()["components"]["backends"]["components"]["Python"]["details"]
        if not pool["busy"] and not pool["queued_batch_items"]:
            break
        assert time.monotonic() < deadline, pool
        time.sleep(0.02)


def test_the_watchers_of_a_cancelled_batch_are_told(admin: httpx.Client, server: Server, slow: str) -> None:
    batch = start(admin, slow, [{"x": x} for x in range(1000)], parallelCount=1)
    with admin.stream("GET", f"{batch}/events") as stream:
        lines = stream.iter_lines()
        assert json.loads(next(lines for lines in lines if "data" in lines)[6:])["totalItemCount"] == 1000
        with server.client() as other:
            assert other.delete(batch).status_code == 200
        assert json.loads([line for line in lines if "data" in line][-1][6:])["state"] == "Cancelled"


def test_only_the_owner_and_owners_see_a_batch(admin: httpx.Client, ben: httpx.Client, adder: str) -> None:
    mine, bens = start(admin, adder, [{"x": 1}]), start(ben, adder, [{"x": 2}])
    assert finish(ben, bens)["batchExecutionResults"][0]["outputParameters"] == {"y": 3.0}
    for method, path in (
        ("GET", mine),
        ("DELETE", mine),
        ("GET", f"{mine}/events"),
        ("GET", f"{mine}/results"),
        ("GET", f"{mine}/0/files"),
        ("GET", f"{mine}/0/files/x"),
    ):
        assert ben.request(method, path).status_code == 404, (method, path)
    assert ben.get(f"{adder}/batch").json() == [bens.rpartition("/")[2]]
    assert {path.rpartition("/")[2] for path in (mine, bens)} <= set(admin.get(f"{adder}/batch").json())
    assert admin.delete(bens).status_code == 200
    assert ben.get(bens).status_code == 404


def test_an_id_belongs_to_one_service(admin: httpx.Client, adder: str, slow: str) -> None:
    id = start(admin, adder, [{"x": 1}]).rpartition("/")[2]
    assert admin.get(f"{slow}/batch/{id}").status_code == 404
    assert admin.delete(f"{slow}/batch/{id}").status_code == 404
    assert admin.get(f"{adder}/batch/{id}").status_code == 200


@pytest.mark.parametrize(
    ("body", "query", "status", "message"),
    [
        (b"", "", 400, "empty"),
        (b"[]", "", 400, "the batch is empty"),
        (b'{"x": 1}', "", 400, "not a JSON array"),
        (b'"text"', "", 400, "not a JSON array"),
        (b"[{", "", 400, "breaks off"),
        (b'[{"x": 1}', "", 400, "breaks off after 1 items"),
        (b'[{"x": 1}] x', "", 400, "goes on"),
        (b'[{"x": 1} {"x": 1}]', "", 400, "comma"),
        (b'[{"x": NaN}]', "", 400, "item 0 is not valid JSON"),
        (b'[{"x": 1}, {"x": 01}]', "", 400, "item 1 is not valid JSON"),
        (b'[{"x": 1}]', "?parallelCount=0", 400, "parallelCount is 0"),
        (b'[{"x": 1}]', "?parallelCount=-3", 400, "parallelCount is -3"),
        (b'[{"x": 1}]', "?parallelCount=999999999999999999999999", 400, "parallelCount"),
        (b'[{"x": 1}]', "?parallelCount=many", 400, "parallelCount"),
        (b'[{"x": 1}]', "?parallelCount=2.5", 400, "parallelCount"),
    ],
)
def test_what_is_no_batch_is_refused(
    admin: httpx.Client, adder: str, body: bytes, query: str, status: int, message: str
) -> None:
    before = admin.get(f"{adder}/batch").json()
    answer = admin.post(f"{adder}/batch{query}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"message", "link", "exceptionType"}
    assert message in answer.json()["message"]
    assert admin.get(f"{adder}/batch").json() == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/unknown/1/batch", 404),
        ("{batch}x", 404),
        ("{service}/batch/..%2F..", 404),
        ("{service}/batch/%00", 404),
        ("{service}/batch/" + "9" * 2000, 404),
        ("{batch}/2/files", 404),
        ("{batch}/-1/files", 404),
        ("{batch}/99999999999999999999/files", 404),
        ("{batch}/one/files", 400),
        ("{batch}/0/files/unknown.txt", 404),
        ("{batch}/0/files/..%2F..%2Fetc%2Fpasswd", 400),
        ("{batch}/0/files/%2Fetc%2Fpasswd", 400),
        ("{batch}/0/files/a%00b", 400),
        ("{batch}/0/files/sub%5Cx", 400),
        ("{batch}?showPartialResults=perhaps", 400),
        ("{batch}/results?after=-1", 400),
        ("{batch}/results?limit=100000", 400),
    ],
)
def test_what_is_not_there_is_a_clear_4xx(admin: httpx.Client, adder: str, path: str, status: int) -> None:
    batch = start(admin, adder, [{"x": 1}, {"x": 2}])
    finish(admin, batch)
    answer = admin.get(path.format(batch=batch, service=adder))
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"message", "link", "exceptionType"}


def test_an_item_that_is_not_done_has_no_files_yet(admin: httpx.Client, slow: str) -> None:
    batch = start(admin, slow, [{"x": 1}] * 100, parallelCount=1)
    answer = admin.get(f"{batch}/99/files")
    assert (answer.status_code, answer.json()["message"]) == (404, "item 99 has no result yet")
    admin.delete(batch)


def test_a_batch_goes_on_with_what_it_was_accepted_with(admin: httpx.Client) -> None:
    code = "import time\ntime.sleep(0.05)\ny = x + 1"
    path = publish(admin, unique("patched"), code, **NUMBER)
    batch = start(admin, path, [{"x": 0}] * 20, parallelCount=1)
    patched = admin.patch(path.replace("/api/", "/services/"), json={"code": "y = x + 2"})
    assert patched.status_code == 200
    results = finish(admin, batch)["batchExecutionResults"]
    assert {each["outputParameters"]["y"] for each in results} == {1.0}
    assert admin.post(path, json={"x": 0}).json()["outputParameters"] == {"y": 2.0}


def test_a_batch_of_a_deleted_service_fails_and_keeps_what_it_has(admin: httpx.Client) -> None:
    path = publish(admin, unique("deleted"), "import time\ntime.sleep(0.1)\ny = x", **NUMBER)
    batch = start(admin, path, [{"x": 0}] * 500, parallelCount=2)
    while not admin.get(batch).json()["completedItemCount"]:
        time.sleep(0.05)
    assert admin.delete(path.replace("/api/", "/services/")).status_code == 200
    found = finish(admin, batch)
    assert (found["state"], found["totalItemCount"]) == ("Failed", 500)
    assert "was deleted" in found["message"]
    assert 0 < len(found["batchExecutionResults"]) == found["completedItemCount"] < 500


def test_an_item_that_kills_its_shell_twice_is_failed_and_the_rest_goes_on(admin: httpx.Client) -> None:
    code = "import os, signal\nif x == 7:\n    os.kill(os.getpid(), signal.SIGKILL)\ny = x"
    path = publish(admin, unique("killer"), code, **NUMBER)
    found = finish(admin, start(admin, path, [{"x": x} for x in range(40)], parallelCount=4))
    results = found["batchExecutionResults"]
    assert (found["state"], found["failedItemCount"]) == ("Complete", 1)
    assert [each["outputParameters"].get("y") for each in results] == [
        x if x != 7 else None for x in range(40)
    ]
    assert "ended the process that ran it 2 times" in results[7]["errorMessage"]
    assert "SIGKILL" in results[7]["errorMessage"]


def test_a_batchable_service_answers_each_item_as_if_alone(admin: httpx.Client) -> None:
    path = publish(
        admin,
        unique("rows"),
        "y = x * 2",
        inputs={"x": "vector"},
        outputs={"y": "vector"},
        batchable=True,
    )
    items: list[Any] = [{"x": [float(n)] * (1 + n % 3)} for n in range(500)]
    items[100] = {"x": "no"}
    results = finish(admin, start(admin, path, items, parallelCount=64))["batchExecutionResults"]
    assert not results[100]["success"]
    for n, each in enumerate(results):
        if n != 100:
            assert each["outputParameters"]["y"] == [2.0 * n] * (1 + n % 3)


def test_a_frame_may_come_as_arrow(admin: httpx.Client) -> None:
    pa = pytest.importorskip("pyarrow")
    path = publish(
        admin,
        unique("arrow"),
        "y = (x['a'] * 2).tolist(); n = len(x); t = list(x['t'])",
        inputs={"x": "frame"},
        outputs={"y": "vector", "n": "integer", "t": "vector"},
    )
    frame = pa.table({"a": [float(n) for n in range(25)], "t": [f"é{n}" if n else None for n in range(25)]})
    for kind, opened in (("stream", pa.ipc.new_stream), ("file", pa.ipc.new_file)):
        sink = io.BytesIO()
        with opened(sink, frame.schema) as out:
            out.write_table(frame)
        answer = admin.post(
            f"{path}/batch?rows=10",
            content=sink.getvalue(),
            headers={"Content-Type": f"application/vnd.apache.arrow.{kind}"},
        )
        assert answer.status_code == 202, answer.text
        results = finish(admin, answer.headers["Location"])["batchExecutionResults"]
        outputs = [each["outputParameters"] for each in results]
        assert [each["n"] for each in outputs] == [10, 10, 5]
        assert [y for each in outputs for y in each["y"]] == [2.0 * n for n in range(25)]
        assert outputs[0]["t"][:2] == [None, "é1"]


@pytest.mark.parametrize(
    "body", [b"", b"ARROW1", b"ARROW1\0\0 nonsense ARROW1", b"\xff\xff\xff\xff\x10\0\0\0"]
)
def test_damaged_arrow_data_is_refused(admin: httpx.Client, adder: str, body: bytes) -> None:
    pytest.importorskip("pyarrow")
    path = publish(admin, unique("arrow"), "y = len(x)", inputs={"x": "frame"}, outputs={"y": "integer"})
    arrow = {"Content-Type": "application/vnd.apache.arrow.stream"}
    answer = admin.post(f"{path}/batch", content=body, headers=arrow)
    assert answer.status_code == 400, answer.text
    answer = admin.post(f"{adder}/batch", content=body, headers=arrow)
    assert (answer.status_code, "send JSON" in answer.json()["message"]) == (400, True)


def test_limits_are_kept(serve: Any) -> None:
    server: Server = serve("--batch-max-items", "5", "--batch-mib", "1", "--batch-max-parallel", "1")
    with server.client() as client:
        path = publish(client, "adder", "import time\ntime.sleep(0.05)\ny = x + 1", **NUMBER)
        answer = client.post(f"{path}/batch", json=[{"x": 1}] * 6)
        assert (answer.status_code, "more than 5 items" in answer.json()["message"]) == (413, True)
        answer = client.post(f"{path}/batch", content=b"[" + b" " * 2**20 + b"]")
        assert answer.status_code == 413
        begun = time.monotonic()
        found = finish(client, start(client, path, [{"x": 1}] * 5, parallelCount=5))
        assert time.monotonic() - begun > 0.25
        assert found["state"] == "Complete"
    assert list((server.data / "staging").iterdir()) == []


def test_an_ended_batch_is_deleted_after_its_time(serve: Any) -> None:
    server: Server = serve("--batch-keep-hours", "0.0003")
    with server.client() as client:
        path = publish(client, "adder", "y = x + 1", **NUMBER)
        batch = start(client, path, [{"x": 1}])
        deadline = time.monotonic() + 20
        while client.get(batch).status_code != 404:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.get(f"{path}/batch").json() == []
