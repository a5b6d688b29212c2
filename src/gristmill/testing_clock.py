"""An event loop for tests whose clock jumps when all is idle, as trio's MockClock does.

Hours of idling, back-off and starvation are tested in milliseconds: where nothing is ready and nothing
happens outside, the loop's time goes on at once to when the next timer is due.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from gristmill.off_loop import busy

__all__ = ["JumpingLoop", "run_jumping"]

T = TypeVar("T")

#: How long a thread at work is waited for, seconds, before the loop looks again.
_LOOK_SECONDS = 0.001


class _Idle(selectors.DefaultSelector):
    """A selector that never waits for time: it hands the wait on to the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0  #: seconds by which the clock is ahead of the real one

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if any(busy().values()) or timeout is None:
            # A thread is at work, or a descriptor is all there is to wait for: that takes real time.
            real = _LOOK_SECONDS if timeout is not None else 0.01
            return super().select(real)
        self.skipped += max(timeout, 0.0)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its time is the real one plus all waits that were skipped.

    For code whose events all come from the loop itself, from sockets within the process and from `off_loop`;
    a child process or another thread is not waited for.
    """

    def __init__(self) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        """Loop time, seconds."""
        return super().time() + self._idle.skipped


def run_jumping(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a `JumpingLoop`."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)
