"""All processes of a user id are ended, however they resist; and nobody else's."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator

import pytest

from gristmill.launch import ending, proc
from gristmill.launch.ending import end_user

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other users' processes need root")

ONE, OTHER = 64_401, 64_402
BECOME = """
import os, resource, sys, time
os.setgroups([])
os.setresgid(user, user, user)
resource.setrlimit(resource.RLIMIT_NPROC, (64, 64))
os.setresuid(user, user, user)
print("there", flush=True)
"""
#: Forks as fast as it can, each child in a session of its own.
BOMB = """
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
"""
#: Signals whatever it may, all the time: whoever comes as its own user to end it is ended first.
KILLER = """
while True:
    try:
        os.kill(-1, 9)
    except OSError:
        pass
"""


@pytest.fixture
def started() -> Iterator[Callable[[int, str], subprocess.Popen[str]]]:
    """`started(user, code)` returns when the process has become the user."""
    living = []

    def start(user: int, code: str) -> subprocess.Popen[str]:
        program = f"user = {user}\n{textwrap.dedent(BECOME)}{code}"
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        living.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        return process

    yield start
    for process in living:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("code", ["time.sleep(50)", BOMB, KILLER], ids=["quiet", "bomb", "killer"])
def test_whatever_a_user_runs_is_ended_and_nobody_elses(
    started: Callable[[int, str], subprocess.Popen[str]], code: str
) -> None:
    other, ours = started(OTHER, "time.sleep(50)"), started(ONE, code)
    time.sleep(0.2)  # a bomb is to have gone off
    assert end_user(ONE, seconds=20)
    assert proc.of_user(ONE) == []
    assert ours.wait(5) == -9
    assert other.poll() is None


def test_a_process_that_a_user_has_nobody_of_is_no_trouble() -> None:
    assert end_user(ONE)


def test_who_cannot_be_ended_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "of_user", lambda uid: [2**22 + 1])
    assert not end_user(ONE, seconds=0.05)


def test_processes_are_listed_again_when_descriptors_were_short(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def of_user(uid: int) -> list[int]:
        asked.append(uid)
        if len(asked) == 1:
            raise OSError(24, "Too many open files")
        return []

    monkeypatch.setattr(proc, "of_user", of_user)
    assert end_user(ONE)
    assert len(asked) == 2


def test_nobody_is_signalled_at_once_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that signals all may only run as somebody who has a right to nothing else."""
    monkeypatch.setattr(subprocess, "run", lambda *words, **more: pytest.fail("it was run as root"))
    ending._kill_as(0)


def test_the_program_that_signals_all_looks_first_whether_it_may_only_signal_its_own(
    started: Callable[[int, str], subprocess.Popen[str]],
) -> None:
    """Its guard is tried with a kill that only says that it would have been called."""
    code = ending._AS_USER.replace("os.kill(-1, 9)", "print('signals', os.getresuid())")
    assert code != ending._AS_USER
    as_other = [sys.executable, "-I", "-S", "-c", code, str(ONE)]
    said = subprocess.run(as_other, check=True, capture_output=True, text=True).stdout
    assert said == f"signals ({ONE}, {ONE}, {ONE})\n"
    keeping = f"import ctypes\nctypes.CDLL(None).prctl(28, 0x4, 0, 0, 0)\n{code}"  # SECBIT_NO_SETUID_FIXUP
    with_rights = [sys.executable, "-I", "-S", "-c", keeping, str(ONE)]
    assert subprocess.run(with_rights, check=True, capture_output=True, text=True).stdout == ""
