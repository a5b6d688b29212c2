"""How long a connection's caller is waited for; looked at once a second, so that no request pays for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gristmill.app.settings import ConnectionLimits
from gristmill.web.problems import http_problem

if TYPE_CHECKING:
    from gristmill.app.http_connection import Connection

__all__ = ["Patience", "Phase"]


class Phase:
    """What a caller is in the midst of sending. Plain numbers: they are set several times a request."""

    BETWEEN = 0  #: nothing, before the first request or between two
    HEAD = 1
    BODY = 2
    REFUSED = 3  #: what he sends is thrown away, so that he can read why


class Patience:
    """The times of one connection, as `look` finds them."""

    __slots__ = ("_got", "_seen", "_taken", "_untaken_since", "since")

    def __init__(self, now: float) -> None:
        self.since = now  #: when the last change was seen, or when the current window of a body began
        self._seen = (Phase.BETWEEN, 0, False)
        self._got = 0  #: bytes that had been received when the window began
        self._taken = 0  #: bytes of answers that the caller had taken when the window of answers began
        self._untaken_since: float | None = None  #: begin of that window, None if nothing waits to leave

    def look(self, connection: Connection, now: float, limits: ConnectionLimits) -> None:
        """End the connection if its caller is too slow."""
        untaken = connection.transport.untaken()
        if not untaken:
            self._untaken_since = None
        elif self._cut_off_answer(connection, untaken, now, limits):
            return
        phase = connection.phase
        seen = (phase, connection.begun, connection.busy)
        paused = connection.flow.read_paused and phase != Phase.BETWEEN  # it is not he who is slow
        if seen != self._seen or paused or (seen[2] and phase in {Phase.BETWEEN, Phase.REFUSED}):
            self._seen, self.since, self._got = seen, now, connection.received
        elif phase == Phase.HEAD:
            self._look_at_head(connection, now, limits)
        elif phase == Phase.BODY:
            self._look_at_body(connection, now, limits)
        elif phase == Phase.REFUSED and now - self.since > limits.linger_seconds:
            connection.transport.abort()
        elif phase == Phase.BETWEEN and now - self.since > limits.keep_alive_seconds:
            connection.transport.close()

    def _look_at_head(self, connection: Connection, now: float, limits: ConnectionLimits) -> None:
        if now - self.since > limits.head_seconds:
            text = f"the request's head did not come within {limits.head_seconds:g} seconds"
            connection.refuse("head too slow", http_problem(408, text))

    def _look_at_body(self, connection: Connection, now: float, limits: ConnectionLimits) -> None:
        cycle = connection.cycle
        assert cycle is not None
        age = now - self.since
        if not connection.busy:  # the answer was sent, and there is still more of the body
            if age > limits.head_seconds:
                connection.refuse("body after its answer", http_problem(408, "the body did not end"))
        elif cycle.waiting_for_100_continue:
            self.since, self._got = now, connection.received  # it is for the server to speak
        elif age > limits.body_seconds:
            if connection.received - self._got < limits.lowest_rate * limits.body_seconds:
                text = (
                    f"the request's body came too slowly: send {limits.lowest_rate} bytes per second at least"
                )
                connection.refuse("body too slow", http_problem(408, text))
            else:
                self.since, self._got = now, connection.received

    def _cut_off_answer(
        self, connection: Connection, untaken: int, now: float, limits: ConnectionLimits
    ) -> bool:
        """Cut off an answer that nobody reads; True if it was."""
        transport = connection.transport
        # The system takes more from us only when a third of its own buffer has gone, which may be megabytes.
        taken = transport.sent - untaken - transport.queued()
        begun, least = self._untaken_since, limits.lowest_rate * limits.answer_seconds
        if begun is None or taken - self._taken >= least:
            self._untaken_since, self._taken = now, taken
        elif now - begun > limits.answer_seconds:
            connection.server_state.dropped("answer not read")
            transport.abort()
            return True
        return False
