"""Draw the figures. Run in the plotting environment: plots.py scoring|soak RESULTS.json OUT.png."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]

mpl.use("Agg")
import matplotlib.pyplot as plt  # type: ignore[import-not-found]

OURS, THEIRS, FLOOR = "#c0392b", "#7f8c8d", "#bdc3c7"


def color(system: str) -> str:
    if system.startswith("gristmill"):
        return OURS
    return FLOOR if system == "echo" else THEIRS


def panels(measurements: list[dict[str, Any]], figure: str, callers: int) -> dict[str, dict[str, float]]:
    """Title → system → median over the rounds, of the loads by that many callers."""
    seen: dict[str, dict[str, list[float]]] = {}
    for m in measurements:
        case = m["case"]
        if case["callers"] != callers or case["model"] == "none":
            continue
        language = "R" if m["system"] in {"plumber", "gristmill-r"} else "Python"
        title = f"{language} {case['model']}, {case['rows']} row{'s' * (case['rows'] > 1)}"
        value = (m["calls"] - m["wrong"]) / m["seconds"] if figure == "rate" else m[figure]
        seen.setdefault(title, {}).setdefault(m["system"], []).append(value)
    return {title: {s: median(v) for s, v in found.items()} for title, found in sorted(seen.items())}


def bars(axes: Any, title: str, values: dict[str, float], unit: str) -> None:
    order = sorted(values, key=lambda system: values[system], reverse=unit == "ms")
    drawn = axes.barh(order, [values[s] for s in order], color=[color(s) for s in order])
    axes.bar_label(drawn, fmt=lambda v: f"{v:,.0f}" if v >= 100 else f"{v:.3g}", padding=3, fontsize=7)
    axes.margins(x=0.15)
    axes.set_title(f"{title}: {unit}", fontsize=9)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def scoring(results: dict[str, Any], out: Path) -> None:
    callers = sorted({m["case"]["callers"] for m in results["measurements"]})
    rates = panels(results["measurements"], "rate", callers[-1])
    waits = panels(results["measurements"], "p50_ms", callers[0])
    figure, grid = plt.subplots(
        max(len(rates), 1), 2, figsize=(11, 2.2 * max(len(rates), 1)), squeeze=False, layout="constrained"
    )
    for row, title in enumerate(rates):
        bars(grid[row][0], f"{title}, {callers[-1]} callers", rates[title], "calls/s")
        bars(grid[row][1], f"{title}, {callers[0]} caller, p50", waits.get(title, {}), "ms")
    figure.savefig(out, dpi=110)


def soak(results: dict[str, Any], out: Path) -> None:
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    series = results["series"]
    minutes = [point["seconds"] / 60 for point in series]
    names = sorted({name for point in series for name in point["by_program"]})
    axes.plot(minutes, [point["pss_mb"] for point in series], color=OURS, label="all processes")
    for name in names:
        axes.plot(minutes, [point["by_program"].get(name, 0) for point in series], lw=1, label=name)
    axes.axvline(results["warm_up_seconds"] / 60, color=FLOOR, ls="--", label="end of warm-up")
    axes.set(
        xlabel="minutes",
        ylabel="PSS, MB",
        ylim=(0, None),
    )
    axes.set_title(results["verdict"], fontsize=8, wrap=True)
    axes.legend(fontsize=8)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    draw = {"scoring": scoring, "soak": soak}[sys.argv[1]]
    draw(json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))
