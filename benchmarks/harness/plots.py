"""Draw the figures. Run in the plotting environment: plots.py scoring|soak|realtime RESULTS.json OUT.png."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]

mpl.use("Agg")
import matplotlib.pyplot as plt  # type: ignore[import-not-found]
from matplotlib.ticker import NullFormatter  # type: ignore[import-not-found]

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


def realtime(results: dict[str, Any], out: Path) -> None:
    """Rates of the most callers with the echo beside them, waits of one; below, memory under the ramps."""
    measured = results["measurements"]
    callers = sorted({m["case"]["callers"] for m in measured})
    shown = [m for m in measured if m["case"]["model"] != "none"]
    groups = sorted({(m["case"]["model"], m["case"]["rows"]) for m in shown})
    figure, grid = plt.subplots(
        len(groups) + bool(results["ramps"]),
        2,
        figsize=(11, 2.3 * (len(groups) + bool(results["ramps"]))),
        squeeze=False,
        layout="constrained",
    )
    for row, (model, rows) in enumerate(groups):
        title = f"{model}, {rows} row{'s' * (rows > 1)}"
        found = middles(measured, model, rows, callers[-1], "rate")
        bars(grid[row][0], f"{title}, {callers[-1]} callers", found, "calls/s")
        waits = {m["case"]["callers"] for m in shown if m["case"]["rows"] == rows}
        found = middles(measured, model, rows, min(waits), "p50_ms")
        bars(grid[row][1], f"{title}, {min(waits)} caller{'s' * (min(waits) > 1)}, p50", found, "ms")
        grid[row][1].set_xscale("log")
        grid[row][1].xaxis.set_major_formatter(NullFormatter())
        grid[row][1].xaxis.set_minor_formatter(NullFormatter())
    for axes, ramp in zip(grid[-1], results["ramps"], strict=False):
        users(axes, ramp)
    for axes in grid[-1][len(results["ramps"]) :] if results["ramps"] else ():
        axes.set_visible(False)
    figure.savefig(out, dpi=110)


def middles(
    measured: list[dict[str, Any]], model: str, rows: int, callers: int, figure: str
) -> dict[str, float]:
    """System → median over the rounds; the echo, which has no model, is part of each."""
    seen: dict[str, list[float]] = {}
    for m in measured:
        case = m["case"]
        if case["model"] in {model, "none"} and (case["rows"], case["callers"]) == (rows, callers):
            value = (m["calls"] - m["wrong"]) / m["seconds"] if figure == "rate" else m[figure]
            seen.setdefault(m["system"], []).append(value)
    return {system: median(values) for system, values in seen.items()}


def users(axes: Any, ramp: dict[str, Any]) -> None:
    """Memory and users over time."""
    seconds = [point["seconds"] for point in ramp["series"]]
    axes.plot(seconds, [point["pss_mb"] for point in ramp["series"]], color=OURS, label="PSS, MB")
    axes.fill_between(
        seconds, [point["users"] for point in ramp["series"]], color=FLOOR, alpha=0.5, label="users"
    )
    axes.set(ylim=(0, None), xlabel="seconds")
    shape = f"{ramp['shape']['users']:,} users, {ramp['shape']['rows']:,} rows a call"
    axes.set_title(
        f"{ramp['system']}, {ramp['model']}, {shape}: {ramp['rate']:,.0f} calls/s, {ramp['errors']} errors",
        fontsize=9,
    )
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw = {"scoring": scoring, "soak": soak, "realtime": realtime}[sys.argv[1]]
    draw(json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))
