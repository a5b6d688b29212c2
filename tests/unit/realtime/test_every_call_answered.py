"""Whatever a model, an encoder or the threads raise, each call of a model gets its own outcome, once."""

import asyncio
import concurrent.futures
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.calls import Answer
from gristmill.errors import InvalidInput, Overloaded
from gristmill.off_loop import Work
from gristmill.realtime import container
from gristmill.realtime.model import Model, load
from gristmill.realtime.scorer import Scorer
from gristmill.realtime.threads import TooLong, in_thread, made_off_loop
from gristmill.realtime.waiting import Waiting
from tests.realtime_models import model_file

RAISED: list[type[BaseException]] = [
    ValueError,
    OverflowError,
    MemoryError,
    RecursionError,
    StopIteration,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    asyncio.InvalidStateError,
    RuntimeError,
    BaseException,
]


class Fickle(Model):
    """A model whose runs raise if one of the rows is below zero: what RAISED has at minus that place."""

    def run(self, tensors: Sequence[np.ndarray[Any, Any]], rows: int) -> list[list[Any]]:
        for cell in tensors[0][:, 0]:
            if cell < 0:
                raise RAISED[int(-cell) - 1]("of a run")
        return super().run(tensors, rows)


def fickle(cost: float) -> Fickle:
    made = load(container.read(model_file()))
    found = Fickle(made.description, made._session, made.size)
    found._seconds_per_run, found._seconds_per_row = cost, 1e-7
    found._learn = lambda seconds, rows: None  # type: ignore[method-assign]
    return found


def body(*x: float | None) -> bytes:
    return msgspec.json.encode({"inputData": {"x": x}})


def scores(answer: bytes) -> Any:
    return json.loads(answer)["outputParameters"]["outputData"]["Score"]


async def outcome(future: asyncio.Future[Answer]) -> Any:
    """The score, or the error."""
    try:
        return scores((await future).body)[0]
    except Exception as error:  # noqa: BLE001 - it is what is looked at
        return error


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["good", "run", "encode", "leaves"]), st.integers(min_value=1, max_value=len(RAISED))
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(calls=CALLS, cost=st.sampled_from([1e-5, 2e-3]), refusing=st.booleans())
def test_each_call_gets_its_own_outcome_whatever_others_raise(
    calls: list[tuple[str, int]], cost: float, refusing: bool
) -> None:
    async def main() -> None:
        waiting = Waiting(2**20)
        with ThreadPoolExecutor(2) as executor:
            if refusing:
                executor.shutdown()
            scorer = Scorer(fickle(cost), executor, 2, waiting)
            futures = []
            for place, (kind, which) in enumerate(calls):
                rows = scorer.model.reader.read(body(-which if kind == "run" else place))
                encode = raising(which) if kind == "encode" else None
                call = scorer.add(rows, encode=encode)
                if kind == "leaves":
                    scorer.leave(call)
                futures.append(call.future)
            answered, lost = await asyncio.wait(
                [asyncio.ensure_future(outcome_of(f)) for f in futures], timeout=10
            )
            assert not lost
            assert len(answered) == len(calls)
            assert waiting.bytes == 0
            for place, ((kind, which), future) in enumerate(zip(calls, futures, strict=True)):
                check(kind, which, place, future, turned_away=refusing)

    asyncio.run(main())


async def outcome_of(future: asyncio.Future[Answer]) -> None:
    await asyncio.wait([future])


def raising(which: int) -> Callable[[Sequence[Sequence[Any]]], bytes]:
    def encode(columns: Sequence[Sequence[Any]]) -> bytes:
        raise RAISED[which - 1]("of an encoder")

    return encode


def check(kind: str, which: int, place: int, future: asyncio.Future[Answer], *, turned_away: bool) -> None:
    """Fail unless the future has what a call of that kind is to be answered with."""
    assert future.done()
    if kind == "leaves":
        assert future.cancelled()
        return
    error = future.exception()
    if turned_away and isinstance(error, Overloaded):
        return
    if kind == "good":
        assert scores(future.result().body) == [2.0 * place]
        return
    raised = RAISED[which - 1]
    assert type(error) is raised or (type(error) is RuntimeError and raised.__name__ in str(error))


