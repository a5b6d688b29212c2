"""The batch runner's promises, with a dispatcher that does what the test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

import gristmill.batch
from gristmill import errors
from gristmill.batch import BatchRunner
from gristmill.batches import Batches, BatchSettings
from gristmill.calls import Answer, StageTimes
from gristmill.frames import WITH_FILES
from gristmill.identity import Principal, Role
from gristmill.jobs import FINISHED, NEXT, Batch, BatchState, Claim, ItemResult
from gristmill.ports import StateUnavailable
from gristmill.services import ServiceVersion
from gristmill.testing import MemoryBatches, MemoryBlobs
from tests.contract.records import service
from tests.fake_shells import until

ANN = Principal(name="ann", role=Role.CONTRIBUTOR)
SERVICE = service()


def answer(y: object, ok: bool = True, **more: object) -> Answer:
    fields = {"success": ok, "errorMessage": "", "outputParameters": {"y": y}, "changedFiles": []}
    return Answer(msgspec.json.encode({**fields, **more}), ok, StageTimes(0, 0, 0, 0, 0))


class FakeDispatcher:
    """Answers each item at once with what `reply` says for it; what is None stays open."""

    def __init__(self, reply: Callable[[int], Any] = answer) -> None:
        self.reply = reply
        self.sent: list[int] = []
        self.open: dict[int, asyncio.Future[Answer]] = {}
        self.most = 0
        self.services: set[ServiceVersion] = set()
        self._flying = 0

    def submit(
        self, of: ServiceVersion, body: bytes, *, lane: str = "", meta: bytes = b""
    ) -> asyncio.Future[Answer]:
        assert lane
        assert meta == WITH_FILES
        item = msgspec.json.decode(body, type=int)
        reply = self.reply(item)
        if isinstance(reply, errors.RuntimeUnavailable):
            raise reply
        self.sent.append(item)
        self.services.add(of)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._flying += 1
        self.most = max(self.most, self._flying)
        future.add_done_callback(lambda _: self._landed())
        if reply is None:
            self.open[item] = future
        elif isinstance(reply, Exception):
            asyncio.get_running_loop().call_soon(future.set_exception, reply)
        else:
            asyncio.get_running_loop().call_soon(future.set_result, reply)
        return future

    def _landed(self) -> None:
        self._flying -= 1


class World:
    """What nodes share, and one user's view of it."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryBatches()
        self.blobs = MemoryBlobs()
        self.folder = folder
        self.known = {(SERVICE.name, SERVICE.version): SERVICE}

    def resolve(self, name: str, version: str) -> ServiceVersion:
        if (name, version) not in self.known:
            raise errors.NotFound("gone")
        return self.known[name, version]

    @asynccontextmanager
    async def node(self, dispatcher: FakeDispatcher, holder: str = "n1") -> AsyncIterator[Batches]:
        runner = BatchRunner(self.store, self.blobs, cast(Any, dispatcher), self.resolve, holder=holder)
        await runner.start()
        try:
            settings = BatchSettings(most_parallel=8)
            yield Batches(self.store, self.blobs, runner, settings=settings, staging=self.folder)
        finally:
            await runner.close()

    async def begin(self, batches: Batches, items: int, parallel: int = 3) -> Batch:
        with batches.intake() as intake:
            await intake.feed(msgspec.json.encode(list(range(items))))
            intake.finish_json()
            return await batches.start(SERVICE, intake, ANN, parallel=parallel)

    async def ended(self, batch: Batch) -> Batch:
        await until(lambda: self.store.rows[batch.id].ended)
        return self.store.rows[batch.id]

    def answers(self, batch: Batch) -> list[Any]:
        """`y` of each item, or the error, by index."""
        found = sorted(self.store.items[batch.id].values(), key=lambda result: result.index)
        assert [result.index for result in found] == list(range(batch.total))
        bodies = [msgspec.json.decode(result.body or b"null") for result in found]
        return [body["errorMessage"] or body["outputParameters"]["y"] for body in bodies]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_state_is_followed_by_those_that_the_table_names_and_an_end_is_final() -> None:
    assert set(NEXT) == set(BatchState)
    for state in FINISHED:
        assert NEXT[state] <= {BatchState.CANCELLED}
    assert [state.value for state in BatchState] == [
        "Pending",
        "Ready",
        "InProgress",
        "Complete",
        "Failed",
        "Cancelled",
    ]


