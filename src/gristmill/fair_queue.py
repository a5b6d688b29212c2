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

#: With so many users, or flows of one user, those are looked for that can be forgotten.
_MANY = 256


class _Timed(Protocol):
    time: float  #: virtual time up to which it was served


_T = TypeVar("_T", bound=_Timed)


class _Turns(Generic[_T]):
    """Those who wait for a turn, the least served first."""

    __slots__ = ("_entered", "_heap", "_now")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _T]] = []
        self._now = 0.0  #: virtual time of the last turn
        self._entered = 0  #: breaks ties in the order of arrival

    def enter(self, who: _T) -> None:
        """Let one wait who did not: not before those who waited meanwhile."""
        who.time = max(who.time, self._now)
        self._entered += 1
        heappush(self._heap, (who.time, self._entered, who))

    def first(self) -> _T:
        """Whose turn it is; there has to be one."""
        return self._heap[0][2]

    def served(self, cost: float, *, waits: bool) -> None:
        """Charge the first one for his turn; he `waits` for another or leaves."""
        start, _, who = self._heap[0]
        self._now = start
        who.time = start + cost
        if waits:
            self._entered += 1
            heapreplace(self._heap, (who.time, self._entered, who))
        else:
            heappop(self._heap)
            if not self._heap:  # nobody is owed anything any more
                self._now = who.time

    def keep(self, those: set[int]) -> None:
        """Let all others leave, by `id()`."""
        self._heap = [entry for entry in self._heap if id(entry[2]) in those]
        heapify(self._heap)

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

    __slots__ = ("bytes", "count", "flows", "many", "time", "turns")

    def __init__(self) -> None:
        self.flows: dict[str, _Flow] = {}
        self.many = _MANY
        self.turns: _Turns[_Flow] = _Turns()
        self.time = 0.0
        self.count = 0
        self.bytes = 0


class FairQueue:
    """A queue whose order is fair to users, and to the flows of each user.

    `flow` names the flow of a request within its user's; `cost` is how many seconds of a shell it will take.
    """

    def __init__(self, *, flow: Callable[[Request], str], cost: Callable[[Request], float]) -> None:
        self._flow_of = flow
        self._cost = cost
        self._users: dict[str, _User] = {}
        self._many = _MANY
        self._turns: _Turns[_User] = _Turns()
        self._first: deque[Request] = deque()  #: goes before all others
        self._count = 0
        self.bytes = 0  #: of the bodies that wait

    def __len__(self) -> int:
        return self._count

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
        key = self._flow_of(request)
        flow = user.flows.get(key)
        if flow is None:
            flow = user.flows[key] = _new_flow(user)
        if not flow.requests:
            user.turns.enter(flow)
        flow.requests.append(request)
        if not user.count:
            self._turns.enter(user)
        size = len(request.body)
        user.count += 1
        user.bytes += size
        self._count += 1
        self.bytes += size

    def push_back(self, request: Request) -> None:
        """Put it before all others: it was on its way already, or has waited for too long."""
        self._first.appendleft(request)
        self._count += 1
        self.bytes += len(request.body)

    def next(self) -> Request | None:
        """Whose turn it is; those whose caller has left are dropped on the way."""
        while self._count:
            request = self._first[0] if self._first else self._turns.first().turns.first().requests[0]
            if not request.future.done():
                return request
            self._take(0.0)
        return None

    def pop(self) -> Request:
        """Remove what `next` has shown, and charge its user for it."""
        return self._take(None)

    def _take(self, cost: float | None) -> Request:
        self._count -= 1
        if self._first:
            request = self._first.popleft()
            self.bytes -= len(request.body)
            return request
        user = self._turns.first()
        flow = user.turns.first()
        request = flow.requests.popleft()
        size = len(request.body)
        self.bytes -= size
        user.count -= 1
        user.bytes -= size
        spent = self._cost(request) if cost is None else cost
        user.turns.served(spent, waits=bool(flow.requests))
        self._turns.served(spent, waits=bool(user.count))
        return request

    def oldest(self) -> float:
        """When the request that waits longest was submitted, loop time; infinity if there is none."""
        return min((request.submitted for request in self._heads()), default=float("inf"))

    def _heads(self) -> Iterator[Request]:
        yield from self._first
        for user in self._users.values():
            for flow in user.flows.values():
                if flow.requests:
                    yield flow.requests[0]

    def remove(self, unwanted: Callable[[Request], bool]) -> list[Request]:
        """Take out all requests that are `unwanted`; each is looked at."""
        removed = [request for request in self if unwanted(request)]
        if not removed:
            return []
        gone = set(map(id, removed))
        self._first = deque(request for request in self._first if id(request) not in gone)
        self._count = len(self._first)
        self.bytes = sum(len(request.body) for request in self._first)
        for user in self._users.values():
            for flow in user.flows.values():
                flow.requests = deque(request for request in flow.requests if id(request) not in gone)
            self._count_anew(user)
        self._turns.keep({id(user) for user in self._users.values() if user.count})
        return removed

    def _count_anew(self, user: _User) -> None:
        waiting = [request for flow in user.flows.values() for request in flow.requests]
        user.count, user.bytes = len(waiting), sum(len(request.body) for request in waiting)
        user.turns.keep({id(flow) for flow in user.flows.values() if flow.requests})
        self._count += user.count
        self.bytes += user.bytes

    def clear(self) -> list[Request]:
        """Take all of them out."""
        return self.remove(lambda _: True)

    def heaviest(self, *, by_bytes: bool) -> str | None:
        """The user who has most waiting, in bytes or in requests; None if nobody has."""
        waiting = [name for name, user in self._users.items() if user.count]
        return max(waiting, key=lambda name: self.weight(name, by_bytes=by_bytes), default=None)

    def weight(self, name: str, *, by_bytes: bool) -> int:
        """How much of a user's waits, in bytes or in requests."""
        user = self._users.get(name)
        return 0 if user is None else user.bytes if by_bytes else user.count

    def newest(self, name: str) -> Request | None:
        """The last request in the longest flow of a user; None where nothing of his waits."""
        user = self._users.get(name)
        if user is None or not user.count:
            return None
        return max(user.flows.values(), key=lambda flow: len(flow.requests)).requests[-1]

    def _new_user(self) -> _User:
        if len(self._users) >= self._many:
            for name, user in list(self._users.items()):
                if not user.count and self._turns.is_idle(user):
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
