"""How many sessions there are, what is kept of each, and when it ends."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gristmill.background import Background
from gristmill.errors import Gone, InvalidInput, Overloaded
from gristmill.identity import Principal, Role
from gristmill.launching import Limits
from gristmill.services import Runtime
from gristmill.session_history import History
from gristmill.session_shell import SessionShell
from gristmill.sessions import Session, Sessions, SessionSettings, Snapshots
from gristmill.shell import Shell
from gristmill.testing import MemoryBlobs, MemorySnapshots
from gristmill.testing_clock import run_jumping
from tests.fake_shells import FakeLauncher, FakeProcess, answering, until

ALICE, BOB = (Principal(name=name, role=Role.OWNER) for name in ("alice", "bob"))
LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Sessions whose shells are fakes."""

    sessions: Sessions
    launcher: FakeLauncher
    background: Background

    async def create(self, owner: Principal = ALICE, name: str = "x") -> Session:
        return await self.sessions.create(owner, name=name, runtime=Runtime.PYTHON, snapshot_id=None)


def scene(staging: Path, launcher: FakeLauncher | None = None, **settings: float) -> Scene:
    launcher, background = launcher or FakeLauncher(answering()), Background()
    sessions = Sessions(
        launcher,
        Snapshots(MemorySnapshots(), MemoryBlobs(), limit=1 << 20),
        settings=SessionSettings(**settings),  # type: ignore[arg-type]
        limits=LIMITS,
        staging=staging,
        fresh=lambda runtime: None,
        background=background,
    )
    return Scene(sessions=sessions, launcher=launcher, background=background)


def deaf(process: FakeProcess) -> FakeProcess:
    """A shell that does not end when its input does, only when it is killed."""
    end = process.die
    process.die = lambda status=1: end(status) if status else unheard(process)  # type: ignore[method-assign]
    return process


def immortal(process: FakeProcess) -> FakeProcess:
    """A shell that not even SIGKILL ends, as one that waits for a disk that is gone."""
    process.die = lambda status=1: unheard(process)  # type: ignore[method-assign]
    return process


def unheard(process: FakeProcess) -> None:
    if process.alive:
        asyncio.get_running_loop().remove_reader(process.theirs)


def test_a_limit_holds_for_sessions_that_are_asked_for_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        there = scene(tmp_path, maximum=5, per_user=2)
        asked = [there.create(owner) for owner in [ALICE] * 10 + [BOB] * 10]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, Overloaded)]
        assert len(refused) == 16
        assert "alice has 2 sessions" in refused[0].message
        assert len(there.sessions.of(ALICE)) == len(there.sessions.of(BOB)) == 2
        await there.sessions.close_all()

    run_jumping(main())


def test_a_place_is_free_again_when_its_session_does_not_start_or_is_closed(tmp_path: Path) -> None:
    async def main() -> None:
        there = scene(tmp_path, per_user=1, maximum=1)
        there.launcher.fails_to_start = True
        for _ in range(3):
            with pytest.raises(Exception, match="did not start"):
                await there.create()
        there.launcher.fails_to_start = False
        for _ in range(3):
            session = await there.create()
            await there.sessions.close(session.id, ALICE, force=False)
        assert there.sessions.count == 0
        assert not there.launcher.living
        await there.sessions.close_all()

    run_jumping(main())


def test_a_place_is_free_again_when_who_asked_has_left(tmp_path: Path) -> None:
    async def main() -> None:
        there = scene(tmp_path, per_user=1)
        there.launcher.starts_by_itself = False
        asking = asyncio.create_task(there.create())
        await until(lambda: bool(there.launcher.processes))
        asking.cancel()
        await asyncio.wait({asking})
        there.launcher.starts_by_itself = True
        await there.create()
        await until(lambda: not there.launcher.processes[0].alive)
        await there.sessions.close_all()

    run_jumping(main())


def test_a_session_that_grows_while_it_is_idle_is_stopped_and_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        there = scene(tmp_path)
        session = await there.create()
        await session.execute(b'{"code":"start_a_thread()"}')
        there.sessions.start()
        there.launcher.processes[0].resident = 4 * LIMITS.memory_bytes
        await until(lambda: not there.launcher.processes[0].alive)
        await until(lambda: not session.shell.alive)
        with pytest.raises(Gone, match="memory"):
            await session.execute(b'{"code":"x"}')
        await there.sessions.close_all()

    run_jumping(main())


def test_shells_that_take_long_to_end_keep_nobody_from_being_watched(tmp_path: Path) -> None:
    async def main() -> None:
        there = scene(tmp_path, FakeLauncher(), idle_seconds=0.5)
        for _ in range(3):
            await there.create()
            deaf(there.launcher.processes[-1])
        greedy = await there.create()
        there.sessions.start()
        loop = asyncio.get_running_loop()
        executing = asyncio.create_task(greedy.execute(b'{"code":"x"}'))
        await asyncio.sleep(1.5)
        assert len(there.launcher.living) == 4, "the idle ones have not ended yet"
        assert there.sessions.count == 1
        there.launcher.processes[3].resident = LIMITS.memory_bytes + 1
        begun = loop.time()
        await asyncio.wait({executing}, timeout=14)
        assert loop.time() - begun <= 2.1
        assert isinstance(executing.exception(), Exception)
        await there.sessions.close_all()
        assert not there.launcher.living

    run_jumping(main())


