"""How much memory a shell takes: looked up at once if that is quick, else measured in a thread."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from gristmill.launch import proc
from gristmill.launch.cleaning import Worker

__all__ = ["Gauge"]

#: How long a look may keep the event loop, seconds; a shell of many processes is measured in a thread then.
_LOOK_SECONDS = 0.002
#: An exact reading, for which the kernel takes milliseconds a GiB, is made up to so long after one was asked
#: for, seconds.
_WANTED_SECONDS = 5.0
#: How old the list of all processes may be in which those of a user are looked up, seconds.
_CENSUS_SECONDS = 0.2

_worker = Worker("gristmill-memory")


class _Census:
    """All processes by user, listed once for all shells that are looked at at about the same time."""

    def __init__(self) -> None:
        self._asked = -_CENSUS_SECONDS
        self._by_user: dict[int, set[int]] = {}

    def of(self, uid: int) -> set[int]:
        """As of the last listing; has another one made in the thread when that is old."""
        now = time.monotonic()
        if now - self._asked >= _CENSUS_SECONDS:
            self._asked = now
            _worker.put(self._list)
        return self._by_user.get(uid, set())

    def _list(self) -> None:
        self._by_user = proc.by_user()


_census = _Census()


class Gauge:
    """The memory of a process with all its descendants, and of all that run as `uid` if that is given."""

    def __init__(self, pid: int, uid: int | None) -> None:
        self._pid = pid
        self._uid = uid  #: who leaves the tree, as a daemon does, keeps its user
        self._quick = self._exact = self._least = 0
        self._asked = -_WANTED_SECONDS  #: when an exact reading was
        self._slow = self._measuring = False

    def read(self, *, exact: bool) -> int:
        """Bytes; `exact` with pages that several processes share counted once.

        For a shell of many processes as of the question before, and an exact reading at first no more than
        what is certain: the memory that the largest of its processes has to itself.
        """
        if exact:
            self._asked = time.monotonic()
            self._measure_later()
            return max(self._exact, self._least)
        if self._slow or not self._look(time.monotonic() + _LOOK_SECONDS):
            self._slow = True
            self._measure_later()
        return self._quick

    def _look(self, until: float) -> bool:
        """Add up what is resident; False, with what has been seen so far, if that takes too long."""
        total = least = 0
        try:
            for pid in self._pids(until):
                resident, private = proc.resident_and_private(pid)
                total, least = total + resident, max(least, private)
        except TimeoutError:
            self._quick, self._least = max(self._quick, total), max(self._least, least)
            return False
        self._quick, self._least = total, least
        if time.monotonic() - self._asked > _WANTED_SECONDS:
            self._exact = 0
        return True

    def _pids(self, until: float = math.inf) -> Iterator[int]:
        """Raises TimeoutError past `until`."""
        tree = set()
        for pid in proc.tree(self._pid, until):
            tree.add(pid)
            yield pid
        for pid in _census.of(self._uid) - tree if self._uid is not None else ():
            if time.monotonic() > until:
                raise TimeoutError
            yield pid

    def _measure_later(self) -> None:
        if not self._measuring:
            self._measuring = True
            _worker.put(self._measure)

    def _measure(self) -> None:
        try:
            begun = time.monotonic()
            self._look(math.inf)
            self._slow = time.monotonic() - begun > _LOOK_SECONDS / 2
            if begun - self._asked < _WANTED_SECONDS:
                self._exact = sum(map(proc.proportional, self._pids()))
        finally:
            self._measuring = False