async def test_every_item_is_run_once_with_no_more_in_flight_than_wanted(world: World) -> None:
    dispatcher = FakeDispatcher()
    async with world.node(dispatcher) as batches:
        batch = await world.begin(batches, 100, parallel=3)
        done = await world.ended(batch)
    assert (done.state, done.completed, done.failed) == (BatchState.COMPLETE, 100, 0)
    assert world.answers(batch) == list(range(100))
    assert sorted(dispatcher.sent) == list(range(100))
    assert dispatcher.most == 3


async def test_the_server_bounds_what_a_caller_asks_for(world: World) -> None:
    dispatcher = FakeDispatcher()
    async with world.node(dispatcher) as batches:
        batch = await world.begin(batches, 50, parallel=1000)
        assert batch.parallel == 8
        await world.ended(batch)
    assert dispatcher.most == 8


async def test_many_results_are_recorded_in_one_write(world: World) -> None:
    writes: list[int] = []
    record = world.store.record

    async def counted(claim: Claim, results: Sequence[ItemResult], *, until: float) -> int | None:
        writes.append(len(results))
        return await record(claim, results, until=until)

    world.store.record = counted  # type: ignore[method-assign]
    async with world.node(FakeDispatcher()) as batches:
        await world.ended(await world.begin(batches, 2000))
    assert sum(writes) == 2000
    assert len(writes) < 50


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.InvalidInput("x is no number"), "x is no number"),
        (errors.TimedOut("too slow"), "too slow"),
        (errors.LimitExceeded("too large"), "too large"),
    ],
)
async def test_an_item_that_fails_keeps_its_error_and_is_not_tried_again(
    world: World, error: Exception, message: str
) -> None:
    dispatcher = FakeDispatcher(lambda item: error if item == 3 else answer(item))
    async with world.node(dispatcher) as batches:
        batch = await world.begin(batches, 6)
        done = await world.ended(batch)
    assert (done.state, done.failed) == (BatchState.COMPLETE, 1)
    assert world.answers(batch) == [0, 1, 2, message, 4, 5]
    assert dispatcher.sent.count(3) == 1


async def test_an_item_whose_shell_died_gets_one_more_chance(world: World) -> None:
    died: list[int] = []

    def reply(item: int) -> Any:
        if item in {2, 4} and died.count(item) < (1 if item == 2 else 9):
            died.append(item)
            return errors.ShellDied("SIGKILL")
        return answer(item)

    async with world.node(FakeDispatcher(reply)) as batches:
        batch = await world.begin(batches, 6)
        done = await world.ended(batch)
    found = world.answers(batch)
    assert (done.failed, died.count(2), died.count(4)) == (1, 1, 2)
    assert found[:4] == [0, 1, 2, 3]
    assert "ended the process that ran it 2 times: SIGKILL" in found[4]


async def test_a_batch_whose_every_item_kills_its_shell_is_given_up(world: World) -> None:
    dispatcher = FakeDispatcher(lambda item: errors.ShellDied("SIGSEGV"))
    async with world.node(dispatcher) as batches:
        done = await world.ended(await world.begin(batches, 1000))
    assert done.state is BatchState.FAILED
    assert "25 items in a row" in done.message
    assert done.completed >= 25
    assert len(dispatcher.sent) < 100


async def test_an_item_that_found_no_room_is_tried_again_later(world: World) -> None:
    refused: list[int] = []

    def reply(item: int) -> Any:
        if len(refused) < 3:
            refused.append(item)
            return errors.Overloaded("busy")
        return answer(item)

    async with world.node(FakeDispatcher(reply)) as batches:
        batch = await world.begin(batches, 5)
        done = await world.ended(batch)
    assert (done.state, done.failed) == (BatchState.COMPLETE, 0)
    assert world.answers(batch) == list(range(5))


