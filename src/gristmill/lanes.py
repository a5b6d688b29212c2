"""Requests that let others go first: a queue for each lane, served in turn, and what they leave to others."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gristmill.calls import Request
from gristmill.shell import Shell

__all__ = ["ALL", "Lanes", "Share", "serves", "share"]

#: A run of more seconds than this keeps a shell from a direct call for too long.
_LONG = 0.05
#: Seconds without a direct call after which lanes may use every shell: for short runs, and for long ones.
_QUIET, _LONG_QUIET = 1.0, 60.0


class Lanes:
    """First in, first out within a lane; lanes take turns, so that none waits for another's length."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, deque[Request]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def push(self, request: Request) -> None:
        """Put it at the end of its lane."""
        self._lanes.setdefault(request.lane, deque()).append(request)

    def push_back(self, request: Request) -> None:
        """Put it, which was on its way already, at the head of its lane."""
        self._lanes.setdefault(request.lane, deque()).appendleft(request)

    def next(self) -> Request | None:
        """Whose turn it is; those whose caller has left are dropped."""
        while self._lanes:
            name, lane = next(iter(self._lanes.items()))
            while lane and lane[0].future.done():
                lane.popleft()
            if lane:
                return lane[0]
            del self._lanes[name]
        return None

    def pop(self) -> Request:
        """Remove what `next` showed; then it is the next lane's turn."""
        name, lane = next(iter(self._lanes.items()))
        request = lane.popleft()
        if lane:
            self._lanes.move_to_end(name)
        else:
            del self._lanes[name]
        return request

    def oldest(self) -> float:
        """When the request that waits longest was submitted; infinity if there is none."""
        return min((lane[0].submitted for lane in self._lanes.values() if lane), default=float("inf"))

    def clear(self) -> Iterator[Request]:
        """Take all of them out."""
        while self._lanes:
            yield from self._lanes.popitem()[1]


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
