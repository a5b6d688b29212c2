"""What the story tells while it is played, and its summary."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["ChapterOver", "Report", "Step"]


class ChapterOver(Exception):
    """A step failed, and those after it stand on it."""


@dataclass(slots=True, kw_only=True)
class Step:
    """One step, while it is played and afterwards."""

    title: str
    passed: bool = False
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """A figure for the summary."""
        self.notes.append(text)


class Report:
    """Steps in chapters; a failed step ends its chapter and no other."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._started = time.monotonic()

    @contextlib.contextmanager
    def chapter(self, title: str, explain: Callable[[], str] = str) -> Iterator[None]:
        """`explain()` says, after a failure, what the cluster looks like."""
        print(f"\n== {title}", flush=True)
        try:
            yield
        except ChapterOver:
            print(explain(), flush=True)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        step = Step(title=title)
        self.steps.append(step)
        begin = time.monotonic()
        try:
            yield step
            step.passed = True
        except Exception as error:
            _tell(error)
            raise ChapterOver from error
        finally:
            step.seconds = time.monotonic() - begin
            self._print(step)

    def summary(self) -> str:
        """Figures, then one line as test runners print it."""
        failed = sum(not step.passed for step in self.steps)
        lines = ["\n== Summary", *(_line(step) for step in self.steps)]
        took = time.monotonic() - self._started
        lines.append(f"\n{len(self.steps) - failed} passed, {failed} failed in {took:.0f} s")
        return "\n".join(lines)

    @property
    def all_passed(self) -> bool:
        return bool(self.steps) and all(step.passed for step in self.steps)

    def _print(self, step: Step) -> None:
        print(f"[{time.monotonic() - self._started:6.1f} s] {_line(step)}", flush=True)


def _line(step: Step) -> str:
    about = f": {'; '.join(step.notes)}" if step.notes else ""
    return f"{'passed' if step.passed else 'FAILED'} {step.seconds:6.1f} s  {step.title}{about}"


def _tell(error: Exception) -> None:
    if isinstance(error, subprocess.CalledProcessError):
        for output in (error.stdout, error.stderr):
            if output:
                print(output if isinstance(output, str) else output.decode(errors="replace"), file=sys.stderr)
    traceback.print_exception(error, limit=-4)
