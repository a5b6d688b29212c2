"""Growing delays after repeated failures to log in.

Kept in memory: a restart forgives, each node counts for itself, and nobody is locked out for longer than the
longest delay. What is refused during a delay is not counted, so that an attacker cannot extend it.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from gristmill.errors import TooManyAttempts

__all__ = ["Lockout"]


class _Failures(NamedTuple):
    times: int
    last: float
    until: float  #: when the next attempt is heard


class Lockout:
    """Counts failures of names (users, or client addresses).

    The first `free` failures cost nothing, the next one `first` seconds, each further one twice as much,
    `longest` at most. A name without failures for `forget` seconds starts anew. Beyond `size` names the one
    whose last failure is the oldest is forgotten.
    """

    def __init__(
        self,
        *,
        free: int = 5,
        first: float = 1.0,
        longest: float = 60.0,
        forget: float = 900.0,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = free
        self._first = first
        self._longest = longest
        self._forget = forget
        self._size = size
        self._clock = clock
        self._failures: OrderedDict[bytes, _Failures] = OrderedDict()

    def check(self, name: str) -> None:
        """Raise TooManyAttempts while `name` has to wait."""
        known = self._failures.get(_key(name))
        left = known.until - self._clock() if known is not None else 0.0
        if left > 0:
            seconds = math.ceil(left)
            raise TooManyAttempts(
                f"too many failed logins; the next one is heard in {seconds} s", retry_after=seconds
            )

    def failed(self, name: str) -> None:
        """Count a failure."""
        key, now = _key(name), self._clock()
        known = self._failures.pop(key, None)
        times = 1 if known is None or now - known.last > self._forget else known.times + 1
        over = times - self._free
        delay = min(self._first * 2.0 ** min(over - 1, 60), self._longest) if over > 0 else 0.0
        self._failures[key] = _Failures(times, now, now + delay)
        while len(self._failures) > self._size:
            self._failures.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forget the failures of `name`."""
        self._failures.pop(_key(name), None)


def _key(name: str) -> bytes:
    """Of one size, however long a name was sent."""
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest()
