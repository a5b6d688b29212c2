"""A shell's replies are matched by id; one that says what it may not is ended and answers nobody."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import msgspec
import pytest

from gristmill.calls import Answer, Request
from gristmill.errors import CallEndedShell, LimitExceeded, ShellDied
from gristmill.frames import TIMES, Kind, Status
from gristmill.pool import Pool
from gristmill.services import ServiceVersion
from tests.fake_shells import FakeLauncher, FakeProcess, answering, until
from tests.unit.test_pool import a_pool, call, service, submit


async def one_running(
    pool: Pool, launcher: FakeLauncher
) -> tuple[FakeProcess, asyncio.Future[Answer], ServiceVersion]:
    """A loaded service with one call that runs."""
    of = service()
    launcher.on_request = answering()
    await submit(pool, call(of))[0]
    launcher.on_request = lambda process: None
    (future,) = submit(pool, call(of))
    process = launcher.processes[0]
    await until(lambda: len(process.calls) == 1)
    return process, future, of


def reply(process: FakeProcess, id: int, body: bytes = b"{}", meta: bytes = TIMES.pack(0, 1, 50, 1)) -> None:
    process.send(Kind.REPLY, id, body, 0, meta)


@pytest.mark.parametrize(
    "say",
    [
        lambda process, its: reply(process, its - 1),
        lambda process, its: reply(process, its + 1),
        lambda process, its: reply(process, 0),
        lambda process, its: process.send(Kind.GROUP, 2),
        lambda process, its: process.ready(),
        lambda process, its: process.send(99, its),
        lambda process, its: process.send(Kind.CALL, its),
    ],
    ids=[
        "an answered id",
        "an id to come",
        "no id",
        "a group of more",
        "ready again",
        "unknown kind",
        "a call",
    ],
)
async def test_a_reply_or_frame_out_of_place_ends_the_shell_and_reaches_nobody(
    say: Callable[[FakeProcess, int], None],
) -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        process, future, of = await one_running(pool, launcher)
        say(process, process.calls[0].id)
        with pytest.raises(ShellDied) as refused:
            await future
        assert not isinstance(refused.value, CallEndedShell)  # whose code wrote it, nobody knows
        assert not process.alive
        launcher.on_request = answering(b"next")
        assert (await submit(pool, call(of))[0]).body == b"next"


async def test_a_second_reply_never_becomes_the_next_callers() -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        process, of_alice, of = await one_running(pool, launcher)
        frame = process.frames.pop(0)
        reply(process, frame.id, b"for alice")
        assert (await of_alice).body == b"for alice"
        (of_bob,) = submit(pool, call(of, b"of bob"))
        await until(lambda: len(process.calls) == 1)
        reply(process, frame.id, b"for alice again")
        with pytest.raises(ShellDied):
            await of_bob


async def test_a_surplus_reply_of_an_idle_shell_ends_it_and_the_next_call_gets_another() -> None:
    launcher = FakeLauncher(answering(b"right"))
    async with a_pool(launcher) as pool:
        await submit(pool, call(service()))[0]
        launcher.processes[0].send(Kind.REPLY, 2, b"forged", 0, TIMES.pack(0, 1, 50, 1))
        await until(lambda: not launcher.processes[0].alive)
        (future,) = submit(pool, call(service()))
        assert (await future).body == b"right"


@pytest.mark.parametrize("meta", [b"", b"\0" * 3, b"\xff" * TIMES.size])
async def test_times_that_make_no_sense_do_not_cost_the_answer(meta: bytes) -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        process, future, _ = await one_running(pool, launcher)
        reply(process, process.calls[0].id, b"[1]", meta)
        assert (await future).body == b"[1]"


@pytest.mark.parametrize("body", [b"", b"[", b"[" * 100_000, b"{}", b'{"message":[1]}', b"\xff\xfe"])
@pytest.mark.parametrize("status", [Status.INVALID, Status.MISSING, 77])
async def test_a_refusal_that_cannot_be_read_is_an_error_all_the_same(status: int, body: bytes) -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        process, future, _ = await one_running(pool, launcher)
        process.send(Kind.REPLY, process.calls[0].id, body, status, b"")
        with pytest.raises(Exception) as refused:  # noqa: PT011 - of which class depends on the status
            await asyncio.wait_for(future, 5)
        assert not isinstance(refused.value, TimeoutError)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"error":1}', b'{"language":"x"'])
async def test_a_shell_whose_greeting_cannot_be_read_is_replaced(body: bytes) -> None:
    launcher = FakeLauncher(answering())
    launcher.starts_by_itself = False
    async with a_pool(launcher) as pool:
        await until(lambda: bool(launcher.processes) and bool(launcher.processes[0].seen))
        launcher.starts_by_itself = True
        launcher.processes[0].send(Kind.READY, 0, body)
        await until(lambda: not launcher.processes[0].alive)
        assert (await submit(pool, call(service()))[0]).ok


async def test_a_shell_whose_socket_has_ended_gets_no_call() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher, initial=2, maximum=2) as pool:
        of = service()
        await submit(pool, call(of))[0]
        used = next(process for process in launcher.processes if len(process.seen) > 1)
        asyncio.get_running_loop().remove_reader(used.theirs)
        used.theirs.close()
        shell = next(shell for shell in pool._members if shell.pid == used.pid)
        await until(lambda: not shell.usable)
        assert (await submit(pool, call(of))[0]).ok
        used._status = -9
        os.close(used._exit_write)
        used.kill = lambda: None  # type: ignore[method-assign]
        await until(lambda: len(launcher.processes) == 3)


async def test_a_call_sent_to_a_shell_that_had_just_died_is_sent_to_another() -> None:
    launcher = FakeLauncher(answering(b"of the other"))
    async with a_pool(launcher) as pool:
        of = service()
        await submit(pool, call(of))[0]
        launcher.on_request = answering(b"of the next")
        # The server has not yet seen that it died: nothing in between lets the loop run.
        launcher.processes[0].die(-9)
        (future,) = submit(pool, call(of))
        assert (await future).body == b"of the next"


async def test_a_call_of_which_a_shell_has_not_read_all_never_began() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher) as pool:
        of = service()
        await submit(pool, call(of))[0]
        process = launcher.processes[0]
        asyncio.get_running_loop().remove_reader(process.theirs)  # it reads no more
        large, small = submit(pool, call(of, b"x" * (8 << 20)), call(of, b"{}"))
        await asyncio.sleep(0.01)
        launcher.on_request = answering(b"[1]")
        process.die(-9)
        assert [(await each).body for each in (large, small)] == [b"[1]", b"[1]"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, CallEndedShell) for status in (3, 0, -11, -6, 139)),
        *((status, ShellDied) for status in (-9, -15, 137)),
    ],
)
async def test_a_death_is_the_calls_own_unless_others_usually_send_such_a_signal(
    status: int, kind: type[ShellDied]
) -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        process, future, _ = await one_running(pool, launcher)
        process.die(status)
        with pytest.raises(ShellDied) as died:
            await future
        assert type(died.value) is kind


async def test_what_waits_behind_a_call_over_its_time_is_not_told_that_it_was() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher) as pool:
        of = service()
        await submit(pool, call(of))[0]
        launcher.on_request = lambda process: None
        slow, behind = submit(pool, call(of, limit=0.05), call(of))
        process = launcher.processes[0]
        await until(lambda: len(process.calls) == 2)
        kill = process.kill
        killed = asyncio.Event()
        process.kill = killed.set  # type: ignore[method-assign]
        await killed.wait()
        # It answers in the very moment in which it is ended: too late.
        process.reply(b"late")
        process.reply(b"late, too")
        await asyncio.sleep(0.01)
        launcher.on_request = answering(b"moved")
        kill()
        with pytest.raises(Exception, match=r"limit of 0\.05 s"):
            await slow
        assert (await behind).body == b"moved"


async def test_a_shell_that_gives_up_after_an_answer_does_not_cost_the_next_call() -> None:
    launcher = FakeLauncher(answering())
    async with a_pool(launcher) as pool:
        of = service()
        await submit(pool, call(of))[0]
        launcher.on_request = lambda process: None
        first, second = submit(pool, call(of), call(of))
        process = launcher.processes[0]
        await until(lambda: len(process.calls) == 2)
        launcher.on_request = answering(b"moved")
        process.reply(msgspec.json.encode({"message": "R has ended"}), Status.BROKEN)
        with pytest.raises(ShellDied, match="R has ended"):
            await first
        assert (await second).body == b"moved"


async def test_a_descriptor_that_cannot_be_sent_ends_the_shell_and_its_request_is_given_back() -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        shell = next(iter(pool._members))
        launcher.processes[0].descriptors.shutdown(socket.SHUT_WR)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        load = Request(kind=Kind.LOAD, body=b"{}", future=future, limit=5.0, descriptor=0)
        shell.send(load)
        with pytest.raises(ShellDied, match="before it had loaded"):
            await future


async def test_what_the_kernel_ends_for_want_of_memory_is_the_calls_failure() -> None:
    launcher = FakeLauncher()
    async with a_pool(launcher) as pool:
        process, future, _ = await one_running(pool, launcher)
        process.out_of_memory = True
        process.die(-9)
        with pytest.raises(LimitExceeded, match=r"memory: .* SIGKILL, by the kernel"):
            await future
