"""What the right answers are, and a tally of those that came."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from .wire import Answer

__all__ = ["ABSENT", "STEP", "Tally", "Versions"]

#: Services answer with 2 x + constant, where x is below STEP and constants are its multiples: an answer tells
#: which input it belongs to, and which version gave it.
STEP = 10_000_000
#: In the place of a constant: the service is not there.
ABSENT = None
_EXAMPLES = 4


@dataclass(slots=True, kw_only=True)
class _Span:
    constant: int | None
    start: float
    end: float = float("inf")


class Versions:
    """Which versions of a service may have answered when. One publisher writes, callers read."""

    def __init__(self) -> None:
        self._spans = [_Span(constant=ABSENT, start=0.0)]
        self._last = 0

    def next(self) -> int:
        """A constant that no version had."""
        self._last += STEP
        return self._last

    def begin(self, constant: int | None) -> None:
        """A change is sent: from now on its outcome may be seen, and what was before may go on."""
        self._spans.append(_Span(constant=constant, start=time.monotonic()))

    def settle(self, constant: int | None) -> None:
        """The change was confirmed: nothing else is seen from now on."""
        now = time.monotonic()
        for span in self._spans:
            if span.constant != constant:
                span.end = min(span.end, now)
        self._spans = [span for span in self._spans if span.end > now - 120]

    @property
    def certain(self) -> bool:
        """Whether only one state is possible now."""
        return len({span.constant for span in self._spans if span.end == float("inf")}) == 1

    def now(self) -> set[int | None]:
        """The states that are possible now."""
        return self.between(time.monotonic(), time.monotonic())

    def between(self, start: float, end: float) -> set[int | None]:
        """The states that were possible in this time."""
        return {span.constant for span in self._spans if span.start <= end and span.end >= start}


@dataclass(slots=True)
class Tally:
    """Outcomes by kind of call. Those in `failures` must not be."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def good(self, kind: str, outcome: str) -> None:
        self.outcomes[kind, outcome] += 1

    def bad(self, kind: str, failure: str, example: str) -> None:
        """Count a failure, and keep the first few as examples."""
        self.failures[kind, failure] += 1
        kept = self.examples.setdefault((kind, failure), [])
        if len(kept) < _EXAMPLES:
            kept.append(example[:400])

    def refused(self, kind: str, answer: Answer) -> bool:
        """Count an answer that says to come again; False if it says something else."""
        if answer.status not in {429, 503, 504, 507}:
            return False
        if answer.status != 504 and "retry-after" not in answer.headers:
            self.bad(kind, f"{answer.status} without Retry-After", answer.body.decode(errors="replace"))
        else:
            self.good(kind, f"{answer.status}, come again")
        return True

    def unexpected(self, kind: str, answer: Answer) -> None:
        """Count an answer that nothing explains."""
        self.bad(kind, f"unexpected {answer.status}", answer.body.decode(errors="replace"))

    @property
    def calls(self) -> int:
        return sum(self.outcomes.values()) + sum(self.failures.values())
