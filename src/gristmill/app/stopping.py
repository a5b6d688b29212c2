"""The end of a server: asked for by signals, and reached in bounded time even when something hangs."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import structlog

__all__ = ["FORCED", "Deadline", "Stopping", "place"]

log = structlog.get_logger()

#: Exit status of a process that had to be ended by force.
FORCED = 70
#: After a second signal, the end comes within so many seconds.
_HURRY_SECONDS = 10.0


class Deadline:
    """Ends the process by force when its time is over, whatever the event loop or other threads wait for.

    A thread watches, so that an event loop that stands still, or a thread that the interpreter waits for at
    exit, cannot keep the process alive.
    """

    def __init__(self, leave: Callable[[int], object] = os._exit) -> None:
        self._leave = leave
        self._changed = threading.Condition()
        self._at: float | None = None  #: by `time.monotonic`
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def within(self, seconds: float, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """The process ends in at most `seconds`; a later end than was set before is not granted."""
        at = time.monotonic() + seconds
        with self._changed:
            self._at = at if self._at is None else min(at, self._at)
            self._loop = loop or self._loop
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
                self._thread.start()

    def lift(self) -> None:
        """The process goes on."""
        with self._changed:
            self._at, self._thread = None, None
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while self._thread is threading.current_thread() and self._at is not None:
                left = self._at - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            else:
                return
        log.error("shutdown_hangs", tasks=_tasks(self._loop), threads=_threads(), exit_status=FORCED)
        self._leave(FORCED)


class Stopping:
    """What signals ask for.

    SIGTERM, SIGINT and SIGHUP (a terminal that was closed) let calls in flight finish; the second one cuts
    them short, and the third ends the process at once. SIGHUP stays ignored where it was, as below `nohup`.
    """

    def __init__(self, deadline: Deadline, *, longest: float = 60.0) -> None:
        self.asked = asyncio.Event()
        self._longest = longest  #: seconds from the first signal to the end
        self.hurry = asyncio.Event()
        self._deadline = deadline

    def listen(self) -> None:
        """Take on the signals of this process."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self.signalled, number)

    def end_within(self, seconds: float) -> None:
        """The process ends in at most `seconds`."""
        self._deadline.within(seconds, asyncio.get_running_loop())

    def signalled(self, number: int) -> None:
        """A signal came."""
        name = signal.Signals(number).name
        if not self.asked.is_set():
            log.info("stopping", signal=name)
            self.asked.set()
            self.end_within(self._longest)
        elif not self.hurry.is_set():
            log.warning("stopping_at_once", signal=name)
            self.hurry.set()
            self.end_within(_HURRY_SECONDS)
        else:
            self.end_within(0.0)


def place(task: asyncio.Task[Any]) -> str:
    """Where a task waits: its innermost coroutine, with file and line."""
    waits: Any = task.get_coro()
    frame = None
    while waits is not None:
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "ag_frame", None) or frame
        waits = _inner(waits)
    if frame is None:
        return task.get_name()
    return f"{task.get_name()}: {_where(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)}"


def _inner(waits: Any) -> Any:
    """The coroutine or generator that `waits` waits for, None if it is none."""
    inner = getattr(waits, "cr_await", None) or getattr(waits, "ag_await", None)
    if type(inner).__name__ in {"async_generator_asend", "async_generator_athrow"}:
        # A step of a generator does not say of which; the garbage collector knows.
        inner = next((each for each in gc.get_referents(inner) if inspect.isasyncgen(each)), None)
    return inner if inspect.iscoroutine(inner) or inspect.isasyncgen(inner) else None


def _tasks(loop: asyncio.AbstractEventLoop | None) -> list[str]:
    if loop is None or loop.is_closed():
        return []
    try:
        return sorted(place(task) for task in asyncio.all_tasks(loop))[:20]
    except RuntimeError:  # the loop still runs, and its tasks changed meanwhile
        return []


def _threads() -> dict[str, str]:
    """Where each thread is that could keep the process alive."""
    frames = sys._current_frames()
    found = {}
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and thread is not threading.current_thread():
            last = traceback.extract_stack(frame)[-1]
            found[thread.name] = _where(last.filename, last.lineno or 0, last.name)
    return found


def _where(file: str, line: int, function: str) -> str:
    return f"{'/'.join(file.split('/')[-2:])}:{line} {function}"
