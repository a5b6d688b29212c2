"""What realtime services are to reach, as ratios within one run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from .cases import NO_MODEL, Case, Results
from .ramp import Ramp
from .targets import Reach, Target, figure, ratio

__all__ = ["RIVALS", "realtime_targets"]

#: Whose best is to be beaten at 1,000 rows a call.
RIVALS = ("mlserver", "kserve", "bentoml", "litserve")


def share_of_echo(system: str, case: Case) -> Reach:
    """Calls per second in percent of the echo's of the same round and body."""
    echo = Case(model=NO_MODEL, rows=case.rows, callers=case.callers)

    def reached(results: Results) -> float | None:
        floor = {m.round: m.rate for m in results.of("echo", echo)}
        values = [100 * m.rate / floor[m.round] for m in results.of(system, case) if floor.get(m.round)]
        return median(values) if values else None

    return reached


def by_the_best(system: str, rivals: Sequence[str], case: Case) -> Reach:
    """Calls per second by those of the best rival of each round; None unless all rivals ran."""

    def reached(results: Results) -> float | None:
        best: dict[int, float] = {}
        for rival in rivals:
            found = results.of(rival, case)
            if not found:
                return None
            for m in found:
                best[m.round] = max(best.get(m.round, 0.0), m.rate)
        values = [m.rate / best[m.round] for m in results.of(system, case) if best.get(m.round)]
        return median(values) if values else None

    return reached


def realtime_targets(ramps: Sequence[Ramp]) -> list[Target]:
    found = [target for system in ("gristmill", "gristmill-r") for target in _forest(system)]
    for model, bound in (("forest", 1.8), ("linear", 2.5)):
        case = Case(model=model, rows=1000, callers=64)
        found += [
            Target(
                what=f"{_name(system)}: {model}, 1000 rows, 64 callers, by the best of the four servers",
                bound=bound,
                unit="x",
                reached=by_the_best(system, RIVALS, case),
            )
            for system in ("gristmill", "gristmill-r")
        ]
    return [*found, *(target for each in ramps for target in _ramp(each))]


def _name(system: str) -> str:
    return "R" if system.endswith("-r") else "Python"


def _forest(system: str) -> list[Target]:
    many, one = (Case(model="forest", rows=1, callers=callers) for callers in (64, 1))
    prefix = f"{_name(system)}: forest of 100, 1 row"
    return [
        Target(
            what=f"{prefix}, 64 callers: share of the echo",
            bound=40,
            unit="%",
            reached=share_of_echo(system, many),
        ),
        Target(
            what=f"{prefix}, 64 callers, by mlserver",
            bound=100,
            unit="x",
            reached=ratio(system, "mlserver", many),
        ),
        Target(
            what=f"{prefix}, 64 callers: p50",
            bound=3,
            unit="ms",
            reached=figure(system, many, "p50_ms"),
            at_most=True,
        ),
        Target(
            what=f"{prefix}, 1 caller: p50",
            bound=0.3,
            unit="ms",
            reached=figure(system, one, "p50_ms"),
            at_most=True,
        ),
    ]


def _ramp(ramp: Ramp) -> list[Target]:
    prefix = f"{ramp.model}, {ramp.shape['users']:,} users, {ramp.shape['rows']:,} rows"
    return [
        Target(what=f"{prefix}: errors", bound=0, unit="", reached=lambda _: ramp.errors, at_most=True),
        Target(
            what=f"{prefix}: growth of memory once all users are there",
            bound=10,
            unit="%",
            reached=lambda _: ramp.growth,
            at_most=True,
        ),
    ]
