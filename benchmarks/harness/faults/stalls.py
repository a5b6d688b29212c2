"""How long an event loop stood still, and what it did then."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

__all__ = ["Stall", "Stalls"]

_EVERY = 0.005  #: seconds between two beats
_LATE = 0.05  #: seconds from which on a stall is told
#: Functions in which a thread waits for work.
_IDLE = {"_worker", "wait", "get"}
_KEPT = 12  #: of the longest ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """One time that the loop did not come round; seconds."""

    wall: float
    waited: float  #: of which it was ready to run, and the system gave the processor to others
    stack: str

    @property
    def own(self) -> float:
        """What is the program's own doing."""
        return max(0.0, self.wall - self.waited)


class Stalls:
    """A beat in the loop that starts it, and a thread that looks at the loop's stack when a beat is late."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._schedule = f"/proc/self/task/{threading.get_native_id()}/schedstat"
        self._ended = threading.Event()
        self._stack = ""
        self.beats = self.late = 0
        self.worst: list[Stall] = []
        self._beaten = time.monotonic()
        self._delayed = self._delay()
        self._timer = self._loop.call_later(_EVERY, self._beat)
        self._watcher = threading.Thread(target=self._watch, name="stalls", daemon=True)
        self._watcher.start()

    def clear(self) -> None:
        """Forget what was seen."""
        self.beats = self.late = 0
        self.worst = []

    def excuse(self) -> None:
        """What held the loop until now was the harness itself."""
        self._beaten, self._delayed = time.monotonic(), self._delay()

    def close(self) -> None:
        """End the beat and its watcher."""
        self._ended.set()
        self._timer.cancel()
        self._watcher.join()

    def dump(self) -> dict[str, Any]:
        """As JSON has it, the longest first."""
        return {"beats": self.beats, "late": self.late, "worst": [asdict(stall) for stall in self.worst]}

    def _beat(self) -> None:
        now, delayed = time.monotonic(), self._delay()
        wall = now - self._beaten - _EVERY
        self.beats += 1
        if wall > _LATE:
            self.late += 1
            stack, self._stack = self._stack, ""
            self.worst.append(Stall(wall=wall, waited=delayed - self._delayed, stack=stack))
            self.worst = sorted(self.worst, key=lambda stall: -stall.own)[:_KEPT]
        self._beaten, self._delayed = now, delayed
        self._timer = self._loop.call_later(_EVERY, self._beat)

    def _delay(self) -> float:
        """Seconds that the loop's thread has waited for a processor so far."""
        try:
            with open(self._schedule, encoding="ascii") as file:
                return int(file.read().split()[1]) / 1e9
        except OSError:
            return 0.0

    def _watch(self) -> None:
        while not self._ended.wait(_LATE / 4):
            if time.monotonic() - self._beaten > _LATE * 0.8 and not self._stack:
                self._stack = self._seen()

    def _seen(self) -> str:
        """The loop's stack, and where the threads are that do not wait for work: one may hold the lock."""
        frames = sys._current_frames()
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        told = [_told(frames[self._thread], 8)] if self._thread in frames else []
        for ident, frame in frames.items():
            if ident not in {self._thread, threading.get_ident()} and frame.f_code.co_name not in _IDLE:
                told.append(f"thread {names.get(ident, '?')}: {_told(frame, 3)}")
        return "; ".join(told)


def _told(frame: FrameType, most: int) -> str:
    lines = traceback.extract_stack(frame)[-most:]
    return " < ".join(
        f"{line.name} ({line.filename.rsplit('/', 1)[-1]}:{line.lineno})" for line in reversed(lines)
    )
