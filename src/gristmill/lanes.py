"""Work that lets direct calls go first, such as the items of batches: what of the shells it may have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gristmill.shell import Shell

__all__ = ["ALL", "Allowance", "Share", "serves", "share"]

#: A run of more seconds than this keeps a shell from a direct call for too long.
_LONG = 0.05
#: Seconds without a direct call after which lanes may use every shell: for short runs, and for long ones.
_QUIET, _LONG_QUIET = 1.0, 60.0
#: What lanes from which nothing runs get, in shells, however many direct calls there are.
_STARVED_SHARE = 0.1
#: Seconds of a shell that may be saved up for them at the most: a single short run.
_MOST_SAVED = 0.05


class Share(NamedTuple):
    """What a request of a lane may have."""

    idle: bool  #: a shell that does nothing
    part: float  #: of the work that usually may wait in the socket of a shell that runs a lane's


#: Nothing is kept back.
ALL = Share(True, 1.0)


def serves(shell: Shell) -> bool:
    """Whether a lane's request runs on it, or is loaded for."""
    return bool(shell.inflight) and bool(shell.inflight[0].lane or shell.inflight[-1].lane)


def share(shells: Iterable[Shell], *, quiet: float, expected: float | None) -> Share:
    """All of it when nobody called directly for `quiet` seconds; else one shell is left to direct calls.

    `expected` is how many seconds it will run, None if that is not known.
    """
    is_long = expected is None or expected > _LONG
    if quiet > (_LONG_QUIET if is_long else _QUIET):
        return ALL
    usable = [shell for shell in shells if shell.usable]
    taken = sum(1 for shell in usable if serves(shell))
    return Share(taken < max(1, len(usable) - 1), 0.1)


class Allowance:
    """The tenth of a shell that lanes get while direct calls take all the rest, in seconds of a shell."""

    def __init__(self, now: float) -> None:
        self._seconds = 0.0
        self._since = now

    def grant(self, now: float) -> None:
        """Credit the time since the last call."""
        self._seconds = min(_MOST_SAVED, self._seconds + _STARVED_SHARE * (now - self._since))
        self._since = now

    def spend(self, seconds: float) -> None:
        """Debit a run; one that is longer than what was saved is paid off before the next."""
        self._seconds -= seconds

    @property
    def is_left(self) -> bool:
        """Tells whether another run may go."""
        return self._seconds > 0
