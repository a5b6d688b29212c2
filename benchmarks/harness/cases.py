"""Records of a run: what is asked of each system, and what came out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

__all__ = ["NO_MODEL", "Case", "Measurement", "Results", "cases"]

NO_MODEL = "none"  #: the model of a system that has none: the echo


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One load: every one of `callers` connections sends the same `rows` rows again and again."""

    model: str
    rows: int
    callers: int

    @property
    def label(self) -> str:
        rows, callers = "rows"[: 3 + (self.rows > 1)], "callers"[: 6 + (self.callers > 1)]
        return f"{self.model}, {self.rows} {rows}, {self.callers} {callers}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One system under one load in one round."""

    system: str
    round: int
    case: Case
    calls: int
    seconds: float
    wrong: int  #: answers with another status than 200, or without the expected predictions
    lost: int  #: connections refused or broken, and calls without an answer in time
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    cpu_us: float  #: user and system time of the server's processes per call
    pss_mb: float  #: proportional set size of the server's processes right after the load

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return max(self.calls - self.wrong, 0) / self.seconds

    @property
    def errors(self) -> int:
        return self.wrong + self.lost


@dataclass(slots=True)
class Results:
    """All that a run yields; the JSON file is its `asdict`."""

    machine: dict[str, Any]
    options: dict[str, Any]
    measurements: list[Measurement] = field(default_factory=list)
    floors: list[dict[str, Any]] = field(default_factory=list)  #: as `predict_cost` prints, by language
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)  #: system → why it was not measured

    def of(self, system: str, case: Case) -> list[Measurement]:
        """The rounds of a system under a load, first round first."""
        found = [m for m in self.measurements if m.system == system and m.case == case]
        return sorted(found, key=lambda m: m.round)

    def middle(self, system: str, case: Case, figure: str) -> float | None:
        """The median over the rounds of one figure, None where it was not measured."""
        values = [float(getattr(m, figure)) for m in self.of(system, case)]
        return median(values) if values else None

    def floor(self, language: str, model: str, rows: int, figure: str = "cpu_us") -> float | None:
        """What `predict` alone costs, in µs: the median over the rounds."""
        values = [
            entry["costs"][model][str(rows)][figure]
            for entry in self.floors
            if entry["language"] == language and str(rows) in entry["costs"].get(model, {})
        ]
        return median(values) if values else None

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Results:
        measurements = [Measurement(**{**m, "case": Case(**m["case"])}) for m in dumped["measurements"]]
        return cls(**{**dumped, "measurements": measurements})


def cases(models: Iterable[str], rows: Iterable[int], callers: Iterable[int]) -> list[Case]:
    """All combinations."""
    return [
        Case(model=model, rows=count, callers=many)
        for model, count, many in itertools.product(models, rows, callers)
    ]
