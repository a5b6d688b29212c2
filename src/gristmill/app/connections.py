"""What the connections of a server share: their limits, their count, and the watch over them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from uvicorn.server import ServerState

from gristmill.app.settings import ConnectionLimits

if TYPE_CHECKING:
    from gristmill.app.http_connection import Connection

__all__ = ["State"]

log = structlog.get_logger("gristmill.web")

#: When more of the connections are in use than this share, idle and slow ones are given less time.
_STRAINED = 0.75
#: At the limit, this part of all connections is closed at once, if so many are idle.
_ROOM = 20
#: Connections that are looked at in one go: about a millisecond.
_AT_ONCE = 500
#: An event of a kind is logged at most so often, with the count of what it stands for; seconds.
_LOG_SECONDS = 10.0


def _leaves_nothing(scope: Any) -> bool:
    return False


class State(ServerState):
    """The connections of a server, and what becomes of those that take too long.

    Deadlines are looked at once a second for all connections: a timer for each request would cost more than
    all else that is done here.
    """

    def __init__(
        self,
        limits: ConnectionLimits | None = None,
        *,
        most: int = 10_000,
        drops_with_caller: Callable[[Any], bool] = _leaves_nothing,
    ) -> None:
        super().__init__()
        self.connections: set[Connection]  # type: ignore[assignment]  # this server has no other kind
        self.arriving: set[Connection] = set()  #: accepted, and not yet among `connections`
        self.draining = False
        self.limits = limits or ConnectionLimits()
        self.most = most  #: connections at a time
        #: Tells by its ASGI scope whether a request is given up when its caller leaves.
        self.drops_with_caller = drops_with_caller
        self.on_freed: Callable[[], None] | None = None  #: called when a connection has ended
        self._strained = self.limits.strained()
        self._all_busy = False  #: `make_room` found no idle connection since the last sweep
        self._dropped: Counter[str] = Counter()
        self._logged: dict[str, float] = {}

    def freed(self) -> None:
        """A connection has ended."""
        if self.on_freed is not None:
            self.on_freed()

    def dropped(self, reason: str) -> None:
        """Count a connection that the server ended before its time; told in the log by `sweep`."""
        self._dropped[reason] += 1

    async def sweep(self, now: float) -> None:
        """End what is past its deadline, and log what was ended: once a burst, with its size."""
        self._all_busy = False
        scarce = len(self.connections) > self.most * _STRAINED
        limits = self._strained if scarce else self.limits
        for number, connection in enumerate(list(self.connections), 1):
            connection.patience.look(connection, now, limits)
            if not number % _AT_ONCE:
                await asyncio.sleep(0)  # others get their turn, however many connections there are
        self.tell_dropped(now)

    def tell_dropped(self, now: float | None = None) -> None:
        """Log what was ended and not told yet; without `now`, whenever the last such event was."""
        for reason in list(self._dropped):
            last = self._logged.get(reason)
            if now is None or last is None or now - last >= _LOG_SECONDS:
                self._logged[reason] = now or 0.0
                count = self._dropped.pop(reason)
                log.warning("connections_dropped", reason=reason, count=count, open=len(self.connections))

    def make_room(self) -> bool:
        """Close the connections that have idled longest; False if none idles.

        First go those on which nothing was ever asked. Where none was found, none is looked for until the
        next `sweep`.
        """
        if self._all_busy:
            return False
        idle = [connection for connection in self.connections if connection.idle]
        idle.sort(key=lambda connection: (connection.begun > 0, connection.patience.since))
        chosen = idle[: max(1, self.most // _ROOM)]
        for connection in chosen:
            self.dropped("idle while others wait")
            connection.transport.close()
        self._all_busy = not chosen
        return bool(chosen)
