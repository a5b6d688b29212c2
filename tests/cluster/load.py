"""Callers that never stop: eight Python clients, each of whose answers is compared with the right one."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["CALLERS", "Call", "Load", "callers"]

CALLERS = 8
Call = Callable[[], str | None]  #: says what is wrong with its answer, if anything


@dataclass(slots=True, kw_only=True)
class Load:
    """What the callers saw so far."""

    seconds: list[float] = field(default_factory=list)  #: of each call that was answered right
    failures: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, seconds: float, failure: str | None) -> None:
        with self._changed:
            if failure is None:
                self.seconds.append(seconds)
            else:
                self.failures.append(failure)
            self._changed.notify_all()

    def more(self, calls: int, *, within: float = 120) -> None:
        """Wait until so many more calls were made."""
        with self._changed:
            aim = len(self.seconds) + len(self.failures) + calls
            if not self._changed.wait_for(lambda: len(self.seconds) + len(self.failures) >= aim, within):
                raise AssertionError(f"the callers made fewer than {calls} calls in {within:g} s")

    def verdict(self) -> str:
        """Figures; AssertionError when a call failed or was answered wrongly."""
        total = len(self.seconds) + len(self.failures)
        if self.failures:
            kinds = "\n".join(sorted(set(self.failures))[:10])
            raise AssertionError(f"{len(self.failures)} of {total} calls failed:\n{kinds}")
        cuts = [1000 * cut for cut in statistics.quantiles(self.seconds, n=100, method="inclusive")]
        return (
            f"{total} calls by {CALLERS} callers, 0 failed; "
            f"p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, max {1000 * max(self.seconds):.0f} ms"
        )


@contextmanager
def callers(new: Callable[[], Call]) -> Iterator[Load]:
    """Have them call meanwhile; `new` makes the call of one caller."""
    load = Load()
    over = threading.Event()
    threads = [threading.Thread(target=_keep_calling, args=(new(), load, over)) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        load.more(CALLERS * 2)
        yield load
        load.more(CALLERS * 2)
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _keep_calling(call: Call, load: Load, over: threading.Event) -> None:
    while not over.is_set():
        begin = time.monotonic()
        try:
            failure = call()
        except Exception as error:  # noqa: BLE001  whatever a caller gets instead of an answer is counted
            failure = f"{type(error).__name__}: {error}"
        load.add(time.monotonic() - begin, failure)
