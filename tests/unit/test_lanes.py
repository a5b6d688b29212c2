"""Work in lanes lets direct calls go first, and lanes take turns."""

from __future__ import annotations

import asyncio

import pytest

from gristmill.calls import Request
from gristmill.errors import Draining, ShellDied
from gristmill.fair_queue import FairQueue
from gristmill.frames import Kind
from gristmill.services import ServiceVersion
from gristmill.testing_clock import run_jumping
from tests.fake_shells import FakeLauncher, FakeProcess, answering, until
from tests.unit.test_pool import a_pool, call, service, submit


def item(lane: str, of: ServiceVersion, body: bytes = b"{}") -> Request:
    request = call(of, body)
    request.lane = lane
    return request


def only_load(process: FakeProcess) -> None:
    while process.frames and process.frames[0].kind == Kind.LOAD:
        process.reply()


def bodies(launcher: FakeLauncher) -> list[bytes]:
    """Of the calls that shells were sent, shell by shell."""
    return [frame.body for process in launcher.processes for frame in process.seen if frame.kind == Kind.CALL]


async def test_lanes_take_turns_and_a_lane_keeps_its_order() -> None:
    lanes, of = FairQueue(cost=lambda r: 1.0), service()
    for lane, body in (("a", b"1"), ("a", b"2"), ("a", b"3"), ("b", b"4"), ("b", b"5"), ("c", b"6")):
        lanes.push(item(lane, of, body))
    assert len(lanes) == 6
    order = []
    while (shown := lanes.next()) is not None:
        assert lanes.pop() is shown
        order.append(shown.body)
    assert order == [b"1", b"4", b"6", b"2", b"5", b"3"]
    assert not lanes


async def test_who_has_left_is_passed_over() -> None:
    lanes, of = FairQueue(cost=lambda r: 1.0), service()
    gone, stays = item("a", of), item("a", of)
    lanes.push(stays)
    lanes.push_back(gone)
    gone.future.cancel()
    assert lanes.next() is stays
    assert list(lanes.clear()) == [stays]
    assert lanes.next() is None
    assert lanes.oldest() == float("inf")


async def test_a_direct_call_goes_before_every_item_that_waits() -> None:
    launcher, of = FakeLauncher(only_load), service()
    async with a_pool(launcher) as pool:
        items = submit(pool, *(item("a", of, b"item") for _ in range(3)))
        await until(lambda: bodies(launcher) == [b"item"])
        direct = submit(pool, call(of, b"direct"))
        launcher.processes[0].reply()
        await until(lambda: len(bodies(launcher)) == 2)
        assert bodies(launcher) == [b"item", b"direct"]
        launcher.on_request = answering()
        launcher.processes[0].reply()
        await asyncio.gather(*items, *direct)


async def test_when_nobody_calls_items_have_every_shell_and_their_sockets() -> None:
    launcher, of = FakeLauncher(answering(run=20)), service()
    async with a_pool(launcher, initial=2, maximum=2) as pool:
        await asyncio.gather(*submit(pool, *(item("a", of) for _ in range(4))))
        launcher.on_request = only_load
        items = submit(pool, *(item("a", of) for _ in range(20)))
        await until(lambda: min(len(process.calls) for process in launcher.processes) > 3)
        launcher.on_request = answering()
        for process in launcher.processes:
            process.reply()
            answering()(process)
        await asyncio.gather(*items)


async def test_a_shell_is_left_to_direct_calls_when_there_were_some_and_items_are_long() -> None:
    launcher, of = FakeLauncher(only_load), service()
    async with a_pool(launcher, initial=3, maximum=3) as pool:
        [first] = submit(pool, call(of, b"direct"))
        await until(lambda: bodies(launcher) == [b"direct"])
        launcher.processes[0].reply(run=200_000)
        await first
        items = submit(pool, *(item("a", of, b"item") for _ in range(6)))
        await until(lambda: bodies(launcher).count(b"item") == 2)
        [second] = submit(pool, call(of, b"at once"))
        await until(lambda: b"at once" in bodies(launcher))
        assert bodies(launcher).count(b"item") == 2
        for request in [*items, second]:
            request.cancel()


async def test_items_that_would_starve_get_some_of_the_direct_calls_turns() -> None:
    launcher, of = FakeLauncher(only_load), service()
    async with a_pool(launcher) as pool:
        direct = submit(pool, call(of, b"direct"))
        await until(lambda: bodies(launcher) == [b"direct"])
        items = submit(pool, *(item("a", of, b"item") for _ in range(3)))
        await until(lambda: len(pool._queue) > 0)
        assert [request.body for request in pool._queue] == [b"item"]
        direct += submit(pool, call(of, b"later"))
        launcher.on_request = answering()
        launcher.processes[0].reply()
        await asyncio.gather(*direct, *items)
        assert bodies(launcher)[1] == b"item"


async def test_an_item_that_waited_behind_one_that_died_is_tried_again() -> None:
    launcher, of = FakeLauncher(answering(run=20)), service()
    async with a_pool(launcher) as pool:
        await asyncio.gather(*submit(pool, item("a", of)))
        launcher.on_request = only_load
        dies, waits = submit(pool, item("a", of, b"dies"), item("a", of, b"waits"))
        await until(lambda: len(launcher.processes[0].calls) == 2)
        launcher.on_request = answering()
        launcher.processes[0].die()
        with pytest.raises(ShellDied):
            await dies
        assert (await waits).ok


def test_an_item_that_nobody_waits_for_any_more_is_interrupted_and_then_does_not_keep_its_shell() -> None:
    async def main() -> None:
        launcher, of = FakeLauncher(only_load), service()
        async with a_pool(launcher) as pool:
            [left] = submit(pool, item("a", of))
            await until(lambda: len(bodies(launcher)) == 1)
            left.cancel()
            await until(lambda: launcher.processes[0].interrupted == 1)
            assert launcher.processes[0].alive
            await until(lambda: not launcher.processes[0].alive, seconds=10)

    run_jumping(main())


async def test_items_that_wait_make_the_pool_grow_and_end_with_it() -> None:
    launcher, of = FakeLauncher(only_load), service()
    async with a_pool(launcher, maximum=2, grow_seconds=0.01) as pool:
        items = submit(pool, *(item("a", of) for _ in range(5)))
        await until(lambda: len(launcher.processes) == 2)
    for each in items:
        with pytest.raises((Draining, ShellDied)):
            await each


@pytest.mark.parametrize("lane", ["", "a"])
async def test_what_waits_behind_a_load_ends_with_the_pool_too(lane: str) -> None:
    launcher, of = FakeLauncher(lambda process: None), service()  # loading never ends
    async with a_pool(launcher) as pool:
        (waiting,) = submit(pool, item(lane, of))
        await until(lambda: any(frame.kind == Kind.CALL for frame in launcher.processes[0].seen))
    with pytest.raises((Draining, ShellDied)):
        await asyncio.wait_for(waiting, 5)
