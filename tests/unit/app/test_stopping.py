"""Signals: the first drains, the second hurries, the third ends; and nothing that hangs keeps the process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from gristmill.app.stopping import FORCED, Deadline, Stopping, place


class Left:
    """Stands for the end of the process."""

    def __init__(self) -> None:
        self.status: list[int] = []
        self.done = threading.Event()

    def __call__(self, status: int) -> None:
        self.status.append(status)
        self.done.set()


@pytest.fixture
def left() -> Left:
    return Left()


@pytest.fixture
def deadline(left: Left) -> Iterator[Deadline]:
    made = Deadline(left)
    yield made
    made.lift()


@pytest.fixture
def sighup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_each_signal_asks_for_an_end_and_the_next_ones_hurry(
    first: int, left: Left, deadline: Deadline
) -> None:
    stopping = Stopping(deadline)
    stopping.listen()
    signal.raise_signal(first)
    await asyncio.wait_for(stopping.asked.wait(), 5)
    assert not stopping.hurry.is_set()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(stopping.hurry.wait(), 5)
    assert left.status == []
    with structlog.testing.capture_logs() as events:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.to_thread(left.done.wait, 5)
    assert left.status == [FORCED]
    assert "shutdown_hangs" in [event["event"] for event in events]


@pytest.mark.usefixtures("sighup")
async def test_a_hang_up_that_is_ignored_stays_so(deadline: Deadline) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopping = Stopping(deadline)
    stopping.listen()
    signal.raise_signal(signal.SIGHUP)
    await asyncio.sleep(0.05)
    assert not stopping.asked.is_set()


async def test_the_process_ends_in_time_though_nobody_heeds_the_signal(left: Left) -> None:
    stopping = Stopping(Deadline(left), longest=0.05)
    stopping.signalled(signal.SIGTERM)
    assert await asyncio.to_thread(left.done.wait, 5)


async def test_what_hangs_is_named(left: Left) -> None:
    async def waits_for_the_database() -> None:
        await asyncio.Event().wait()

    async def closes() -> None:
        await waits_for_the_database()

    task = asyncio.create_task(closes(), name="close")
    await asyncio.sleep(0)
    assert place(task).startswith("close: ")
    assert "wait" in place(task)
    with structlog.testing.capture_logs() as events:
        Deadline(left).within(0.0, asyncio.get_running_loop())
        await asyncio.to_thread(left.done.wait, 5)
    (event,) = events
    assert any(name.startswith("close: ") for name in event["tasks"])
    assert "MainThread" in event["threads"]
    task.cancel()


def test_a_deadline_is_only_ever_brought_forward_or_lifted(left: Left) -> None:
    deadline = Deadline(left)
    deadline.within(60)
    deadline.within(0.01)
    assert left.done.wait(5)
    again = Left()
    lifted = Deadline(again)
    lifted.within(0.2)
    lifted.lift()
    assert not again.done.wait(0.4)


def test_a_thread_that_never_ends_does_not_keep_the_process() -> None:
    program = (
        "import threading, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from gristmill.app.stopping import Deadline\n"
        "begun = threading.Event()\n"
        "def hang():\n"
        "    begun.set()\n"
        "    time.sleep(600)\n"
        "ThreadPoolExecutor(1, thread_name_prefix='stuck').submit(hang)\n"
        "begun.wait()\n"
        "Deadline().within(0.5)\n"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert ended.returncode == FORCED
    assert "stuck" in ended.stdout + ended.stderr
