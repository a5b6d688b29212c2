"""Many users who come one after the other and then call without pause, as in Microsoft's own load test."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .load import Request, ask, command, figures, script
from .processes import Server

__all__ = ["Ramp", "Shape", "ramp"]

#: Seconds between two looks at the memory.
LOOK = 0.5
#: Seconds for which wrk may be late.
SLACK = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`users` come within `over` seconds, in `steps` groups, and stay until `seconds` have passed."""

    users: int = 1000
    over: float = 10.0
    seconds: int = 40
    rows: int = 1000
    steps: int = 20


@dataclass(slots=True, kw_only=True)
class Ramp:
    """What came out of it."""

    system: str
    model: str
    shape: dict[str, Any]
    calls: int = 0  #: answers of any kind
    wrong: int = 0
    lost: int = 0
    p50_ms: float = 0.0  #: the median of the groups'
    p99_ms: float = 0.0  #: the worst of the groups'
    max_ms: float = 0.0
    series: list[dict[str, float]] = field(default_factory=list)  #: `seconds`, `pss_mb`, `users`

    @property
    def errors(self) -> int:
        return self.wrong + self.lost

    @property
    def rate(self) -> float:
        """Right answers per second, over the whole time."""
        return (self.calls - self.wrong) / float(self.shape["seconds"])

    @property
    def peak_mb(self) -> float:
        return max(point["pss_mb"] for point in self.series)

    @property
    def growth(self) -> float | None:
        """Percent of growth from when all users had just come to the end: medians of five looks at each."""
        full = [p["pss_mb"] for p in self.series if p["seconds"] >= self.shape["over"] + 2]
        return 100 * median(full[-5:]) / median(full[:5]) - 100 if len(full) >= 10 else None

    def dump(self) -> dict[str, Any]:
        told = ("errors", "rate", "peak_mb", "growth")
        return {**asdict(self), **{name: getattr(self, name) for name in told}}


def ramp(
    server: Server,
    request: Request,
    shape: Shape,
    *,
    names: Mapping[str, str],
    folder: Path,
    spent: Callable[[str, float], None],
) -> Ramp:
    """Run it. `names`: system and model, for the record. Raises Unavailable if wrk fails."""
    lua = folder / "ramp.lua"
    lua.write_text(script([(request, ask(request))]))
    found = Ramp(system=names["system"], model=names["model"], shape=asdict(shape))
    groups: list[subprocess.Popen[str]] = []
    began = time.monotonic()
    passed = 0.0
    try:
        while (passed := time.monotonic() - began) < shape.seconds:
            while len(groups) < shape.steps and passed >= len(groups) * shape.over / shape.steps:
                groups.append(_group(request, lua, shape, round(shape.seconds - passed)))
            users = len(groups) * (shape.users // shape.steps)
            found.series.append({"seconds": round(passed, 2), "pss_mb": server.pss_mb(), "users": users})
            spent(f"{users} users of {names['system']}", LOOK)
            time.sleep(LOOK)
        told = [figures(*group.communicate(timeout=SLACK)) for group in groups]
    finally:
        for group in groups:
            if group.poll() is None:
                group.kill()
            group.wait()
    for name in ("calls", "wrong", "lost"):
        setattr(found, name, sum(each[name] for each in told))
    found.p50_ms = median(each["p50_ms"] for each in told)
    found.p99_ms, found.max_ms = (max(each[name] for each in told) for name in ("p99_ms", "max_ms"))
    return found


def _group(request: Request, lua: Path, shape: Shape, seconds: int) -> subprocess.Popen[str]:
    callers = shape.users // shape.steps
    wrk = command(request.url, lua, callers=callers, seconds=max(seconds, 1))
    return subprocess.Popen(wrk, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
