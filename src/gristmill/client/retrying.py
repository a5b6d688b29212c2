"""When a request is sent again: the one place that decides."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gristmill.client.errors import Unreachable
from gristmill.client.wire import Answer, Wire

__all__ = ["Retrying"]

#: Waits between attempts, seconds: the first, and the longest, unless the server asks for longer.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0
#: What a server may ask for at most; longer is left to the caller.
_LONGEST_ASKED = 30.0
#: The server says with these that the call was begun, so that a repeat would be a second run.
_BEGUN = (b'"ShellDied"', b'"CallEndedShell"', b'"LimitExceeded"')
#: What a proxy answers in the server's place while there is none behind it.
_NOBODY_BEHIND = (502, 503)


@dataclass
class Retrying:
    """How often, and how long, one client sends again what may be sent again.

    Anything: where it was not begun (a refused connection, 429 or 503 before a run), up to `times`; a server
    that has answered before is being restarted, or replaced: that one is waited for, `patience` seconds.

    What changes nothing (reads, logins, calls of services): also where the connection broke, up to `times`,
    or where a proxy has nobody to pass it to. It may run twice then.
    """

    times: int = 4
    patience: float = 60.0
    _met: bool = field(default=False, init=False)  #: the server has answered this client before

    async def send(self, wire: Wire, attempt: Callable[[], Awaitable[Answer]], *, repeatable: bool) -> Answer:
        """The answer of the last attempt, whatever its status. Raises what that raises."""
        begun, slept, number, broken = time.monotonic(), 0.0, 0, 0
        while True:
            answer: Answer | None = None
            try:
                answer = await attempt()
                wait = _wait_after(answer, number, repeatable=repeatable)
            except Unreachable as error:
                broken += error.broken
                again = error.unsent or (error.broken and repeatable and broken <= self.times)
                wait = _wait(number) if again else None
                if wait is None or not self._goes_on(number, wait, begun, slept):
                    raise
            else:
                self._met = True
                if wait is None or not self._goes_on(number, wait, begun, slept):
                    return answer
            await wire.sleep(wait)
            slept += wait
            number += 1

    def _goes_on(self, number: int, wait: float, begun: float, slept: float) -> bool:
        if number < self.times:
            return True
        # What was slept is counted too, so that a test's clock may stand still.
        spent = max(time.monotonic() - begun, slept)
        return self.times > 0 and self._met and spent + wait <= self.patience


def _wait(number: int) -> float:
    """Seconds before the next attempt: doubling, and spread so that many clients do not come at once."""
    return float(min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(number, 10)) * random.uniform(0.7, 1.3))


def _wait_after(answer: Answer, number: int, *, repeatable: bool) -> float | None:
    """Seconds after which to repeat what was refused, or None if that is no use or not safe."""
    if answer.status not in {429, *_NOBODY_BEHIND} or any(kind in answer.content for kind in _BEGUN):
        return None
    asked = answer.headers.get("retry-after")
    if answer.status != 502 and asked is not None:
        try:
            seconds = float(asked)
        except ValueError:
            return None
        return max(seconds, _wait(number)) if seconds <= _LONGEST_ASKED else None
    ours = b'"exceptionType"' in answer.content
    return _wait(number) if repeatable and answer.status in _NOBODY_BEHIND and not ours else None