async def test_an_integer_that_is_infinite_is_refused_by_name_and_its_neighbours_are_scored() -> None:
    sample = {"columns": {"x": [1.0, 2.5, None]}, "expected": {"Score": [2, 5, None]}}
    outputs = [{"name": "Score", "type": "integer", "tensor": "Y"}]
    made = load(container.read(model_file(outputs=outputs, sample=sample)))
    with ThreadPoolExecutor(1) as executor:
        scorer = Scorer(made, executor, 1, Waiting(2**20))
        found = await asyncio.gather(
            *(
                outcome(scorer.submit(made.reader.read(b'{"inputData":{"x":[%s]}}' % x)))
                for x in (b"1", b"1e308", b"-9e18", b"null")
            )
        )
    assert found[0] == 2
    assert found[3] is None
    for error in found[1:3]:
        assert isinstance(error, InvalidInput)
        assert "output 'Score' is declared integer" in str(error)


async def test_calls_that_wait_as_the_executor_is_shut_down_are_turned_away() -> None:
    going, started = threading.Event(), threading.Event()
    executor = ThreadPoolExecutor(1)
    waiting = Waiting(2**20)
    scorer = Scorer(fickle(2e-3), executor, 2, waiting)

    def occupy() -> None:
        started.set()
        going.wait(10)

    executor.submit(occupy)
    started.wait(10)
    futures = [scorer.submit(scorer.model.reader.read(body(1.0))) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    executor.shutdown(wait=False, cancel_futures=True)
    going.set()
    found = await asyncio.wait_for(asyncio.gather(*map(outcome, futures)), 10)
    assert all(isinstance(error, Overloaded) for error in found)
    assert waiting.bytes == 0


async def test_what_a_caller_who_leaves_has_waiting_is_given_back_at_once() -> None:
    waiting = Waiting(1000)
    with ThreadPoolExecutor(1) as executor:
        scorer = Scorer(fickle(1e-5), executor, 1, waiting)
        big = scorer.add(scorer.model.reader.read(body(*([1.0] * 500))))
        with pytest.raises(Overloaded):
            scorer.submit(scorer.model.reader.read(body(1.0)))
        scorer.leave(big)
        assert waiting.bytes == 0
        stays = scorer.submit(scorer.model.reader.read(body(1.0)))
        assert scores((await stays).body) == [2.0]
        assert scorer.calls == 1


@pytest.mark.parametrize("place", range(len(RAISED)))
async def test_whatever_is_raised_in_a_thread_reaches_who_waits(place: int) -> None:
    def work() -> None:
        raise RAISED[place]("of a thread")

    with ThreadPoolExecutor(1) as executor:
        async with asyncio.timeout(10):
            with pytest.raises((RAISED[place], RuntimeError), match="of a thread"):
                await in_thread(executor, work)


async def test_long_bodies_are_not_read_cell_by_cell_on_the_loop() -> None:
    made = load(container.read(model_file()))
    records = msgspec.json.encode({"inputData": [{"x": 1.0}] * 5000})
    with pytest.raises(TooLong):
        made.reader.read(records)
    with ThreadPoolExecutor(1) as executor:
        rows = await in_thread(executor, made.reader.read, records)
    assert rows.rows == 5000


def test_a_model_that_was_loaded_knows_what_its_runs_cost() -> None:
    made = load(container.read(model_file()))
    assert 0 < made.cost(1) < 0.5
    assert made.cost(10_000) > made.cost(1)


def test_a_model_whose_sample_cannot_be_run_counts_as_slow() -> None:
    made = fickle(1e-5)
    made.raw = lambda tensors: 1 / 0  # type: ignore[assignment, return-value, method-assign]
    made.measure()
    assert made.cost(1) >= 1.0


async def test_what_is_made_for_a_caller_who_has_left_is_undone() -> None:
    begun, going, undone = threading.Event(), threading.Event(), threading.Event()

    def make() -> str:
        begun.set()
        assert going.wait(10)
        return "made"

    async def caller() -> str:
        return await made_off_loop(Work.READ, make, lambda made: undone.set() if made == "made" else None)

    leaves = asyncio.create_task(caller())
    assert await asyncio.to_thread(begun.wait, 10)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    going.set()
    assert await asyncio.to_thread(undone.wait, 10)
