"""Calls of a model, gathered and alone."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import pytest
from onnx import helper

from gristmill.errors import InvalidInput, NotFound, Overloaded, RuntimeUnavailable
from gristmill.realtime import container
from gristmill.realtime.model import MOST_ROWS, Model, load
from gristmill.realtime.models import Realtime, RealtimeSettings
from gristmill.realtime.scorer import Scorer
from gristmill.realtime.waiting import Waiting
from gristmill.services import Runtime
from tests.realtime_models import doubling, graph, model_file
from tests.unit.web.fakes import service


def model(payload: bytes | None = None, **changes: Any) -> Model:
    return load(container.read(model_file(payload, **changes)))


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


def body(*x: float | None) -> bytes:
    return msgspec.json.encode({"inputData": {"x": x}})


def scores(answer: bytes) -> Any:
    return json.loads(answer)["outputParameters"]["outputData"]["Score"]


def test_an_answer_is_what_the_protocol_says() -> None:
    made = model()
    rows = made.reader.read(body(1.5, None))
    assert json.loads(made.answer(made.run(rows.tensors, rows.rows))) == {
        "success": True,
        "errorMessage": "",
        "outputParameters": {"outputData": {"Score": [3.0, None]}},
        "outputFiles": {},
        "consoleOutput": "",
        "changedFiles": [],
    }


def test_more_rows_than_a_run_may_have_are_cut() -> None:
    made = model()
    many = np.arange(2.5 * MOST_ROWS)[:, None]
    assert made.run([many], len(many)) == [(2 * many[:, 0]).tolist()]


def test_classes_are_told_by_name_and_numbers_of_none_are_null() -> None:
    nodes = [helper.make_node("Cast", ["X"], ["label"], to=7), helper.make_node("Identity", ["X"], ["Y"])]
    labelled = graph(nodes, 1)
    labelled.graph.output.append(helper.make_tensor_value_info("label", 7, [None, 1]))
    made = model(
        labelled.SerializeToString(),
        task="classification",
        classes=["no", "yes"],
        outputs=[
            {"name": "PredictedLabel", "type": "character", "tensor": "label"},
            {"name": "Probability.yes", "type": "numeric", "tensor": "Y"},
            {"name": "whole", "type": "integer", "tensor": "Y"},
            {"name": "true", "type": "logical", "tensor": "Y"},
        ],
        sample={"columns": {"x": [1.0]}, "expected": {"PredictedLabel": ["yes"]}},
    )
    found = made.run([np.array([[0.0], [1.0], [7.0], [-1.0]])], 4)
    assert found[0] == ["no", "yes", None, None]
    assert found[2:] == [[0, 1, 7, -1], [False, True, True, True]]


async def test_calls_that_wait_together_are_one_run_and_get_their_own_rows(
    executor: ThreadPoolExecutor,
) -> None:
    scorer = Scorer(model(), executor, 2, Waiting(2**20))
    read = scorer.model.reader.read
    futures = [scorer.submit(read(body(*range(n, n + 1 + n % 3)))) for n in range(50)]
    answers = await asyncio.gather(*futures)
    assert [scores(answer.body) for answer in answers] == [
        [2.0 * x for x in range(n, n + 1 + n % 3)] for n in range(50)
    ]
    assert scorer.runs == 1
    assert (scorer.calls, scorer.rows) == (50, sum(1 + n % 3 for n in range(50)))


async def test_long_runs_go_to_threads_and_are_bounded_in_rows(executor: ThreadPoolExecutor) -> None:
    made = model()
    made._seconds_per_row = 1e-3  # as if each row took a millisecond
    scorer = Scorer(made, executor, 1, Waiting(2**20))
    futures = [scorer.submit(made.reader.read(body(1.0, 2.0))) for _ in range(10)]
    await asyncio.gather(*futures)
    assert scorer.calls == 10
    assert 4 <= scorer.runs <= 10


async def test_rows_that_make_a_run_fail_cost_no_other_call_its_answer(executor: ThreadPoolExecutor) -> None:
    lookup = [
        helper.make_node("Cast", ["X"], ["i"], to=7),
        helper.make_node("Gather", ["table", "i"], ["Y"], axis=0),
    ]
    sample = {"columns": {"x": [1.0]}, "expected": {"Score": [20.0]}}
    made = model(graph(lookup, 1, {"table": np.array([10.0, 20.0])}).SerializeToString(), sample=sample)
    scorer = Scorer(made, executor, 2, Waiting(2**20))
    good, bad, other = (scorer.submit(made.reader.read(body(x))) for x in (1.0, 99.0, 0.0))
    with pytest.raises(InvalidInput, match="cannot score these rows"):
        await bad
    assert scores((await good).body) == [20.0]
    assert scores((await other).body) == [10.0]


async def test_whoever_has_left_is_not_scored_and_leaves_no_place_taken(executor: ThreadPoolExecutor) -> None:
    waiting = Waiting(2**20)
    scorer = Scorer(model(), executor, 2, waiting)
    gone = scorer.submit(scorer.model.reader.read(body(1.0)))
    stays = scorer.submit(scorer.model.reader.read(body(2.0)))
    gone.cancel()
    assert scores((await stays).body) == [4.0]
    assert (scorer.calls, waiting.bytes) == (1, 0)


async def test_more_rows_than_may_wait_are_turned_away(executor: ThreadPoolExecutor) -> None:
    scorer = Scorer(model(), executor, 2, Waiting(1000))
    big = scorer.submit(scorer.model.reader.read(body(*([1.0] * 500))))  # one always fits
    with pytest.raises(Overloaded, match="try again soon"):
        scorer.submit(scorer.model.reader.read(body(1.0)))
    assert len(scores((await big).body)) == 500
    assert scores((await scorer.submit(scorer.model.reader.read(body(1.0)))).body) == [2.0]


class Files:
    """Models by digest, which counts how often each is opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.opened: list[str] = []

    def __call__(self, digest: str) -> BinaryIO:
        self.opened.append(digest)
        if digest == "gone":
            raise NotFound("there is no such content")
        path = self._folder / digest
        path.write_bytes(model_file())
        return path.open("rb")


