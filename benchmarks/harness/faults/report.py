"""What came of a run, as tables."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from ..console import console
from ..report import table
from .run import Report

__all__ = ["as_text", "show"]


def show(report: Report) -> None:
    """Outcomes, faults, failures with examples, stalls and the verdicts."""
    shown = Table(Column("what was done: what came"), Column("times", justify="right"))
    for name, count in report.outcomes.items():
        shown.add_row(escape(name), f"{count:,}")
    for name, count in report.failures.items():
        shown.add_row(escape(name), f"{count:,}", style="red")
    console.print(shown)
    faults = ", ".join(f"{name} {count}" for name, count in sorted(report.after.faults.items()))
    console.print(f"Faults: {faults}", highlight=False)
    for name, examples in report.examples.items():
        for example in examples:
            console.print(f"[red]{escape(name)}[/]: {escape(example)}", highlight=False)
    for stall in report.after.stalls[:5]:
        told = f"{1000 * stall.own:.0f} ms (and {1000 * stall.waited:.0f} ms without a processor)"
        console.print(f"stall of {told}: {escape(stall.stack)}", highlight=False)
    verdicts = Table("to reach", Column("reached", justify="right"), "")
    for what, reached, right in report.verdicts:
        verdicts.add_row(
            what, escape(reached), "met" if right else "missed", style="green" if right else "red"
        )
    console.print(verdicts)


def as_text(report: Report, where: dict[str, Any]) -> str:
    """The section of the README."""
    options = report.options
    head = (
        f"Run of {where['date']} on {where['cores']} cores ({where['cpu']}), {where['system']}: "
        f"{options.seconds / 60:g} min, {options.callers} callers, seed {options.seed}, "
        f"{'PostgreSQL' if options.database else 'SQLite'}; {report.calls:,} calls, "
        f"{sum(report.after.faults.values()):,} faults."
    )
    rows = [[what, reached, "met" if right else "missed"] for what, reached, right in report.verdicts]
    return f"{head}\n\n{table(['to reach', 'reached', ''], rows)}"
