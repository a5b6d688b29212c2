"""The speeds that Gristmill is to reach, as ratios within one run, and what a run reached."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from .cases import Case, Results

__all__ = ["TARGETS", "Target", "Verdict", "verdicts"]

Reach = Callable[[Results], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`reached` gives None where the run did not measure what it needs."""

    what: str
    bound: float
    unit: str
    reached: Reach
    at_most: bool = False
    judged: bool = True  #: False: shown beside the target for comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    target: Target
    value: float | None

    @property
    def word(self) -> str:
        if self.value is None:
            return "not measured"
        if not self.target.judged:
            return "for comparison"
        met = self.value <= self.target.bound if self.target.at_most else self.value >= self.target.bound
        return "met" if met else "missed"


def verdicts(results: Results, targets: Sequence[Target] | None = None) -> list[Verdict]:
    wanted = TARGETS if targets is None else targets
    return [Verdict(target=target, value=target.reached(results)) for target in wanted]


def ratio(ours: str, theirs: str, case: Case, figure: str = "rate", *, inverse: bool = False) -> Reach:
    """Ours by theirs (`inverse`: theirs by ours): the median of the ratios of each round."""

    def reached(results: Results) -> float | None:
        by_round = {m.round: getattr(m, figure) for m in results.of(theirs, case)}
        values = [
            by_round[m.round] / getattr(m, figure) if inverse else getattr(m, figure) / by_round[m.round]
            for m in results.of(ours, case)
            if by_round.get(m.round) and getattr(m, figure)
        ]
        return median(values) if values else None

    return reached


def figure(system: str, case: Case, name: str) -> Reach:
    return lambda results: results.middle(system, case, name)


def of_capacity(system: str, case: Case, language: str) -> Reach:
    """Calls per second in percent of what all cores could do if they ran nothing but `predict`."""

    def reached(results: Results) -> float | None:
        rate = results.middle(system, case, "rate")
        cost = results.floor(language, case.model, case.rows)
        return None if rate is None or not cost else 100 * rate * cost / 1e6 / (os.cpu_count() or 1)

    return reached


def _load(model: str, callers: int, rows: int = 1) -> Case:
    return Case(model=model, rows=rows, callers=callers)


def _versus(
    prefix: str, ours: str, peers: Sequence[tuple[str, float]], case: Case, *, judged: bool = True
) -> list[Target]:
    return [
        Target(
            what=f"{prefix}, by {peer}", bound=bound, unit="x", reached=ratio(ours, peer, case), judged=judged
        )
        for peer, bound in peers
    ]


def _all() -> list[Target]:
    one, many, thousand = _load("linear", 1), _load("linear", 64), _load("linear", 64, 1000)
    forest, lone_forest = _load("forest", 64), _load("forest", 1)
    peers = [("mlserver", 7.0), ("kserve", 2.3), ("fastapi", 1.0)]
    batching = [("mlserver", 12.0), ("mlserver-batching", 6.0)]
    array, frame, batch, r = "gristmill-array", "gristmill-frame", "gristmill-batch", "gristmill-r"
    return [
        *_versus("linear, 1 row, 64 callers, array", array, peers, many),
        *_versus("the same, pandas frame", frame, [*peers, ("fastapi-frame", 1.0)], many, judged=False),
        *_versus("the same, batchable", batch, batching, many),
        Target(
            what="forest of 100, 1 row, 64 callers: share of all cores ÷ CPU of predict",
            bound=90,
            unit="%",
            reached=of_capacity(array, forest, "Python"),
        ),
        *_versus("forest of 100, 1 row, 64 callers, batchable", batch, [("mlserver", 25.0)], forest),
        *_one_caller(array, one),
        *_versus("linear, 1000 rows, 64 callers", array, [("mlserver", 3.0), ("kserve", 1.8)], thousand),
        Target(
            what="linear, 1000 rows, 64 callers: p99",
            bound=100,
            unit="ms",
            reached=figure(array, thousand, "p99_ms"),
            at_most=True,
        ),
        *_r(
            r,
            "1 caller, p50 lower than plumber's",
            (("forest", lone_forest, 20.0), ("lm", one, 20.0)),
            "p50_ms",
        ),
        *_r(r, "64 callers, by plumber", (("forest", forest, 2.5), ("lm", many, 4.0)), "rate"),
    ]


def _one_caller(system: str, case: Case) -> list[Target]:
    return [
        Target(
            what=f"linear, 1 row, 1 caller, array: {label}",
            bound=bound,
            unit="ms",
            reached=figure(system, case, name),
            at_most=True,
            judged=judged,
        )
        for label, bound, name, judged in (
            ("p50", 0.5, "p50_ms", True),
            ("p99.9, free of stalls", 10.0, "p999_ms", True),
            ("slowest", 10.0, "max_ms", False),
        )
    ]


def _r(system: str, what: str, wanted: Sequence[tuple[str, Case, float]], name: str) -> list[Target]:
    return [
        Target(
            what=f"R {model}, 1 row, {what}",
            bound=bound,
            unit="x",
            reached=ratio(system, "plumber", case, name, inverse=name == "p50_ms"),
        )
        for model, case, bound in wanted
    ]


TARGETS = _all()
