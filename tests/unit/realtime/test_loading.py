"""Models are loaded once for all who wait, in threads of their own, and what fails is tried again."""

import asyncio
import errno
import io
import os
import threading
from typing import Any, BinaryIO

import msgspec
import pytest

from gristmill.background import Background
from gristmill.errors import NotFound, Overloaded, RuntimeUnavailable
from gristmill.realtime import container
from gristmill.realtime.model import load
from gristmill.realtime.models import Realtime, RealtimeSettings
from gristmill.services import Runtime, ServiceVersion
from tests.realtime_models import model_file
from tests.unit.web.fakes import service

BODY = msgspec.json.encode({"inputData": {"x": [1.5]}})


class Store:
    """Opens models: raises what is next in `failures`, and waits while `gate` is closed."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.gate = threading.Event()
        self.gate.set()
        self.opened = 0
        self.reached = threading.Event()
        self.at_once = self.most_at_once = 0

    def __call__(self, digest: str) -> BinaryIO:
        self.opened += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.reached.set()
        try:
            assert self.gate.wait(20)
            if self.failures:
                raise self.failures.pop(0)
        finally:
            self.at_once -= 1
        return io.BytesIO(model_file())


def model_service(name: str) -> ServiceVersion:
    return service(name=name, runtime=Runtime.REALTIME, content=name)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files"),
        (OSError(errno.ESTALE, os.strerror(errno.ESTALE)), "Stale file handle"),
        (MemoryError(), "no memory"),
        (ValueError("a bug"), "the server's log says why"),
        (StopIteration(), "the server's log says why"),
        (SystemExit(1), "the server's log says why"),
        (asyncio.CancelledError(), "the server's log says why"),
        (Overloaded("the store does not answer", retry_after=3.0), "the store does not answer"),
    ],
)
async def test_a_load_that_fails_is_told_to_all_and_tried_anew_by_the_next(
    failure: BaseException, told: str
) -> None:
    store = Store(failure)
    realtime = Realtime(store, RealtimeSettings())
    one = model_service("one")
    found = await asyncio.gather(*(realtime.score(one, BODY) for _ in range(5)), return_exceptions=True)
    assert store.opened == 1
    for error in found:
        assert isinstance(error, Overloaded)
        assert error.retry_after
        assert told in str(error)
    assert len({id(error) for error in found}) == 5
    assert (await realtime.score(one, BODY)).ok
    assert store.opened == 2
    await realtime.close()


async def test_a_content_that_is_missing_is_no_matter_of_trying_again() -> None:
    realtime = Realtime(Store(NotFound("content one is missing")), RealtimeSettings())
    with pytest.raises(RuntimeUnavailable, match="content one is missing"):
        await realtime.score(model_service("one"), BODY)
    await realtime.close()


async def test_who_stops_waiting_for_a_load_ends_it_for_nobody_else() -> None:
    store = Store()
    store.gate.clear()
    realtime = Realtime(store, RealtimeSettings())
    one = model_service("one")
    leaves, stays = (asyncio.create_task(realtime.score(one, BODY)) for _ in range(2))
    await asyncio.to_thread(store.reached.wait, 10)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    store.gate.set()
    assert (await stays).ok
    assert store.opened == 1
    assert realtime.describe()["calls"] == 1
    await realtime.close()


async def test_loads_that_hang_keep_no_loaded_model_from_scoring_and_are_few() -> None:
    store = Store()
    realtime = Realtime(store, RealtimeSettings(threads=1, load_threads=2))
    ready = model_service("ready")
    await realtime.prepare(ready)
    store.gate.clear()
    hanging = [asyncio.create_task(realtime.score(model_service(f"m{n}"), BODY)) for n in range(10)]
    await asyncio.sleep(0)
    many = msgspec.json.encode({"inputData": {"x": [0.5] * 100_000}})  # read and run in threads
    async with asyncio.timeout(10):
        assert (await realtime.score(ready, many)).ok
    store.gate.set()
    assert all(answer.ok for answer in await asyncio.gather(*hanging))
    assert store.most_at_once <= 2
    await realtime.close()


async def test_who_waits_too_long_for_a_load_is_turned_away_and_the_load_goes_on() -> None:
    store = Store()
    store.gate.clear()
    realtime = Realtime(store, RealtimeSettings(load_seconds=0.05))
    one = model_service("one")
    for _ in range(3):
        with pytest.raises(Overloaded, match="still being loaded"):
            await realtime.score(one, BODY)
    assert store.opened == 1
    store.gate.set()
    realtime._loading._seconds = 10
    assert (await realtime.score(one, BODY)).ok
    assert store.opened == 1
    await realtime.close()


async def test_who_waits_for_a_load_as_the_node_ends_is_told_so() -> None:
    store = Store()
    store.gate.clear()
    realtime = Realtime(store, RealtimeSettings())
    waits = asyncio.create_task(realtime.score(model_service("one"), BODY))
    await asyncio.to_thread(store.reached.wait, 10)
    async with asyncio.timeout(10):
        await realtime.close()
        with pytest.raises(Overloaded, match="shutting down"):
            await waits
        with pytest.raises(Overloaded):
            await realtime.score(model_service("two"), BODY)
    store.gate.set()


async def test_a_model_that_is_dropped_while_calls_run_on_it_answers_them_and_is_not_loaded_twice() -> None:
    store = Store()
    size = load(container.read(model_file())).size
    realtime = Realtime(store, RealtimeSettings(memory=size))
    one, two = model_service("one"), model_service("two")
    model = await realtime.model(one)
    going, running = threading.Event(), threading.Event()
    usual = model.run

    def slow(*given: Any) -> Any:
        running.set()
        assert going.wait(20)
        return usual(*given)

    model.run = slow  # type: ignore[assignment, method-assign]
    model._seconds_per_run = 1.0  # in a thread
    first = asyncio.create_task(realtime.score(one, BODY))
    await asyncio.to_thread(running.wait, 10)
    await realtime.prepare(two)  # there is room for one
    assert realtime.describe()["models"] == 1
    assert await realtime.model(one) is model
    going.set()
    assert (await first).ok
    assert store.opened == 2
    await realtime.close()


async def test_warming_goes_on_after_a_model_that_cannot_be_loaded() -> None:
    store = Store(OSError(errno.EIO, "I/O error"))
    background = Background()
    realtime = Realtime(store, RealtimeSettings(), background=background)
    realtime.warm([model_service("one"), model_service("two")])
    async with asyncio.timeout(10):
        await asyncio.gather(*background._once)
    assert store.opened == 2
    assert realtime.describe()["models"] == 1
    await realtime.close()
    await background.close()
