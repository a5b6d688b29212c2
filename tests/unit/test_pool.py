"""The pool's promises, with shells that do what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.calls import Answer, Request
from gristmill.errors import InvalidInput, LimitExceeded, Overloaded, ShellDied, TimedOut
from gristmill.frames import HEADER, Kind, Status
from gristmill.launching import Limits
from gristmill.pool import Pool, PoolSettings
from gristmill.services import Runtime, ServiceVersion
from tests.fake_shells import FakeLauncher, FakeProcess, answering, until

LIMITS = Limits(execution_seconds=30.0)


def service(name: str = "s", *, batchable: bool = False) -> ServiceVersion:
    return ServiceVersion(
        name=name,
        version="1",
        runtime=Runtime.PYTHON,
        code="",
        owner="o",
        created=datetime.now(UTC),
        batchable=batchable,
    ).sealed()


def call(of: ServiceVersion, body: bytes = b"{}", limit: float = 30.0) -> Request:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    return Request(kind=Kind.CALL, body=body, future=future, limit=limit, service=of)


@asynccontextmanager
async def a_pool(launcher: FakeLauncher, limits: Limits = LIMITS, **sizes: float) -> AsyncIterator[Pool]:
    pool = Pool(
        Runtime.PYTHON,
        launcher,
        settings=PoolSettings(**{"initial": 1, "maximum": 1, **sizes}),  # type: ignore[arg-type]
        limits=limits,
        open_content=lambda digest: 0,
    )
    pool.start()
    if launcher.starts_by_itself and not launcher.fails_to_start:
        await pool.wait_ready(int(sizes.get("initial", 1)))
    try:
        yield pool
    finally:
        await pool.close()


def submit(pool: Pool, *requests: Request) -> list[asyncio.Future[Answer]]:
    for request in requests:
        pool.submit(request)
    return [request.future for request in requests]


async def test_a_call_is_loaded_run_and_answered() -> None:
    launcher = FakeLauncher(answering(b"[1]"))
    async with a_pool(launcher) as pool:
        (future,) = submit(pool, call(service()))
        answer = await future
        assert answer.body == b"[1]"
        assert answer.ok
        assert answer.times.run == 50
        assert [frame.kind for frame in launcher.processes[0].seen] == [Kind.CONFIG, Kind.LOAD, Kind.CALL]


async def test_a_service_is_loaded_once_per_shell() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher) as pool:
        for _ in range(3):
            await submit(pool, call(service()))[0]
        assert [frame.kind for frame in launcher.processes[0].seen].count(Kind.LOAD) == 1


async def test_an_idle_shell_that_holds_the_service_is_preferred() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher, initial=3, maximum=3) as pool:
        for _ in range(6):
            await submit(pool, call(service()))[0]
        assert sum(len(process.seen) > 1 for process in launcher.processes) == 1


async def test_a_shell_that_dies_fails_its_caller_and_is_replaced() -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        (future,) = submit(pool, call(service()))
        await until(lambda: len(launcher.processes[0].frames) == 2)
        launcher.processes[0].reply()  # the load
        await until(lambda: bool(launcher.processes[0].frames))
        launcher.processes[0].die(-11)
        with pytest.raises(ShellDied, match="SIGSEGV"):
            await future
        launcher.on_request = answering()
        await submit(pool, call(service()))[0]
        assert len(launcher.processes) == 2


async def test_what_waits_behind_a_call_that_dies_moves_to_another_shell() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher) as pool:
        quick = service()
        await submit(pool, call(quick))[0]  # now it is known to be quick, and is pipelined
        launcher.on_request = lambda process: None
        first, second = submit(pool, call(quick), call(quick))
        dying = launcher.processes[0]
        await until(lambda: len(dying.calls) == 2)
        launcher.on_request = answering(b"moved")
        dying.die(-9)
        with pytest.raises(ShellDied):
            await first
        assert (await second).body == b"moved"


async def test_a_reply_that_was_on_its_way_when_the_shell_died_still_counts() -> None:
    launcher = FakeLauncher()

    def answer_and_die(process: FakeProcess) -> None:
        if process.calls:
            process.reply()
            process.reply(b"last words")
            process.die(1)

    launcher.on_request = answer_and_die
    async with a_pool(launcher) as pool:
        (future,) = submit(pool, call(service()))
        assert (await future).body == b"last words"


@pytest.mark.parametrize("by_itself", [True, False])
async def test_calls_of_a_group_that_dies_or_that_a_shell_gives_up_are_each_tried_alone(
    by_itself: bool,
) -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher) as pool:
        grouped = service(batchable=True)
        await submit(pool, call(grouped))[0]
        launcher.on_request = lambda process: None
        futures = submit(pool, *(call(grouped, b"%d" % n) for n in range(4)))
        dying = launcher.processes[0]
        await until(lambda: len(dying.calls) == 4)
        dying.send(Kind.GROUP, 4)
        together: list[int] = []

        def one_at_a_time(process: FakeProcess) -> None:
            together.append(len(process.calls))
            for frame in list(process.frames):
                if frame.kind == Kind.LOAD:
                    process.reply()
                elif frame.body == b"2":
                    process.die(-6)
                    return
                else:
                    process.reply(frame.body)

        launcher.on_request = one_at_a_time
        await asyncio.sleep(0)
        if by_itself:
            dying.die(-6)
        else:
            dying.reply(b'{"message":"R has ended","exceptionType":"RuntimeDied"}', Status.BROKEN)
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [r.body for r in results if isinstance(r, Answer)] == [b"0", b"1", b"3"]
        assert isinstance(results[2], ShellDied)
        assert max(together) == 1


async def test_a_call_over_its_time_is_stopped_and_the_next_is_served() -> None:
    launcher = FakeLauncher()

    def only_load(process: FakeProcess) -> None:
        if process.frames[0].kind == Kind.LOAD:
            process.reply()

    launcher.on_request = only_load
    async with a_pool(launcher) as pool:
        (slow,) = submit(pool, call(service(), limit=0.05))
        with pytest.raises(TimedOut, match=r"limit of 0\.05 s"):
            await slow
        launcher.on_request = answering(b"next")
        assert (await submit(pool, call(service()))[0]).body == b"next"


async def test_a_shell_that_grows_past_its_memory_is_stopped_and_its_caller_told() -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher, Limits(memory_bytes=1 << 30)) as pool:
        (greedy,) = submit(pool, call(service()))
        await until(lambda: len(launcher.processes[0].frames) == 2)
        launcher.processes[0].reply()
        launcher.processes[0].resident = 2 << 30
        with pytest.raises(LimitExceeded, match="2048 MiB where 1024 MiB are allowed"):
            await greedy
        await until(lambda: len(launcher.processes) == 2)


async def test_a_service_whose_loading_kills_shells_fails_its_callers_after_two() -> None:
    launcher = FakeLauncher(lambda process: process.die(-11))
    async with a_pool(launcher) as pool:
        (future,) = submit(pool, call(service()))
        with pytest.raises(ShellDied, match="loading this service ended the process that tried, twice"):
            await future


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher, queue_length=1) as pool:
        submit(pool, call(service("a")), call(service("b")))
        with pytest.raises(Overloaded) as refused:
            pool.submit(call(service("c")))
        assert refused.value.retry_after


async def test_waiting_for_a_shell_has_a_bound() -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher, queue_seconds=0.1) as pool:
        _, second = submit(pool, call(service("a")), call(service("b")))
        with pytest.raises(Overloaded, match=r"within 0\.1 s"):
            await second


async def test_a_call_that_waits_makes_the_pool_grow_to_its_maximum_and_no_further() -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher, maximum=2, grow_seconds=0.01) as pool:
        submit(pool, *(call(service(str(n))) for n in range(4)))
        await until(lambda: len(launcher.processes) == 2)
        await asyncio.sleep(0.3)
        assert len(launcher.processes) == 2


async def test_a_caller_who_left_harms_nobody() -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        left, queued = submit(pool, call(service("a")), call(service("b")))
        left.cancel()
        launcher.on_request = answering(b"after")
        while launcher.processes[0].frames:
            launcher.processes[0].reply()
        assert (await queued).body == b"after"
        assert len(launcher.processes) == 1


@pytest.mark.parametrize(
    "send",
    [
        lambda process: process.theirs.send(HEADER.pack(1 << 31, 1, 0, 0, Kind.REPLY, 0)),
        lambda process: process.send(Kind.LOAD, 1),
        lambda process: process.theirs.send(HEADER.pack(4, 1, 0, 9, Kind.REPLY, 0)),
    ],
    ids=["too large", "not a shell's", "meta past the end"],
)
async def test_a_shell_that_breaks_its_frames_is_never_lent_again(
    send: Callable[[FakeProcess], object],
) -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        (future,) = submit(pool, call(service()))
        await until(lambda: len(launcher.processes[0].frames) == 2)
        launcher.processes[0].reply()
        await asyncio.sleep(0.01)
        send(launcher.processes[0])
        with pytest.raises(ShellDied, match="damaged"):
            await future
        assert not launcher.processes[0].alive


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (Status.INVALID, InvalidInput),
        (Status.BROKEN, ShellDied),
        (Status.TOO_LARGE, LimitExceeded),
    ],
)
async def test_each_status_of_a_reply_has_its_error(status: Status, error: type[Exception]) -> None:
    def refuse(process: FakeProcess) -> None:
        while process.frames:
            is_call = process.frames[0].kind == Kind.CALL
            process.reply(b'{"message":"because"}', status if is_call else Status.OK)

    async with a_pool(FakeLauncher(refuse)) as pool:
        (future,) = submit(pool, call(service()))
        with pytest.raises(error, match="because"):
            await future


async def test_shells_that_do_not_start_are_tried_again_ever_later() -> None:
    launcher = FakeLauncher()
    launcher.fails_to_start = True
    async with a_pool(launcher) as pool:
        with pytest.raises(ShellDied, match="exit status 3"):
            await pool.wait_ready()
        assert 3 <= len(launcher.processes) <= 4
        launcher.fails_to_start = False
        await until(lambda: bool(launcher.living))


async def test_a_used_up_shell_is_replaced_before_it_leaves() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher, recycle_calls=5) as pool:
        for _ in range(12):
            await submit(pool, call(service()))[0]
        assert len(launcher.processes) >= 2


async def test_a_changed_service_is_unloaded() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher) as pool:
        changed = service()
        await submit(pool, call(changed))[0]
        pool.forget(changed)
        await submit(pool, call(changed))[0]
        kinds = [frame.kind for frame in launcher.processes[0].seen]
        assert kinds == [Kind.CONFIG, Kind.LOAD, Kind.CALL, Kind.UNLOAD, Kind.LOAD, Kind.CALL]


async def test_only_a_shell_that_never_ran_anything_is_given_to_a_session() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher) as pool:
        await submit(pool, call(service()))[0]
        assert pool.take_fresh() is None
    launcher = FakeLauncher(answering())
    async with a_pool(launcher) as pool:
        given = pool.take_fresh()
        assert given is not None
        await until(lambda: len(launcher.processes) == 2)
        given.close()
        await given.gone()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["submit", "reply", "die", "group", "leave"]), max_size=60), st.booleans())
def test_whatever_happens_every_call_ends_once(events: list[str], batchable: bool) -> None:
    asyncio.run(_play(events, batchable))


async def _play(events: list[str], batchable: bool) -> None:
    launcher = FakeLauncher()
    futures: list[asyncio.Future[Answer]] = []
    of = service(batchable=batchable)
    async with a_pool(launcher, initial=2, maximum=2) as pool:
        for event in events:
            await _happen(event, pool, launcher, of, futures)
            await asyncio.sleep(0)
        launcher.on_request = answering()
        for process in launcher.living:
            answering()(process)
        results = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 20)
        for result in results:
            assert isinstance(result, Answer | ShellDied | asyncio.CancelledError), result


async def _happen(
    event: str, pool: Pool, launcher: FakeLauncher, of: ServiceVersion, futures: list[asyncio.Future[Answer]]
) -> None:
    if event == "submit":
        futures.extend(submit(pool, call(of)))
        return
    await asyncio.sleep(0.001)
    with_work = [process for process in launcher.living if process.frames]
    if event == "leave" and futures:
        futures[-1].cancel()
    elif event == "reply" and with_work:
        with_work[0].reply()
    elif event == "die" and launcher.living:
        launcher.living[0].die(-9)
    elif event == "group" and with_work and with_work[0].calls == with_work[0].frames:
        with_work[0].send(Kind.GROUP, len(with_work[0].frames))
