"""The calls that wait for a shell of one pool: bounded in number and bytes, and fair to those who call."""

from __future__ import annotations

from collections.abc import Callable

from gristmill.calls import Request
from gristmill.errors import Overloaded, TooManyCalls
from gristmill.fair_queue import FairQueue

__all__ = ["CallQueue", "has_left"]

#: Of so many calls in a row that find no room, one has those looked for whose callers have left.
_LOOKS = 16


class CallQueue(FairQueue):
    """A fair queue that is full with `most` calls, or with bodies of `most_bytes` together.

    Who has filled it has to yield then: the newest call of the user who has most waiting is refused in favour
    of a user who has less.
    """

    def __init__(self, *, cost: Callable[[Request], float], most: int, most_bytes: int, name: str) -> None:
        super().__init__(cost=cost)
        self._most = most
        self._most_bytes = most_bytes
        self._name = name  #: of the pool, for messages
        self._refused = 0  #: in a row

    def push(self, request: Request) -> None:
        """Put it at the end of its flow.

        Raises TooManyCalls where its user's own calls fill the queue, and Overloaded where nobody has more
        than his share.
        """
        while self.count >= self._most or (self.count and self.bytes + len(request.body) > self._most_bytes):
            self._make_room(request)
        super().push(request)
        self._refused = 0

    def _make_room(self, request: Request) -> None:
        """Drop those whose callers have left; if there are none, somebody has to yield."""
        looks = self._refused % _LOOKS == 0  # not each time: it costs as much as there is in the queue
        self._refused += 1
        if not (looks and self.remove(has_left)):
            self._evict_for(request)

    def _evict_for(self, request: Request) -> None:
        """Take the newest call of the user who has most waiting out, in favour of one who has less."""
        by_bytes = self.count < self._most
        user = self.heaviest(by_bytes=by_bytes)
        full = f"all {self._name} shells are busy and {self.count} calls wait already"
        if by_bytes:
            full = f"{full}, of {self.bytes >> 20} MiB"
        if user is None:
            raise Overloaded(full)
        if user == request.user:
            raise TooManyCalls(f"{full}, most of them yours; try again when some are answered")
        newest, added = self.newest(user), len(request.body) if by_bytes else 1
        has_more = self.weight(user, by_bytes=by_bytes) > self.weight(request.user, by_bytes=by_bytes) + added
        if newest is None or not has_more:
            raise Overloaded(full)
        self.remove(lambda each: each is newest)
        newest.fail(TooManyCalls(f"{full}, most of them yours; this one gave way to another user's"))


def has_left(request: Request) -> bool:
    """Tells whether nobody waits for the answer any more."""
    return request.future.done()