async def test_a_deleted_service_fails_the_batch_and_a_patched_one_does_not_change_it(world: World) -> None:
    dispatcher = FakeDispatcher(lambda item: answer(item) if item < 5 else None)
    async with world.node(dispatcher) as batches:
        batch = await world.begin(batches, 10, parallel=1)
        await until(lambda: 5 in dispatcher.open)
        world.known[SERVICE.name, SERVICE.version] = replace(SERVICE, code="other").sealed()
        dispatcher.reply = lambda item: answer(item) if item < 7 else None
        dispatcher.open[5].set_result(answer(5))
        await until(lambda: 7 in dispatcher.open)
        assert dispatcher.services == {SERVICE}
        await until(lambda: len(world.store.items[batch.id]) == 7)
        world.store.fail_of_service(SERVICE.name, SERVICE.version)  # as whoever deletes it does
        dispatcher.open[7].set_result(answer(7))
        done = await world.ended(batch)
    assert done.state is BatchState.FAILED
    assert "was deleted" in done.message
    assert len(world.store.items[batch.id]) == 7


async def test_a_language_that_is_not_here_fails_the_batch(world: World) -> None:
    dispatcher = FakeDispatcher(lambda item: errors.RuntimeUnavailable("no R here"))
    async with world.node(dispatcher) as batches:
        done = await world.ended(await world.begin(batches, 3))
    assert (done.state, done.message) == (BatchState.FAILED, "no R here")


async def test_a_node_that_starts_anew_goes_on_with_what_is_not_recorded(world: World) -> None:
    stuck = FakeDispatcher(lambda item: None if item == 6 else answer(item))
    runner = BatchRunner(world.store, world.blobs, cast(Any, stuck), world.resolve, holder="n1")
    await runner.start()
    batches = Batches(world.store, world.blobs, runner, settings=BatchSettings(), staging=world.folder)
    batch = await world.begin(batches, 10, parallel=1)
    await until(lambda: len(world.store.items[batch.id]) == 6)
    # It is killed: whatever it had in hand is void as soon as the next one takes the batch.
    again = FakeDispatcher()
    async with world.node(again):
        done = await world.ended(batch)
        stuck.open[6].set_result(answer("late"))
        await until(lambda: not runner.running)
    await runner.close()
    assert (done.state, done.takes) == (BatchState.COMPLETE, 2)
    assert world.answers(batch) == list(range(10))
    assert again.sent == [6, 7, 8, 9]


@pytest.mark.parametrize("holder", ["n1", "n2"])
async def test_a_batch_is_taken_over_when_its_time_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    monkeypatch.setattr(gristmill.batch, "LOOK_SECONDS", 0.01)
    take = world.store.take

    async def only(by: str, **named: Any) -> list[Batch]:
        return await take(by, **named) if by == taker else []

    monkeypatch.setattr(world.store, "take", only)
    first, second, taker = FakeDispatcher(lambda item: None), FakeDispatcher(), "n1"
    async with world.node(first, "n1") as batches, world.node(second, "n2"):
        batch = await world.begin(batches, 4)
        await until(lambda: len(first.sent) == 3)
        taker = holder
        await asyncio.sleep(0.05)
        assert len(first.sent + second.sent) == 3
        first.reply = answer
        world.store.held[batch.id] = "n1", time.time()
        done = await world.ended(batch)
        if holder == "n1":
            assert all(future.cancelled() for future in first.open.values())
        else:
            await batches.cancel(batch)
    assert (done.takes, done.completed) == (2, 4)


async def test_a_batch_that_only_ends_its_nodes_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gristmill.batch, "_STOP_SECONDS", 0.05)
    stuck = FakeDispatcher(lambda item: None)
    async with world.node(stuck) as batches:
        batch = await world.begin(batches, 3)
        await until(lambda: bool(stuck.sent))
    world.store.rows[batch.id] = replace(world.store.rows[batch.id], stalled=5)
    async with world.node(stuck):
        done = await world.ended(batch)
    assert (done.state, "5 nodes in a row" in done.message) == (BatchState.FAILED, True)


async def test_a_node_that_stops_gives_its_batches_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gristmill.batch, "_STOP_SECONDS", 0.05)
    dispatcher = FakeDispatcher(lambda item: answer(item) if item < 2 else None)
    async with world.node(dispatcher) as batches:
        batch = await world.begin(batches, 9, parallel=2)
        await until(lambda: len(dispatcher.open) == 2)
    given_back = world.store.rows[batch.id]
    assert (given_back.state, given_back.completed) == (BatchState.READY, 2)
    assert batch.id not in world.store.held
    assert all(future.cancelled() for future in dispatcher.open.values())


