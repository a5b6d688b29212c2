"""Calls with large bodies are scored in another process, with the same outcome, and hold nobody up."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pytest

from benchmarks.harness.faults.stalls import Stalls
from gristmill.errors import InvalidInput, NotFound, Overloaded, RuntimeUnavailable, ShellDied, TimedOut
from gristmill.realtime import arrow
from gristmill.realtime.inference import Inference
from gristmill.realtime.large import LARGE, LargeCalls
from gristmill.realtime.models import Realtime, RealtimeSettings
from gristmill.services import Runtime
from tests.realtime_models import model_file
from tests.unit.web.fakes import service

ONE = service(name="one", runtime=Runtime.REALTIME, content="one")
ROWS = LARGE // 4


class Store:
    """Has one model; `gone` from when that is set."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "model"
        self._path.write_bytes(model_file())
        self.gone: Exception | None = None

    def __call__(self, digest: str) -> BinaryIO:
        if self.gone is not None:
            raise self.gone
        return self._path.open("rb")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
async def large(store: Store) -> AsyncIterator[LargeCalls]:
    made = LargeCalls(store, processes=1, seconds=30)
    yield made
    await made.close()


def columns(rows: int) -> bytes:
    return msgspec.json.encode({"inputData": {"x": [1.5] * rows}})


def scores(body: bytes) -> Any:
    return json.loads(body)["outputParameters"]["outputData"]["Score"]