async def test_a_model_is_loaded_once_and_dropped_when_memory_is_short(tmp_path: Path) -> None:
    files = Files(tmp_path)
    realtime = Realtime(files, RealtimeSettings(memory=2 * load(container.read(model_file())).size))
    try:
        kinds = [
            service(name=name, runtime=Runtime.REALTIME, content=name) for name in ("one", "two", "three")
        ]
        one, two, three = kinds
        answers = await asyncio.gather(*(realtime.score(one, body(x)) for x in (1.0, 2.0)))
        assert [scores(each.body) for each in answers] == [[2.0], [4.0]]
        assert files.opened == ["one"]
        await realtime.score(two, body(1.0))
        await realtime.score(one, body(1.0))
        await realtime.score(three, body(1.0))  # two was used longest ago
        assert realtime.describe()["models"] == 2
        await realtime.score(one, body(1.0))
        assert files.opened == ["one", "two", "three"]
        await realtime.score(two, body(1.0))
        assert files.opened == ["one", "two", "three", "two"]
        realtime.forget(two)
        assert realtime.describe()["models"] == 1
    finally:
        await realtime.close()


async def test_a_model_that_cannot_be_read_is_an_error_that_names_its_service(tmp_path: Path) -> None:
    realtime = Realtime(Files(tmp_path), RealtimeSettings())
    try:
        gone = service(name="bos-rt", runtime=Runtime.REALTIME, content="gone")
        with pytest.raises(RuntimeUnavailable, match=r"the model of bos-rt 1\.0\.0 cannot be loaded"):
            await realtime.score(gone, body(1.0))
    finally:
        await realtime.close()


async def test_a_long_body_is_read_in_a_thread_and_scored_the_same(tmp_path: Path) -> None:
    realtime = Realtime(Files(tmp_path), RealtimeSettings())
    try:
        found = await realtime.score(service(runtime=Runtime.REALTIME, content="m"), body(*([0.5] * 100_000)))
        assert scores(found.body) == [1.0] * 100_000
    finally:
        await realtime.close()


def test_the_graph_of_these_tests_is_what_they_say() -> None:
    assert len(doubling()) < 500
