"""Several nodes and one truth: claims, leases, answers that get lost, and what is shared between owners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

import gristmill.batch
from gristmill import errors
from gristmill.background import Background
from gristmill.batch import HOLD_SECONDS, BatchRunner
from gristmill.batches import Batches, BatchSettings
from gristmill.identity import Principal, Role
from gristmill.jobs import Batch, BatchState
from gristmill.ports import StateUnavailable
from gristmill.registry import Registry
from gristmill.testing import MemoryBatches, MemoryBlobs, MemoryStores
from gristmill.testing_clock import run_jumping
from tests.contract.records import service
from tests.fake_shells import until
from tests.unit.test_batch import ANN, SERVICE, FakeDispatcher, World, answer

BOB = Principal(name="bob", role=Role.CONTRIBUTOR)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class Lost:
    """A store's method that does its work and loses the answer, as often as `times` says."""

    def __init__(self, of: object, name: str, times: int = 1) -> None:
        self.original = getattr(of, name)
        self.times = times
        setattr(of, name, self)

    async def __call__(self, *given: Any, **named: Any) -> Any:
        done = await self.original(*given, **named)
        if self.times:
            self.times -= 1
            raise StateUnavailable("the answer was lost")
        return done


async def jump(seconds: float) -> None:
    await asyncio.sleep(seconds)


def runner_of(world: World, dispatcher: Any, holder: str = "n1") -> BatchRunner:
    return BatchRunner(world.store, world.blobs, dispatcher, world.resolve, holder=holder)


def batches_of(world: World, runner: BatchRunner) -> Batches:
    return Batches(world.store, world.blobs, runner, settings=BatchSettings(), staging=world.folder)


# Void claims


@pytest.mark.parametrize("how", ["removed", "taken by another node"])
async def test_once_its_claim_is_void_a_batch_sends_nothing_more_and_reads_nothing(
    world: World, how: str
) -> None:
    dispatcher = FakeDispatcher(lambda item: None)
    async with world.node(dispatcher) as batches:
        batch = await world.begin(batches, 2000, parallel=3)
        await until(lambda: len(dispatcher.open) == 3)
        if how == "removed":
            await world.store.remove(batch.id)
        else:
            world.store.rows[batch.id] = replace(world.store.rows[batch.id], takes=2)
        dispatcher.open[0].set_result(answer(0))
        await until(lambda: dispatcher.open[1].cancelled() and dispatcher.open[2].cancelled())
        dispatcher.reply = answer
        for _ in range(20):  # callbacks of what was cancelled run now
            await asyncio.sleep(0)
    assert len(dispatcher.sent) <= 4  # the one whose place was free while the result was on its way


async def test_an_answer_that_comes_in_after_the_batch_was_dropped_feeds_no_other_item(world: World) -> None:
    dispatcher = FakeDispatcher(lambda item: None)
    async with world.node(dispatcher) as batches:
        batch = await world.begin(batches, 100, parallel=2)
        await until(lambda: len(dispatcher.open) == 2)
        dispatcher.open[0].set_result(answer(0))  # its callback has not run yet
        await batches.cancel(batch)
        await asyncio.sleep(0.02)
    assert dispatcher.sent == [0, 1]


async def test_a_batch_that_is_dropped_while_the_database_is_away_stops_trying(world: World) -> None:
    tried = 0

    async def record(*given: Any, **named: Any) -> int:
        nonlocal tried
        tried += 1
        raise StateUnavailable("away")

    world.store.record = record  # type: ignore[method-assign]
    runner = runner_of(world, cast(Any, FakeDispatcher()))
    await runner.start()
    batch = await world.begin(batches_of(world, runner), 5)
    await until(lambda: tried > 0)
    runner.drop(batch.id)
    tasks = set(runner._tasks)
    await asyncio.wait_for(asyncio.gather(*tasks), 2)
    await runner.close()


# Answers that are lost


