"""How much memory a shell takes, measured in a thread: a shell of many processes would keep the loop."""

from __future__ import annotations

import time

from gristmill.launch import proc
from gristmill.launch.cleaning import Worker

__all__ = ["Gauge"]

#: An exact reading, which the kernel takes milliseconds per GiB for, is wanted no longer than this after
#: somebody asked for one, seconds.
_WANTED_SECONDS = 5.0

#: How old the list of all processes may be in which those of a user are looked up, seconds.
_CENSUS_SECONDS = 0.2


class _Census:
    """All processes by user, listed once for all shells that are measured at about the same time."""

    def __init__(self) -> None:
        self._taken = -_CENSUS_SECONDS
        self._by_user: dict[int, set[int]] = {}

    def of(self, uid: int) -> set[int]:
        """For the thread that measures."""
        now = time.monotonic()
        if now - self._taken >= _CENSUS_SECONDS:
            self._by_user, self._taken = proc.by_user(), now
        return self._by_user.get(uid, set())


_worker = Worker("gristmill-memory")
_census = _Census()


class Gauge:
    """The memory of a process with all its descendants, and of all that run as `uid` if that is given.

    Each question starts a new reading unless one is under way, so an answer is as old as the question
    before; 0 until the first reading is there.
    """

    def __init__(self, pid: int, uid: int | None) -> None:
        self._pid = pid
        self._uid = uid  #: who leaves the tree, as a daemon does, keeps its user
        self._quick = self._exact = 0
        self._exact_wanted = -_WANTED_SECONDS
        self._exact_is_there = self._reading = False

    def read(self, *, exact: bool) -> int:
        """Bytes; `exact` with pages that several processes share counted once."""
        now = time.monotonic()
        if exact:
            self._exact_wanted = now
        if not self._reading:
            self._reading = True
            _worker.put(self._measure)
        if not exact:
            return self._quick
        return self._exact if self._exact_is_there else 0

    def _measure(self) -> None:
        try:
            pids = set(proc.tree(self._pid))
            if self._uid is not None:
                pids |= _census.of(self._uid)
            quick = sum(map(proc.resident, pids))
            wanted = time.monotonic() - self._exact_wanted < _WANTED_SECONDS
            self._exact = sum(map(proc.proportional, pids)) if wanted else 0
            self._quick, self._exact_is_there = quick, wanted
        finally:
            self._reading = False
