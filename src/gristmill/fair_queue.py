"""Requests that wait for a shell: users take turns, and so do the services, or the batches, of one user.

Turns are counted in shell time, as in start-time fair queueing (Goyal, Vin and Cheng, 1996): each user has a
virtual time that moves on by what his requests cost, and who is least far on comes next. So a user whose
calls take 3 ms does not wait for the queue of one whose calls take seconds, and no one gains by idling.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, Protocol, TypeVar

from gristmill.calls import Request

__all__ = ["FairQueue"]

#: Seconds of a shell that are not charged to who waits alone.
_SMALL = 0.001
#: With so many users, or flows of one user, those are looked for that can be forgotten.
_MANY = 256


class _Timed(Protocol):
    time: float  #: virtual time up to which it was served


_T = TypeVar("_T", bound=_Timed)


class _Turns(Generic[_T]):
    """Those who wait for a turn, the least served first."""

    __slots__ = ("_entered", "_now", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, _T]] = []  #: virtual time, tie, who
        self._now = 0.0  #: virtual time of the last turn
        self._entered = 0  #: breaks ties in the order of arrival

    def enter(self, who: _T) -> None:
        """Let one wait who did not: not before those who waited meanwhile."""
        who.time = max(who.time, self._now)
        self._entered += 1
        heappush(self.heap, (who.time, self._entered, who))

    def served(self, cost: float, *, waits: bool) -> None:
        """Charge the first one for his turn; he `waits` for another or leaves."""
        start, _, who = self.heap[0]
        self._now = start
        who.time = start + cost
        if waits:
            self._entered += 1
            heapreplace(self.heap, (who.time, self._entered, who))
        else:
            heappop(self.heap)
            if not self.heap:  # nobody is owed anything any more
                self._now = who.time

    def keep(self, those: set[int]) -> None:
        """Let all others leave, by `id()`."""
        self.heap = [entry for entry in self.heap if id(entry[2]) in those]
        heapify(self.heap)

    def is_idle(self, who: _T) -> bool:
        """Tells whether forgetting one who does not wait changes nothing."""
        return who.time <= self._now


class _Flow:
    """Requests of one user for one service, or of one batch, first in, first out."""

    __slots__ = ("requests", "time")

    def __init__(self) -> None:
        self.requests: deque[Request] = deque()
        self.time = 0.0


class _User:
    """What one user has waiting."""

    __slots__ = ("flows", "many", "time", "turns")

    def __init__(self) -> None:
        self.flows: dict[str, _Flow] = {}
        self.many = _MANY
        self.turns: _Turns[_Flow] = _Turns()
        self.time = 0.0

    def weight(self, *, by_bytes: bool) -> int:
        if by_bytes:
            return sum(len(request.body) for flow in self.flows.values() for request in flow.requests)
        return sum(len(flow.requests) for flow in self.flows.values())


class FairQueue:
    """A queue whose order is fair to users, and to the services, or lanes, of each user.

    `cost` is how many seconds of a shell a request will take.
    """

    def __init__(self, *, cost: Callable[[Request], float]) -> None:
        self._cost = cost
        self._users: dict[str, _User] = {}
        self._many = _MANY
        self._turns: _Turns[_User] = _Turns()
        self._first: deque[Request] = deque()  #: goes before all others
        self.count = 0  #: of requests that wait
        self.bytes = 0  #: of their bodies

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Request]:
        """All that wait; within a flow in their order."""
        yield from self._first
        for user in self._users.values():
            for flow in user.flows.values():
                yield from flow.requests

    def push(self, request: Request) -> None:
        """Put it at the end of its flow."""
        user = self._users.get(request.user)
        if user is None:
            user = self._users[request.user] = self._new_user()
        key = request.lane or (request.service.digest if request.service else "")
        flow = user.flows.get(key)
        if flow is None:
            flow = user.flows[key] = _new_flow(user)
        if not flow.requests:
            if not user.turns.heap:
                self._turns.enter(user)
            user.turns.enter(flow)
        flow.requests.append(request)
        self.count += 1
        self.bytes += len(request.body)

    def push_back(self, request: Request) -> None:
        """Put it before all others: it was on its way already, or has waited for too long."""
        self._first.appendleft(request)
        self.count += 1
        self.bytes += len(request.body)

    def next(self) -> Request | None:
        """Whose turn it is; those whose caller has left are dropped on the way."""
        while self.count:
            request = self._first[0] if self._first else self._turns.heap[0][2].turns.heap[0][2].requests[0]
            if not request.future.done():
                return request
            self._take(is_free=True)
        return None

    def pop(self) -> Request:
        """Remove what `next` has shown, and charge its user for it."""
        return self._take(is_free=False)

    def _take(self, *, is_free: bool) -> Request:
        self.count -= 1
        if self._first:
            request = self._first.popleft()
            self.bytes -= len(request.body)
            return request
        user = self._turns.heap[0][2]
        flow = user.turns.heap[0][2]
        request = flow.requests.popleft()
        self.bytes -= len(request.body)
        cost = 0.0 if is_free else self._cost(request)
        if cost < _SMALL and flow.requests and len(self._turns.heap) == len(user.turns.heap) == 1:
            return request  # nobody else waits, and who comes next will not notice
        user.turns.served(cost, waits=bool(flow.requests))
        self._turns.served(cost, waits=bool(user.turns.heap))
        return request

    def oldest(self) -> float:
        """When the request that waits longest was submitted, loop time; infinity if there is none."""
        heads = [
            flow.requests[0] for user in self._users.values() for flow in user.flows.values() if flow.requests
        ]
        return min((request.submitted for request in (*self._first, *heads)), default=float("inf"))

    def remove(self, unwanted: Callable[[Request], bool]) -> list[Request]:
        """Take out all requests that are `unwanted`; each is looked at."""
        removed = [request for request in self if unwanted(request)]
        if not removed:
            return []
        gone = set(map(id, removed))
        self.count -= len(removed)
        self.bytes -= sum(len(request.body) for request in removed)
        self._first = deque(request for request in self._first if id(request) not in gone)
        for user in self._users.values():
            for flow in user.flows.values():
                flow.requests = deque(request for request in flow.requests if id(request) not in gone)
            user.turns.keep({id(flow) for flow in user.flows.values() if flow.requests})
        self._turns.keep({id(user) for user in self._users.values() if user.turns.heap})
        return removed

    def clear(self) -> list[Request]:
        """Take all of them out."""
        return self.remove(lambda _: True)

    def heaviest(self, *, by_bytes: bool) -> str | None:
        """The user who has most waiting, in bytes or in requests; None if nobody has."""
        waiting = [name for name, user in self._users.items() if user.turns.heap]
        return max(waiting, key=lambda name: self.weight(name, by_bytes=by_bytes), default=None)

    def weight(self, name: str, *, by_bytes: bool) -> int:
        """How much of a user's waits, in bytes or in requests."""
        user = self._users.get(name)
        return 0 if user is None else user.weight(by_bytes=by_bytes)

    def newest(self, name: str) -> Request | None:
        """The last request in the longest flow of a user; None where nothing of his waits."""
        user = self._users.get(name)
        if user is None or not user.turns.heap:
            return None
        return max(user.flows.values(), key=lambda flow: len(flow.requests)).requests[-1]

    def _new_user(self) -> _User:
        if len(self._users) >= self._many:
            for name, user in list(self._users.items()):
                if not user.turns.heap and self._turns.is_idle(user):
                    del self._users[name]
            self._many = max(_MANY, 2 * len(self._users))
        return _User()


def _new_flow(user: _User) -> _Flow:
    if len(user.flows) >= user.many:
        for key, flow in list(user.flows.items()):
            if not flow.requests and user.turns.is_idle(flow):
                del user.flows[key]
        user.many = max(_MANY, 2 * len(user.flows))
    return _Flow()