@pytest.mark.parametrize("items", [3, 2000])
async def test_results_whose_recording_was_answered_by_silence_are_counted_once(
    world: World, items: int
) -> None:
    lost = Lost(world.store, "record")
    async with world.node(FakeDispatcher()) as batches:
        done = await world.ended(await world.begin(batches, items))
    assert (done.state, done.completed, done.failed, lost.times) == (BatchState.COMPLETE, items, 0, 0)
    assert world.answers(done) == list(range(items))


def test_a_batch_that_was_taken_while_the_answer_got_lost_runs_at_once(tmp_path: Path) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        world = World(tmp_path)
        world.store.clock = loop.time
        runner = runner_of(world, FakeDispatcher())
        batch = await world.begin(batches_of(world, runner), 3)
        Lost(world.store, "take")
        begun = loop.time()
        await runner.start()
        await until(lambda: world.store.rows[batch.id].ended, HOLD_SECONDS)
        await runner.close()
        assert world.store.rows[batch.id].state is BatchState.COMPLETE
        return loop.time() - begun

    assert run_jumping(main()) < HOLD_SECONDS / 3


async def test_a_batch_whose_acceptance_was_answered_by_silence_is_one_batch(world: World) -> None:
    Lost(world.store, "add")
    async with world.node(FakeDispatcher()) as batches:
        batch = await world.begin(batches, 3)
        await world.ended(batch)
        assert list(world.store.rows) == [batch.id]


async def test_a_batch_whose_removal_was_answered_by_silence_is_cancelled(world: World) -> None:
    Lost(world.store, "remove")
    async with world.node(FakeDispatcher(lambda item: None)) as batches:
        batch = await world.begin(batches, 3)
        await batches.cancel(batch)
        assert not world.store.rows


async def test_a_batch_cannot_be_accepted_while_the_database_is_away(world: World) -> None:
    async def add(batch: Batch) -> None:
        raise StateUnavailable("away")

    world.store.add = add  # type: ignore[method-assign]
    async with world.node(FakeDispatcher()) as batches:
        with pytest.raises(StateUnavailable):
            await world.begin(batches, 3)


# Leases


def test_the_clocks_of_nodes_do_not_matter_to_their_leases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        world = World(tmp_path)
        world.store.clock = lambda: 1e9 + loop.time()
        first, second = FakeDispatcher(lambda item: None), FakeDispatcher()
        one, two = runner_of(world, first, "n1"), runner_of(world, second, "n2")
        await one.start()
        batch = await world.begin(batches_of(world, one), 4)
        await jump(2)
        assert len(first.sent) == 3
        for leap in (-3600.0, 3600.0):  # whoever reads a clock of his own is misled
            monkeypatch.setattr("time.time", lambda leap=leap: 1e9 + loop.time() + leap)
            await two.start() if leap < 0 else None
            await jump(10 * HOLD_SECONDS)
            assert second.sent == []
        for repeated in one._repeated:  # the first node is dead
            await repeated.stop()
        await jump(2 * HOLD_SECONDS)
        assert world.store.rows[batch.id].state is BatchState.COMPLETE
        assert sorted(second.sent) == [0, 1, 2, 3]
        await one.close()
        await two.close()

    run_jumping(main())


# Ending


@pytest.mark.parametrize("fault", ["raises", "hangs"])
@pytest.mark.parametrize("method", ["record", "give_back", "hold", "take"])
def test_a_node_ends_in_its_own_time_whatever_the_database_does(
    tmp_path: Path, method: str, fault: str
) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        world = World(tmp_path)
        world.store.clock = loop.time
        dispatcher = FakeDispatcher(lambda item: answer(item) if item < 2 else None)
        runner = runner_of(world, dispatcher)
        await runner.start()
        await world.begin(batches_of(world, runner), 9)
        await until(lambda: len(dispatcher.open) > 0)

        async def broken(*given: Any, **named: Any) -> Any:
            if fault == "hangs":
                await asyncio.sleep(1e6)
            raise StateUnavailable("away")

        setattr(world.store, method, broken)
        await jump(5)
        begun = loop.time()
        await runner.close()
        return loop.time() - begun

    assert run_jumping(main()) < gristmill.batch._STOP_SECONDS + 3 * gristmill.batch._GIVE_BACK_SECONDS