async def test_cancelling_drops_what_is_in_flight_and_forgets_the_batch(world: World) -> None:
    dispatcher = FakeDispatcher(lambda item: None)
    async with world.node(dispatcher) as batches:
        batch = await world.begin(batches, 9, parallel=4)
        await until(lambda: len(dispatcher.open) == 4)
        await batches.cancel(batch)
        await until(lambda: all(future.cancelled() for future in dispatcher.open.values()))
        with pytest.raises(errors.NotFound):
            await batches.get(SERVICE.name, SERVICE.version, batch.id, ANN)
        assert [each.state async for each in batches.watch(batch, 1) if each] == [BatchState.CANCELLED]
    assert len(dispatcher.sent) == 4


async def test_a_node_that_lost_its_claim_stops_at_its_next_sign(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gristmill.batch, "SIGN_SECONDS", 0.02)
    dispatcher = FakeDispatcher(lambda item: None)
    async with world.node(dispatcher) as batches:
        batch = await world.begin(batches, 9, parallel=2)
        await until(lambda: len(dispatcher.open) == 2)
        await world.store.remove(batch.id)  # as another node does it
        await until(lambda: all(future.cancelled() for future in dispatcher.open.values()))


async def test_a_database_that_is_away_for_a_while_costs_no_result(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gristmill.batch, "SIGN_SECONDS", 0.01)
    failures = {"record": 2, "take": 1, "hold": 2}

    def flaky(name: str) -> None:
        original = getattr(world.store, name)

        async def method(*given: Any, **named: Any) -> Any:
            if failures[name]:
                failures[name] -= 1
                raise StateUnavailable("away")
            return await original(*given, **named)

        monkeypatch.setattr(world.store, name, method)

    for name in failures:
        flaky(name)
    async with world.node(FakeDispatcher()) as batches:
        batch = await world.begin(batches, 20)
        await world.ended(batch)
        await until(lambda: not failures["hold"])
    assert world.answers(batch) == list(range(20))


async def test_a_defect_of_ours_fails_the_batch_and_tells_nothing(world: World) -> None:
    dispatcher = FakeDispatcher(lambda item: ValueError("secret") if item == 2 else answer(item))
    async with world.node(dispatcher) as batches:
        done = await world.ended(await world.begin(batches, 9))
    assert done.state is BatchState.FAILED
    assert "secret" not in done.message


async def test_missing_inputs_fail_the_batch(world: World) -> None:
    async with world.node(FakeDispatcher()) as batches:
        world.blobs.open = _missing  # type: ignore[method-assign]
        done = await world.ended(await world.begin(batches, 3))
    assert (done.state, done.message) == (BatchState.FAILED, "the content is missing")


async def _missing(digest: str) -> Any:
    raise errors.NotFound("the content is missing")


async def test_large_answers_and_files_go_to_the_blob_store(world: World) -> None:
    def reply(item: int) -> Answer:
        if item == 1:
            return answer("x" * 100_000)
        return answer(item, changedFiles=["a"], files={"a": "AQI="}) if item == 2 else answer(item)

    async with world.node(FakeDispatcher(reply)) as batches:
        batch = await world.ended(await world.begin(batches, 4))
        shown = [each async for page in batches.results(batch) for each in page]
        assert await batches.files(batch, 2) == ["a"]
        assert await batches.file(batch, 2, "a") == b"\1\2"
        assert await batches.files(batch, 1) == []
        for index in (4, -1):
            with pytest.raises(errors.NotFound, match=f"no item {index}"):
                await batches.files(batch, index)
    bodies = [msgspec.json.decode(body) for _, body in shown]
    assert [result.index for result, _ in shown] == [0, 1, 2, 3]
    assert bodies[1]["outputParameters"]["y"] == "x" * 100_000
    assert "files" not in bodies[2]
    rows = world.store.items[batch.id]
    assert [rows[index].body is None for index in range(4)] == [False, True, False, False]
    digests: Collection[str | None] = {rows[1].content, rows[2].files, batch.inputs}
    assert world.store.references() == digests
