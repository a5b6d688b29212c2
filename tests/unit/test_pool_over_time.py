"""What a pool does over seconds, minutes and hours, by a clock that jumps when all is idle."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gristmill.calls import Answer
from gristmill.errors import CallEndedShell, Draining, NotFound, Overloaded, ShellDied
from gristmill.frames import Kind, Status
from gristmill.pool import Pool, PoolSettings
from gristmill.ports import StateUnavailable
from gristmill.services import Runtime, ServiceVersion
from gristmill.testing_clock import run_jumping
from tests.fake_shells import FakeLauncher, FakeProcess, answering, until
from tests.unit.test_pool import LIMITS, a_pool, call, service, submit


def only_load(process: FakeProcess) -> None:
    while process.frames and process.frames[0].kind == Kind.LOAD:
        process.reply()


async def make_busy(pool: Pool, launcher: FakeLauncher, shells: int) -> None:
    """Let the pool grow to so many shells, and be idle again."""
    launcher.on_request = only_load
    futures = submit(pool, *(call(service(str(n))) for n in range(shells)))
    await until(lambda: sum(bool(process.calls) for process in launcher.living) == shells, 60)
    launcher.on_request = answering()
    for process in launcher.living:
        answering()(process)
    await asyncio.gather(*futures)


def test_an_idle_pool_shrinks_to_its_initial_size_and_no_further_for_long() -> None:
    async def main() -> None:
        launcher = FakeLauncher(answering())
        async with a_pool(launcher, initial=2, maximum=4, idle_seconds=300.0) as pool:
            await make_busy(pool, launcher, 4)
            assert len(launcher.living) == 4
            await asyncio.sleep(1800)
            assert len(launcher.living) == 2
            assert all(process in launcher.processes[:4] for process in launcher.living)
            assert len(launcher.processes) == 4
            # What they hold is not loaded again.
            loads = sum(frame.kind == Kind.LOAD for process in launcher.living for frame in process.seen)
            assert loads >= 2

    run_jumping(main())


def test_shells_that_end_at_once_are_started_ever_later_also_while_calls_wait() -> None:
    async def main() -> None:
        launcher = FakeLauncher(answering())
        launcher.fails_to_start = True
        async with a_pool(launcher, grow_seconds=0.25, queue_seconds=1e6) as pool:
            submit(pool, call(service()))
            await asyncio.sleep(6)
            assert len(launcher.processes) <= 10
            await asyncio.sleep(600)
            assert 50 < len(launcher.processes) <= 10 + 60 + 10

    run_jumping(main())


def test_a_launcher_that_raises_is_tried_ever_later_and_calls_hear_why() -> None:
    class Refusing(FakeLauncher):
        tries = 0

        def launch(self, runtime: Runtime) -> FakeProcess:
            self.tries += 1
            if self.tries <= 20:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().launch(runtime)

    async def main() -> None:
        launcher = Refusing(answering())
        launcher.fails_to_start = True  # so that nobody waits for the first
        async with a_pool(launcher, queue_seconds=30.0) as pool:
            (future,) = submit(pool, call(service()))
            with pytest.raises(Overloaded, match=r"none starts, .*Too many open files"):
                await future
            assert launcher.tries < 12
            assert "Too many open files" in str(pool.describe()["error"])
            launcher.fails_to_start = False
            await asyncio.sleep(300)
            assert (await submit(pool, call(service()))[0]).ok
            assert pool.describe()["error"] is None

    run_jumping(main())


@pytest.mark.parametrize("run", [0.01, 0.2, 2.0])
def test_starved_lanes_get_a_tenth_of_a_shell_and_no_more_while_direct_calls_wait(run: float) -> None:
    busy = {b"direct": 0.0, b"lane": 0.0}

    def on_request(process: FakeProcess) -> None:
        loop = asyncio.get_running_loop()
        frame = process.frames[-1]
        wait = run if frame.kind == Kind.CALL else 0.0
        if wait:
            busy[frame.body] += run
        process.clock = max(getattr(process, "clock", 0.0), loop.time()) + wait  # type: ignore[attr-defined]
        loop.call_at(process.clock, lambda: process.alive and process.reply(run=int(run * 1e6)))  # type: ignore[attr-defined]

    async def main() -> None:
        launcher = FakeLauncher(on_request)
        async with a_pool(launcher, initial=2, maximum=2, queue_length=10000, queue_seconds=1e6) as pool:
            of_direct, of_lane = service("direct"), service("lane")
            stop = asyncio.get_running_loop().time() + 600 * run

            async def ask(body: bytes, of: ServiceVersion) -> None:
                while asyncio.get_running_loop().time() < stop:
                    request = call(of, body)
                    request.lane = "batch" if body == b"lane" else ""
                    pool.submit(request)
                    await request.future

            tasks = [asyncio.create_task(ask(b"direct", of_direct)) for _ in range(8)]
            await asyncio.sleep(10 * run)
            busy.update({b"direct": 0.0, b"lane": 0.0})
            tasks += [asyncio.create_task(ask(b"lane", of_lane)) for _ in range(64)]
            await asyncio.sleep(500 * run)
            took = dict(busy)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        # A tenth of one of the two shells, within what a single run is.
        assert 0.02 * 500 * run <= took[b"lane"] <= 0.13 * 500 * run + run, took

    run_jumping(main())


def test_shells_that_have_all_grown_are_replaced_one_at_a_time_and_none_is_missing() -> None:
    async def main() -> None:
        launcher = FakeLauncher(answering())
        async with a_pool(launcher, initial=4, maximum=4, recycle_bytes=1 << 30) as pool:
            await make_busy(pool, launcher, 4)
            launcher.starts_by_itself = False
            old = list(launcher.processes)
            for process in old:
                process.resident = 2 << 30
            for replaced in range(1, 5):
                await until(lambda count=4 + replaced: len(launcher.processes) == count, 60)  # type: ignore[misc]
                await asyncio.sleep(30)
                # The successor is not ready: its predecessor goes on serving, and no other is started.
                assert len(launcher.processes) == 4 + replaced
                assert sum(shell.usable for shell in pool._members) == 4
                launcher.processes[-1].ready()
                await until(lambda gone=replaced: sum(not each.alive for each in old) == gone)  # type: ignore[misc]
                assert sum(shell.usable for shell in pool._members) == 4
            await asyncio.sleep(300)
            assert len(launcher.processes) == 8

    run_jumping(main())


def test_a_used_up_shell_serves_until_its_successor_is_ready_and_outlives_one_that_fails() -> None:
    async def main() -> None:
        launcher = FakeLauncher(answering())
        async with a_pool(launcher, recycle_calls=5) as pool:
            launcher.starts_by_itself = False
            of = service()
            for _ in range(20):
                await submit(pool, call(of))[0]
            assert len(launcher.processes) == 2
            launcher.processes[1].die(3)
            await asyncio.sleep(1)
            assert (await submit(pool, call(of))[0]).ok
            assert launcher.processes[0].alive
            launcher.starts_by_itself = True
            await asyncio.sleep(5)
            await submit(pool, call(of))[0]
            await until(lambda: not launcher.processes[0].alive, 10)
            assert (await submit(pool, call(of))[0]).ok

    run_jumping(main())


def opening(tries: list[float], *outcomes: Exception | None) -> Callable[[str], int]:
    """A content opener that goes by a script; its last outcome stays."""

    def open_content(digest: str) -> int:
        tries.append(1)
        outcome = outcomes[min(len(tries), len(outcomes)) - 1]
        if outcome is not None:
            raise outcome
        return os.open("/dev/null", os.O_RDONLY)

    return open_content


def with_content(name: str = "c") -> ServiceVersion:
    return replace(service(name), content="0" * 64).sealed()


def pool_of(
    launcher: FakeLauncher, open_content: Callable[[str], int], resident: ServiceVersion | None = None
) -> Pool:
    settings = PoolSettings(initial=1, maximum=1, queue_seconds=5.0)
    return Pool(
        Runtime.PYTHON,
        launcher,
        settings=settings,
        limits=LIMITS,
        open_content=open_content,
        resident=resident,
    )


STALE = OSError(errno.ESTALE, "Stale file handle")
FULL = OSError(errno.EMFILE, "Too many open files")


def test_a_content_that_cannot_be_read_for_a_moment_is_tried_again() -> None:
    async def main() -> None:
        tries: list[float] = []
        pool = pool_of(FakeLauncher(answering(b"[1]")), opening(tries, STALE, FULL, None))
        pool.start()
        await pool.wait_ready()
        (future,) = submit(pool, call(with_content()))
        assert (await future).body == b"[1]"
        assert len(tries) == 3
        await pool.close()

    run_jumping(main())


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (FULL, StateUnavailable),
        (NotFound("content is missing"), NotFound),
        (ValueError("odd"), StateUnavailable),
    ],
    ids=["no descriptor", "no such content", "unforeseen"],
)
def test_a_content_that_cannot_be_opened_is_its_calls_answer_and_the_shell_serves_others(
    error: Exception, answer: type[Exception]
) -> None:
    async def main() -> None:
        tries: list[float] = []
        launcher = FakeLauncher(answering())
        pool = pool_of(launcher, opening(tries, error))
        pool.start()
        await pool.wait_ready()
        unreadable, readable = submit(pool, call(with_content()), call(service()))
        with pytest.raises(answer):
            await unreadable
        assert (await readable).ok
        assert len(tries) <= 4
        before = len(tries)
        again = submit(pool, *(call(with_content()) for _ in range(20)))
        results = await asyncio.gather(*again, return_exceptions=True)
        assert all(isinstance(result, answer) for result in results)
        assert len(tries) == before  # known for a second: no shell is held up by it
        assert len(launcher.processes) == 1
        await pool.close()

    run_jumping(main())


def test_a_dedicated_pool_whose_content_could_not_be_opened_serves_as_soon_as_it_can() -> None:
    async def main() -> None:
        tries: list[float] = []
        resident = with_content()
        pool = pool_of(FakeLauncher(answering()), opening(tries, *[STALE] * 8, None), resident)
        pool.start()
        await pool.wait_ready()
        await asyncio.sleep(3)
        settled = [pool.settled]
        assert "Stale file handle" in str(pool.describe()["error"])
        (first,) = submit(pool, call(resident))
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.sleep(2)
        assert (await submit(pool, call(resident))[0]).ok
        settled.append(pool.settled)
        assert settled == [False, True]
        assert pool.describe()["error"] is None
        await pool.close()

    run_jumping(main())


def test_a_pool_that_closes_while_a_content_is_opened_answers_the_call_and_keeps_no_descriptor() -> None:
    async def main() -> None:
        tries: list[float] = []
        pool = pool_of(FakeLauncher(), opening(tries, STALE))
        pool.start()
        await pool.wait_ready()
        before = len(os.listdir("/proc/self/fd"))
        (future,) = submit(pool, call(with_content()))
        await until(lambda: len(tries) == 1)
        await pool.close()
        with pytest.raises(Draining):
            await future
        assert len(os.listdir("/proc/self/fd")) <= before

    run_jumping(main())


def test_a_shell_that_dies_while_a_content_is_opened_for_it_costs_the_call_nothing() -> None:
    async def main() -> None:
        tries: list[float] = []
        launcher = FakeLauncher(answering(b"[2]"))
        pool = pool_of(launcher, opening(tries, STALE, None))
        pool.start()
        await pool.wait_ready()
        (future,) = submit(pool, call(with_content()))
        await until(lambda: len(tries) == 1)
        launcher.processes[0].die(-9)
        assert (await future).body == b"[2]"
        assert len(launcher.processes) == 2
        await pool.close()

    run_jumping(main())


def test_a_service_whose_loading_ends_shells_costs_two_of_them_and_is_tried_again_later() -> None:
    async def main() -> None:
        launcher = FakeLauncher(lambda process: process.die(-11))
        async with a_pool(launcher) as pool:
            of = service()
            with pytest.raises(CallEndedShell, match=r"twice.*SIGSEGV"):
                await submit(pool, call(of))[0]
            await until(lambda: bool(launcher.living), 10)
            spent = len(launcher.processes)
            results = await asyncio.gather(
                *submit(pool, *(call(of) for _ in range(50))), return_exceptions=True
            )
            assert all(isinstance(result, CallEndedShell) for result in results)
            assert len(launcher.processes) == spent
            await asyncio.sleep(11)
            launcher.on_request = answering()
            assert (await submit(pool, call(of))[0]).ok

    run_jumping(main())


def test_an_error_in_the_pool_itself_does_not_leave_what_waits_without_a_shell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        launcher = FakeLauncher(only_load)
        async with a_pool(launcher) as pool:
            first, second = submit(pool, call(service("a")), call(service("b")))
            await until(lambda: bool(launcher.processes[0].calls))
            failures = itertools.count()

            def fail(*_: object) -> None:
                next(failures)
                raise ZeroDivisionError

            with monkeypatch.context() as patch:
                patch.setattr(pool._times, "learn", fail)
                launcher.on_request = answering()
                launcher.processes[0].reply()
                assert (await first).ok
                await asyncio.sleep(0)
            assert next(failures) >= 1
            assert (await asyncio.wait_for(second, 5)).ok
            assert len(launcher.processes) == 1

    run_jumping(main())


def test_a_run_that_nobody_waits_for_is_interrupted_where_it_holds_up_others_and_its_shell_lives_on() -> None:
    async def main() -> None:
        launcher = FakeLauncher(only_load)
        async with a_pool(launcher) as pool:
            left, waits = submit(pool, call(service("slow")), call(service("quick")))
            process = launcher.processes[0]
            await until(lambda: bool(process.calls))
            left.cancel()
            await until(lambda: process.interrupted == 1)
            # It heeds the signal, and answers; the next call gets the same shell.
            process.reply(status=Status.FAILED)
            await until(lambda: bool(process.calls))
            process.reply(b"[3]")
            assert (await waits).body == b"[3]"
            assert process.interrupted == 1
            assert len(launcher.processes) == 1

    run_jumping(main())


def test_a_run_that_nobody_waits_for_is_left_alone_where_nobody_else_waits_either() -> None:
    async def main() -> None:
        launcher = FakeLauncher(only_load)
        async with a_pool(launcher) as pool:
            (left,) = submit(pool, call(service("slow")))
            await until(lambda: bool(launcher.processes[0].calls))
            left.cancel()
            await asyncio.sleep(20)
            assert launcher.processes[0].interrupted == 0
            assert launcher.processes[0].alive

    run_jumping(main())


def test_a_run_of_several_calls_goes_on_though_the_first_caller_has_left() -> None:
    async def main() -> None:
        launcher = FakeLauncher(answering())
        async with a_pool(launcher) as pool:
            of = service(batchable=True)
            await submit(pool, call(of))[0]
            launcher.on_request = only_load
            left, stays = submit(pool, call(of), call(of))
            process = launcher.processes[0]
            await until(lambda: len(process.calls) == 2)
            process.send(Kind.GROUP, 2)
            left.cancel()
            await asyncio.sleep(20)
            assert process.alive
            assert process.interrupted == 0
            process.reply(b"[1]")
            process.reply(b"[2]")
            assert (await stays).body == b"[2]"
            assert len(launcher.processes) == 1

    run_jumping(main())


def test_calls_whose_callers_have_left_keep_no_place_and_are_never_run() -> None:
    async def main() -> None:
        launcher = FakeLauncher(only_load)
        async with a_pool(launcher, queue_length=10) as pool:
            of = service()
            (running,) = submit(pool, call(of))
            for future in submit(pool, *(call(of, b"gone") for _ in range(10))):
                future.cancel()
            (waits,) = submit(pool, call(of, b"stays"))
            await asyncio.sleep(0.3)
            assert pool.describe()["queued"] == 1
            launcher.on_request = answering()
            answering()(launcher.processes[0])
            await asyncio.gather(running, waits)
            assert all(frame.body != b"gone" for frame in launcher.processes[0].seen)

    run_jumping(main())


async def test_an_operation_that_waited_in_a_shell_that_died_is_carried_out_by_another() -> None:
    from gristmill.calls import Request

    launcher = FakeLauncher(only_load)
    async with a_pool(launcher) as pool:
        of = service()
        (dies,) = submit(pool, call(of))
        await until(lambda: bool(launcher.processes[0].calls))
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        check = Request(kind=Kind.OPERATION, body=b"{}", meta=b'{"op":"check"}', future=future, limit=5.0)
        next(iter(pool._members.values())).send(check, 1.0)
        launcher.on_request = answering(b"checked")
        launcher.processes[0].die(-11)
        with pytest.raises(ShellDied):
            await dies
        assert (await asyncio.wait_for(future, 5)).body == b"checked"


async def test_a_descriptor_is_closed_though_its_load_was_never_begun(tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(b"zip")
    opened: list[int] = []

    def open_content(digest: str) -> int:
        opened.append(os.open(tmp_path / "content", os.O_RDONLY))
        return opened[-1]

    launcher = FakeLauncher()
    pool = pool_of(launcher, open_content)
    pool.start()
    await pool.wait_ready()
    of = service("other")
    (first,) = submit(pool, call(of))
    await until(lambda: len(launcher.processes[0].frames) == 2)
    # A load behind a call, as of a resident: it is in the socket when the shell dies.
    pool._load(next(iter(pool._members.values())), with_content(), open_content("x"))
    await until(lambda: len(launcher.processes[0].frames) == 3)
    launcher.processes[0].reply()
    await asyncio.sleep(0.01)
    launcher.on_request = answering()
    launcher.processes[0].die(-11)
    with pytest.raises(ShellDied):
        await first
    await until(lambda: not _is_open(opened[0], tmp_path / "content"))
    await pool.close()


def _is_open(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def test_a_dedicated_pool_whose_service_fails_as_it_is_loaded_says_so() -> None:
    def fail_to_load(process: FakeProcess) -> None:
        while process.frames:
            process.reply(b'{"success":false}', Status.FAILED)

    async def main() -> None:
        resident = service("r")
        pool = pool_of(FakeLauncher(fail_to_load), opening([], None), resident)
        pool.start()
        await pool.wait_ready()
        await asyncio.sleep(1)
        assert "not loaded" in str(pool.describe()["error"])
        await pool.close()

    run_jumping(main())