def test_tries_to_record_become_rare_while_the_database_is_away(tmp_path: Path) -> None:
    async def main() -> tuple[int, BatchState]:
        loop = asyncio.get_running_loop()
        world = World(tmp_path)
        world.store.clock = loop.time
        tried, record, away = 0, world.store.record, True

        async def flaky(*given: Any, **named: Any) -> Any:
            nonlocal tried
            tried += 1
            if away:
                raise StateUnavailable("away")
            return await record(*given, **named)

        world.store.record = flaky  # type: ignore[method-assign]
        runner = runner_of(world, FakeDispatcher())
        await runner.start()
        batch = await world.begin(batches_of(world, runner), 3)
        await jump(600)
        away = False
        await jump(10)
        await runner.close()
        return tried, world.store.rows[batch.id].state

    tried, state = run_jumping(main())
    assert 100 < tried < 300  # every 2.5 to 5 s
    assert state is BatchState.COMPLETE


# Supervision


@pytest.mark.parametrize("error", [OSError("too many open files"), StateUnavailable("away")])
@pytest.mark.parametrize("method", ["take", "hold", "now", "give_back"])
def test_no_error_ends_the_taking_and_holding_of_batches(
    tmp_path: Path, method: str, error: Exception
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        world = World(tmp_path)
        world.store.clock = loop.time
        original, broken = getattr(world.store, method), 2

        async def flaky(*given: Any, **named: Any) -> Any:
            nonlocal broken
            if broken:
                broken -= 1
                raise error
            return await original(*given, **named)

        setattr(world.store, method, flaky)
        background = Background()
        runner = BatchRunner(
            world.store,
            world.blobs,
            cast(Any, FakeDispatcher()),
            world.resolve,
            holder="n1",
            background=background,
        )
        await runner.start()
        assert background.describe().keys() == {"take batches", "hold batches"}
        batch = await world.begin(batches_of(world, runner), 3)
        await jump(60)
        assert world.store.rows[batch.id].state is BatchState.COMPLETE
        await runner.close()

    run_jumping(main())


@pytest.mark.parametrize("where", ["inputs", "dispatcher"])
def test_contents_that_cannot_be_read_for_a_moment_do_not_fail_a_batch(tmp_path: Path, where: str) -> None:
    async def main() -> Batch:
        loop = asyncio.get_running_loop()
        world = World(tmp_path)
        world.store.clock = loop.time
        missing, opened = 3, world.blobs.open

        async def flaky(digest: str) -> Any:
            nonlocal missing
            if missing:
                missing -= 1
                raise OSError("stale file handle")
            return await opened(digest)

        def reply(item: int) -> Any:
            nonlocal missing
            if where == "dispatcher" and missing:
                missing -= 1
                return OSError("too many open files")
            return answer(item)

        if where == "inputs":
            world.blobs.open = flaky  # type: ignore[method-assign]
        runner = runner_of(world, FakeDispatcher(reply))
        await runner.start()
        batch = await world.begin(batches_of(world, runner), 5)
        await jump(100)
        await runner.close()
        return world.store.rows[batch.id]

    done = run_jumping(main())
    assert (done.state, done.failed) == (BatchState.COMPLETE, 0)


def test_a_disk_that_is_full_for_minutes_costs_no_result(tmp_path: Path) -> None:
    async def main() -> tuple[Batch, list[int]]:
        loop = asyncio.get_running_loop()
        world = World(tmp_path)
        world.store.clock = loop.time
        put, full = world.blobs.put, True

        async def filling(source: Any, **named: Any) -> Any:
            if full:
                raise StateUnavailable("there is no room left")
            return await put(source, **named)

        dispatcher = FakeDispatcher(lambda item: answer("x" * 100_000))
        runner = runner_of(world, dispatcher)
        await runner.start()
        batch = await world.begin(batches_of(world, runner), 3)
        world.blobs.put = filling  # type: ignore[method-assign]
        await jump(600)
        full = False
        await jump(30)
        await runner.close()
        return world.store.rows[batch.id], dispatcher.sent

    done, sent = run_jumping(main())
    assert (done.state, done.failed, sent) == (BatchState.COMPLETE, 0, [0, 1, 2])


def test_a_database_that_fails_again_and_again_as_a_batch_begins_does_not_fail_it(tmp_path: Path) -> None:
    async def main() -> Batch:
        loop = asyncio.get_running_loop()
        world = World(tmp_path)
        world.store.clock = loop.time
        recorded, failures = world.store.recorded, 20

        async def flaky(id: str) -> list[int]:
            nonlocal failures
            if failures:
                failures -= 1
                raise StateUnavailable("away")
            return await recorded(id)

        world.store.recorded = flaky  # type: ignore[method-assign]
        runner = runner_of(world, FakeDispatcher())
        await runner.start()
        batch = await world.begin(batches_of(world, runner), 3)
        await jump(200)
        await runner.close()
        return world.store.rows[batch.id]

    done = run_jumping(main())
    assert (done.state, done.takes) == (BatchState.COMPLETE, 21)


def test_inputs_that_can_never_be_read_fail_the_batch_in_the_end(tmp_path: Path) -> None:
    async def main() -> Batch:
        loop = asyncio.get_running_loop()
        world = World(tmp_path)
        world.store.clock = loop.time

        async def broken(digest: str) -> Any:
            raise OSError("input/output error")

        runner = runner_of(world, FakeDispatcher())
        await runner.start()
        batch = await world.begin(batches_of(world, runner), 3)
        world.blobs.open = broken  # type: ignore[method-assign]
        await jump(10 * HOLD_SECONDS)
        await runner.close()
        return world.store.rows[batch.id]

    done = run_jumping(main())
    assert (done.state, "could not read its inputs" in done.message) == (BatchState.FAILED, True)


# What a node has not heard of, and what was deleted


class Node:
    """A node over shared stores."""

    def __init__(self, stores: MemoryStores, blobs: MemoryBlobs, folder: Path, name: str) -> None:
        self.registry = Registry(stores.services, stores.snapshots)
        self.dispatcher = FakeDispatcher()
        self.runner = BatchRunner(
            stores.batches, blobs, cast(Any, self.dispatcher), self.registry.resolve, holder=name
        )
        self.registry.subscribe(self.runner.service_changed)
        self.batches = Batches(stores.batches, blobs, self.runner, settings=BatchSettings(), staging=folder)

    async def begin(self, of: Any, items: int, by: Principal = ANN) -> Batch:
        with self.batches.intake() as intake:
            await intake.feed(msgspec.json.encode(list(range(items))))
            intake.finish_json()
            return await self.batches.start(of, intake, by, parallel=2)


async def test_a_batch_of_a_service_that_another_node_has_just_published_runs(tmp_path: Path) -> None:
    stores, blobs = MemoryStores(), MemoryBlobs()
    here, there = (Node(stores, blobs, tmp_path, name) for name in ("a", "b"))
    await there.registry.refresh()
    published = await here.registry.publish(service(), None, ANN)
    batch = await here.begin(published, 3)
    await there.runner.start()
    await until(lambda: stores.batches.rows[batch.id].ended)
    await there.runner.close()
    assert stores.batches.rows[batch.id].state is BatchState.COMPLETE


async def test_deleting_a_service_stops_its_batches_on_every_node(tmp_path: Path) -> None:
    stores, blobs = MemoryStores(), MemoryBlobs()
    here, there = (Node(stores, blobs, tmp_path, name) for name in ("a", "b"))
    published = await here.registry.publish(service(), None, ANN)
    await there.registry.refresh()
    there.dispatcher.reply = lambda item: None
    await there.runner.start()
    batch = await there.begin(published, 9)
    await until(lambda: len(there.dispatcher.open) == 2)
    await here.registry.delete("bos", "1", ANN)
    await there.registry.refresh()
    await until(lambda: all(future.cancelled() for future in there.dispatcher.open.values()))
    row = stores.batches.rows[batch.id]
    await there.runner.close()
    assert (row.state, row.message) == (BatchState.FAILED, "the service bos 1 was deleted")
    assert there.dispatcher.sent == [0, 1]


# Shares


async def begin_many(world: World, runner: BatchRunner, count: int, by: Principal, items: int) -> list[Batch]:
    batches, begun = batches_of(world, runner), []
    for _ in range(count):
        with batches.intake() as intake:
            await intake.feed(msgspec.json.encode(list(range(items))))
            intake.finish_json()
            begun.append(await batches.start(SERVICE, intake, by, parallel=1))
    return begun


class Slow(FakeDispatcher):
    """Each item takes a second."""

    def submit(self, of: Any, body: bytes, *, lane: str = "", meta: bytes = b"") -> Any:
        future = super().submit(of, body, lane=lane, meta=meta)

        def land() -> None:
            if not future.done():
                future.set_result(answer(1))

        asyncio.get_running_loop().call_later(1, land)
        return future


def on_a_full_node(tmp_path: Path, story: Callable[[World, BatchRunner], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = World(tmp_path)
        world.store.clock = asyncio.get_running_loop().time
        runner = runner_of(world, Slow(lambda item: None))
        await runner.start()
        await begin_many(world, runner, 6, ANN, 10_000)
        await jump(5)
        assert runner.running == 4
        await story(world, runner)
        await runner.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gristmill.batch, "_AT_ONCE", 4)
        patch.setattr(gristmill.batch, "_STOP_SECONDS", 0.0)
        run_jumping(main())


def test_the_batches_of_one_owner_do_not_keep_anothers_from_starting(tmp_path: Path) -> None:
    async def story(world: World, runner: BatchRunner) -> None:
        bobs = await begin_many(world, runner, 3, BOB, 10_000)
        await jump(8)
        running = [world.store.rows[id].owner for id in runner._runs]
        assert sorted(running) == ["ann", "ann", "bob", "bob"]
        assert world.store.rows[bobs[0].id].completed > 0

    on_a_full_node(tmp_path, story)


def test_old_long_batches_do_not_keep_new_ones_of_their_owner_from_starting(tmp_path: Path) -> None:
    async def story(world: World, runner: BatchRunner) -> None:
        [new] = await begin_many(world, runner, 1, ANN, 5)
        await jump(4 * gristmill.batch._TURN_SECONDS)
        assert world.store.rows[new.id].state is BatchState.COMPLETE
        done = [row.completed for row in world.store.rows.values()]
        assert min(done) > 0  # each had its turn
        await jump(10 * gristmill.batch._TURN_SECONDS)
        assert all(row.stalled <= 1 and not row.message for row in world.store.rows.values())

    on_a_full_node(tmp_path, story)


def test_where_nobody_waits_no_batch_is_interrupted(tmp_path: Path) -> None:
    async def main() -> None:
        world = World(tmp_path)
        world.store.clock = asyncio.get_running_loop().time
        runner = runner_of(world, Slow(lambda item: None))
        await runner.start()
        await begin_many(world, runner, 4, ANN, 500)
        await jump(400)
        assert {row.takes for row in world.store.rows.values()} == {1}
        await jump(200)
        assert {row.state for row in world.store.rows.values()} == {BatchState.COMPLETE}
        await runner.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gristmill.batch, "_AT_ONCE", 4)
        run_jumping(main())


async def test_a_language_that_is_missing_fails_a_batch_of_large_items_too(world: World) -> None:
    class WithoutR(FakeDispatcher):
        def submit(self, of: Any, body: bytes, *, lane: str = "", meta: bytes = b"") -> Any:
            raise errors.RuntimeUnavailable("no R here")

    async with world.node(WithoutR()) as batches:
        with batches.intake() as intake:
            await intake.feed(b'["' + b"x" * 100_000 + b'"]')
            intake.finish_json()
            batch = await batches.start(SERVICE, intake, ANN)
        done = await world.ended(batch)
    assert (done.state, done.message) == (BatchState.FAILED, "no R here")


def test_the_fake_store_counts_by_its_own_clock() -> None:
    assert asyncio.run(MemoryBatches(clock=lambda: 7.0).now()) == 7.0
