"""Results as Markdown tables, and the marked sections of the README that hold the last run's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .cases import NO_MODEL, Case, Results
from .targets import Verdict, verdicts

__all__ = ["VERDICT_HEAD", "markdown", "replace_section", "table", "verdict_rows"]

NAMES = {("R", "linear"): "lm", ("Python", "linear"): "linear model"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, figures to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """Three digits that count; thousands with a comma."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


VERDICT_HEAD = ("what", "to reach", "reached", "")


def verdict_rows(found: Sequence[Verdict]) -> list[list[str]]:
    """Cells under `VERDICT_HEAD`."""
    rows = []
    for verdict in found:
        target = verdict.target
        sign = "≤" if target.at_most else "≥"
        bound = f"{sign} {number(target.bound)} {target.unit}"
        value = "-" if verdict.value is None else f"{number(verdict.value)} {target.unit}"
        rows.append([target.what, bound if target.judged else "", value, verdict.word])
    return rows


def markdown(
    results: Results, systems: Mapping[str, tuple[str, str]], found: Sequence[Verdict] | None = None
) -> str:
    """The whole report. `systems`: name → (title, language), in the order to show.

    `found`: verdicts other than those on the targets of scoring.
    """
    judged = verdicts(results) if found is None else found
    parts = [_heading(results), "### Targets\n\n" + table(VERDICT_HEAD, verdict_rows(judged))]
    for language in ("Python", "R"):
        shown = [name for name in systems if systems[name][1] == language]
        models = {m.case.model for m in results.measurements if m.system in shown} - {NO_MODEL}
        for model in sorted(models, reverse=True):
            rows = sorted({m.case.rows for m in results.measurements if m.case.model == model})
            parts += [_block(results, systems, shown, language, model, count) for count in rows]
    if results.problems:
        lines = [f"- {name}: {why}" for name, why in results.problems.items()]
        parts.append("### Left out\n\n" + "\n".join(lines))
    parts.append("### Versions\n\n" + _versions(results))
    return "\n\n".join(parts) + "\n"


def _heading(results: Results) -> str:
    machine, options = results.machine, results.options
    return (
        f"Run of {machine['date']} on {machine['cores']} cores ({machine['cpu']}), {machine['system']}; "
        f"{options['rounds']} rounds of {options['seconds']} s per load, load average {machine['load']} at "
        "the start. Figures are medians over the rounds; ratios are taken within each round."
    )


def _block(
    results: Results,
    systems: Mapping[str, tuple[str, str]],
    shown: Sequence[str],
    language: str,
    model: str,
    rows: int,
) -> str:
    callers = sorted({m.case.callers for m in results.measurements})
    head = ["system"]
    for many in callers:
        head += [f"{many}: calls/s", "p50 ms", "p99 ms"]
    head += ["CPU µs/call", "MB", "errors"]
    lines = []
    for name in shown:
        line = _line(results, name, model, rows, callers)
        if line:
            lines.append([systems[name][0], *line])
    floor = results.floor(language, model, rows)
    note = f"\n\n`predict` alone in process: {number(floor)} µs of CPU." if floor else ""
    title = f"{language}: {NAMES.get((language, model), model)}, {rows} row{'s' * (rows > 1)}"
    return f"### {title}\n\n{table(head, lines)}{note}"


def _line(results: Results, system: str, model: str, rows: int, callers: Sequence[int]) -> list[str]:
    """Cells of one system, empty if nothing was measured; CPU and memory are those of the most callers."""
    own = {m.case.model for m in results.measurements if m.system == system}
    asked = NO_MODEL if own == {NO_MODEL} else model
    loads = [Case(model=asked, rows=rows, callers=many) for many in callers]
    found = [m for case in loads for m in results.of(system, case)]
    if not found:
        return []
    cells = [
        number(results.middle(system, case, figure))
        for case in loads
        for figure in ("rate", "p50_ms", "p99_ms")
    ]
    cells += [number(results.middle(system, loads[-1], figure)) for figure in ("cpu_us", "pss_mb")]
    return [*cells, str(sum(m.errors for m in found))]


def _versions(results: Results) -> str:
    lines = []
    for system, versions in results.versions.items():
        lines.append(f"- {system}: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    return "\n".join(lines)


def replace_section(path: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- NAME: begin -->` and `<!-- NAME: end -->`; ValueError if they are missing."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = path.read_text().partition(begin)
    _, also, after = rest.partition(end)
    if not (found and also):
        raise ValueError(f"{path} has no section between '{begin}' and '{end}'")
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")
