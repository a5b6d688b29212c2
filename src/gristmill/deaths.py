"""What the exit status of a process tells of its end."""

from __future__ import annotations

import signal

__all__ = ["comes_from_others", "in_words", "signal_of"]

#: Signals that usually others than the code send: an administrator, or the kernel when memory is short.
_FROM_OTHERS = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})


def signal_of(status: int) -> signal.Signals | None:
    """The signal that ended the process, if one did; sandboxes report it as 128 + its number."""
    number = -status if status < 0 else status - 128
    try:
        return signal.Signals(number) if number > 0 else None
    except ValueError:
        return None


def comes_from_others(status: int) -> bool:
    """Tells whether the process was ended by a signal that its own code does not send as a rule."""
    return signal_of(status) in _FROM_OTHERS


def in_words(status: int) -> str:
    """How the process ended, to follow its name."""
    number = signal_of(status)
    if number is not None:
        return f"was ended by {number.name}"
    return (
        f"ended with status {status}"
        if status < 0 or status > 128
        else f"ended by itself with status {status}"
    )