def test_a_shell_that_never_ends_holds_up_neither_its_closing_nor_the_shutdown(tmp_path: Path) -> None:
    async def main() -> None:
        there = scene(tmp_path, idle_seconds=0.5)
        sessions = [await there.create() for _ in range(3)]
        for process in there.launcher.processes:
            immortal(process)
        await there.sessions.close(sessions[0].id, ALICE, force=True)
        there.sessions.start()
        await until(lambda: there.sessions.count == 0)
        begun = asyncio.get_running_loop().time()
        await there.sessions.close_all()
        assert asyncio.get_running_loop().time() - begun < 20
        for process, session in zip(there.launcher.processes, sessions, strict=True):
            FakeProcess.die(process)
            await session.shell.close()

    run_jumping(main())


def test_a_session_that_cannot_be_looked_at_keeps_no_other_from_being(tmp_path: Path) -> None:
    def broken(*, exact: bool = False) -> NoReturn:
        raise OSError(24, "Too many open files")

    async def main() -> None:
        there = scene(tmp_path)
        for _ in range(2):
            await there.create()
        first, second = there.launcher.processes
        first.memory = broken  # type: ignore[method-assign]
        second.resident = LIMITS.memory_bytes + 1
        there.sessions.start()
        await until(lambda: not second.alive)
        assert first.alive
        assert there.background.describe()["sessions"]["statusCode"] == "pass"
        await there.sessions.close_all()
        assert "sessions" not in there.background.describe(), "closed, they are watched no more"

    run_jumping(main())


def test_a_session_is_idle_for_half_an_hour_and_then_closed(tmp_path: Path) -> None:
    async def main() -> None:
        there = scene(tmp_path)
        await there.create()
        there.sessions.start()
        await asyncio.sleep(1790)
        assert there.sessions.count == 1
        await asyncio.sleep(20)
        assert there.sessions.count == 0
        await until(lambda: not there.launcher.living)
        await there.sessions.close_all()

    run_jumping(main())


def test_a_shell_that_cannot_be_watched_is_not_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launch went well, but then there is no descriptor left for the loop, for instance."""
    closed: list[FakeProcess] = []

    def broken(*words: Any, **named: Any) -> NoReturn:
        raise OSError(24, "Too many open files")

    def note(process: FakeProcess) -> None:
        closed.append(process)

    async def main() -> None:
        launcher = FakeLauncher()
        monkeypatch.setattr(Shell, "__init__", broken)
        monkeypatch.setattr(FakeProcess, "close", note)
        shell = SessionShell(None, limits=LIMITS, staging=tmp_path)
        with pytest.raises(OSError, match="Too many"):
            shell.launch(launcher, Runtime.PYTHON)
        assert not launcher.living
        assert closed == launcher.processes

    run_jumping(main())
    monkeypatch.undo()
    for process in closed:
        process.close()


def test_a_name_of_a_session_is_no_place_to_keep_data(tmp_path: Path) -> None:
    async def main() -> None:
        there = scene(tmp_path)
        with pytest.raises(InvalidInput, match="1,001 characters"):
            await there.create(name="x" * 1001)
        assert (await there.create(name="é" * 1000)).name == "é" * 1000
        await there.sessions.close_all()

    run_jumping(main())


class Quick:
    """A shell that has always answered already."""

    busy = False

    async def ask(self, op: str, body: bytes = b"") -> bytes:
        return b"{}"


@pytest.mark.parametrize("size", [1 << 20, 3 << 20])
def test_what_is_kept_of_a_history_is_bounded_in_bytes(size: int) -> None:
    async def main() -> int:
        session = Session(
            name="",
            owner=ALICE,
            runtime=Runtime.PYTHON,
            shell=Quick(),  # type: ignore[arg-type]
            snapshots=None,  # type: ignore[arg-type]
        )
        tracemalloc.start()
        for number in range(60):
            await session.execute(b'{"code":"x = 1 #%d%b"}' % (number, b"z" * size))
        return tracemalloc.get_traced_memory()[0]

    try:
        assert run_jumping(main()) < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_history_is_verbatim_and_says_what_is_missing() -> None:
    history = History()
    codes = [f"x = {number}\n" for number in range(100)]
    for code in codes:
        history.add(code)
    assert list(history) == codes
    for _ in range(20):
        history.add("é" * 500_000)
    told = list(history)
    assert told[0] == f"# {120 - (len(told) - 1):,} earlier executions are no longer kept"
    assert len(told) > 5
    assert told[-1] == "é" * 500_000
    history.add("y = 1 # " + "z" * 3_000_000)
    last = list(history)[-1]
    assert last.startswith("y = 1 # zzz")
    assert 1_000_000 < len(last) < 1_100_000
    assert last.endswith(" more characters of this execution are not kept")
    kept = last.rpartition("\n")[0]
    assert last.rpartition("\n")[2].startswith(f"# {3_000_008 - len(kept):,} more")


def test_a_history_of_many_short_entries_is_bounded_too() -> None:
    history = History()
    for _ in range(10_050):
        history.add("x")
    told = list(history)
    assert told[0] == "# 50 earlier executions are no longer kept"
    assert len(told) == 10_001


async def test_a_file_that_is_taken_leaves_no_descriptor_behind_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = scene(tmp_path)
    session = await there.create()
    before = len(os.listdir("/proc/self/fd"))
    (await session.get_file("x")).close()
    assert len(os.listdir("/proc/self/fd")) == before

    def broken(*words: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", broken)
        with pytest.raises(OSError, match="No space"):
            await session.get_file("x")
    assert len(os.listdir("/proc/self/fd")) == before
    await there.sessions.close_all()
