"""Where user code runs: SIGINT reaches it there and is ignored everywhere else; a forked copy ends there."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Callable, Optional, Type

__all__ = ["Guard"]


class Guard:
    """A context for user code. SIGINT calls `interrupt` within it, at most once."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._inside = False
        self._forked = False
        os.register_at_fork(after_in_child=self._on_fork)
        self.install()

    def _on_fork(self) -> None:
        self._forked = True

    def install(self) -> None:
        """Take SIGINT; user code may have taken it since."""
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, _number: int, _frame: Optional[FrameType]) -> None:
        if self._inside:
            self._inside = False
            self._interrupt()

    def __enter__(self) -> None:
        self._inside = True

    def __exit__(
        self,
        _kind: Optional[Type[BaseException]],
        _error: Optional[BaseException],
        _traceback: Optional[TracebackType],
    ) -> None:
        self._inside = False
        if self._forked:
            os._exit(0)  # user code forked, and this is the child: it must not speak for its parent