async def test_a_large_body_is_scored_like_any_other(store: Store) -> None:
    realtime = Realtime(store, RealtimeSettings())
    answer = await realtime.score(ONE, columns(ROWS))
    assert scores(answer.body) == [3.0] * ROWS
    records = msgspec.json.encode({"inputData": [{"x": n} for n in range(ROWS // 2)]})
    assert len(records) >= LARGE
    assert scores((await realtime.score(ONE, records)).body)[-1] == 2.0 * (ROWS // 2 - 1)
    assert realtime.describe()["calls"] == 2
    assert realtime.describe()["waitingBytes"] == 0
    await realtime.close()


@pytest.mark.parametrize("binary", [False, True])
async def test_a_large_request_of_the_open_inference_protocol_is_scored_like_a_small_one(
    store: Store, binary: bool
) -> None:
    realtime = Realtime(store, RealtimeSettings())
    answers = []
    for rows in (3, ROWS):
        asked = {"inputs": [{"name": "x", "shape": [rows], "datatype": "FP64", "data": [1.5] * rows}]}
        body = msgspec.json.encode({**asked, "id": "7", "parameters": {"binary_data_output": binary}})
        call = Inference(body, None, "one", "1")
        answer = (await realtime.score_call(ONE, call, body, call.encode)).body
        text = answer if call.json_length is None else answer[: call.json_length]
        assert (call.json_length is not None) is binary
        assert len(answer) - len(text) == (8 * rows if binary else 0)
        answers.append(msgspec.json.decode(text))
    assert realtime._large.calls == 1
    small, many = answers
    assert many["id"] == "7"
    assert many["outputs"][0]["shape"] == [ROWS]
    assert {**small, "outputs": 0} == {**many, "outputs": 0}
    await realtime.close()


@pytest.mark.parametrize("arrow_answer", [False, True])
async def test_large_arrow_data_are_scored_like_small_ones(store: Store, arrow_answer: bool) -> None:
    realtime = Realtime(store, RealtimeSettings())
    for rows in (3, ROWS):
        sink = pa.BufferOutputStream()
        table = pa.table({"x": [1.5] * rows})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = sink.getvalue().to_pybytes()
        call = arrow.ArrowCall(body, arrow=arrow_answer)
        answer = (await realtime.score_call(ONE, call, body, call.encode)).body
        if arrow_answer:
            found = pa.ipc.open_stream(answer).read_all().column("Score").to_pylist()
        else:
            found = scores(answer)
        assert found == [3.0] * rows
    assert realtime._large.calls == 1
    await realtime.close()


async def test_what_is_wrong_with_a_large_body_is_told_as_of_any_other(store: Store) -> None:
    realtime = Realtime(store, RealtimeSettings())
    told = []
    for rows in (4, ROWS):
        sent = msgspec.json.encode({"inputData": {"x": [1.5] * rows + ["a"]}})
        with pytest.raises(InvalidInput) as caught:
            await realtime.score(ONE, sent)
        told.append(str(caught.value))
    assert told[0] == told[1]
    await realtime.close()


async def test_one_process_serves_call_after_call(large: LargeCalls) -> None:
    await large.score("one", columns(10))
    (first,) = large._all
    with pytest.raises(InvalidInput):
        await large.score("one", b"no JSON")
    await large.score("two", columns(10))
    assert large._all == {first}


async def test_a_process_that_ends_fails_its_call_and_is_replaced(large: LargeCalls) -> None:
    await large.score("one", columns(10))
    (worker,) = large._all
    os.kill(worker._process.pid, signal.SIGSTOP)
    lost = asyncio.create_task(large.score("one", columns(10)))
    while worker.free:  # noqa: ASYNC110 - set within `run`, where nothing can be awaited
        await asyncio.sleep(0)
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(ShellDied):
        await lost
    assert scores(await large.score("one", columns(2))) == [3.0, 3.0]
    assert worker not in large._all


async def test_who_leaves_ends_the_work_that_was_done_for_him(large: LargeCalls) -> None:
    await large.score("one", columns(10))
    (worker,) = large._all
    os.kill(worker._process.pid, signal.SIGSTOP)
    leaves = asyncio.create_task(large.score("one", columns(10)))
    while worker.free:  # noqa: ASYNC110 - set within `run`, where nothing can be awaited
        await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    async with asyncio.timeout(20):
        assert scores(await large.score("one", columns(1))) == [3.0]
    assert worker.ending is not None
    await worker.ending
    assert worker._process.returncode == -signal.SIGKILL


async def test_a_call_that_takes_too_long_is_ended(store: Store) -> None:
    large = LargeCalls(store, processes=1, seconds=30)
    await large.score("one", columns(10))
    (worker,) = large._all
    os.kill(worker._process.pid, signal.SIGSTOP)
    large._seconds = 0.05
    with pytest.raises(TimedOut):
        await large.score("one", columns(10))
    await large.close()


async def test_a_model_that_cannot_be_opened_is_told_as_for_any_call(store: Store) -> None:
    realtime = Realtime(store, RealtimeSettings())
    store.gone = OSError(24, "Too many open files")
    with pytest.raises(Overloaded, match="Too many open files"):
        await realtime.score(ONE, columns(ROWS))
    store.gone = NotFound("content one is missing")
    with pytest.raises(RuntimeUnavailable, match="content one is missing"):
        await realtime.score(ONE, columns(ROWS))
    store.gone = None
    assert (await realtime.score(ONE, columns(ROWS))).ok
    await realtime.close()


async def test_no_process_is_left_when_the_node_has_ended(store: Store) -> None:
    realtime = Realtime(store, RealtimeSettings())
    await realtime.score(ONE, columns(ROWS))
    (worker,) = realtime._large._all
    await realtime.close()
    assert worker._process.returncode == -signal.SIGKILL
    with pytest.raises(Overloaded):
        await realtime.score(ONE, columns(ROWS))


@pytest.mark.parametrize(
    "body",
    [
        columns(6 * ROWS),
        msgspec.json.encode({"inputData": [{"x": 1.5}] * (ROWS * 2)}),
        msgspec.json.encode({"inputData": {"x": [1] * (8 * ROWS) + ["a"]}}),
        b"[" * (16 * LARGE),
        msgspec.json.encode({"inputData": [{"x": 1}] * (LARGE // 8 - 10)}),
    ],
    ids=["numbers", "records", "wrong at the end", "nested", "just not large"],
)
async def test_no_body_holds_the_loop(store: Store, body: bytes) -> None:
    realtime = Realtime(store, RealtimeSettings())
    await realtime.score(ONE, columns(1))
    await realtime.score(ONE, columns(ROWS))  # a process is there
    held = [await longest_hold(realtime, body) for _ in range(3)]  # other programs disturb one of them
    await realtime.close()
    assert min(held) < 0.05, held


async def longest_hold(realtime: Realtime, body: bytes) -> float:
    """How long the loop stood still at most while it was scored, seconds."""
    stalls = Stalls()
    with contextlib.suppress(InvalidInput):  # of those that are no rows
        await realtime.score(ONE, body)
    stalls.close()
    return max((stall.own for stall in stalls.worst), default=0.0)
