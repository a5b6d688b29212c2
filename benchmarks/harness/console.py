"""What the three command lines share: where things go, and how progress is shown."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from .home import HERE, Home, Unavailable
from .report import VERDICT_HEAD, verdict_rows
from .targets import Verdict

__all__ = ["CACHE", "console", "draw", "machine", "output_folder", "progress", "show_verdicts"]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill-bench"
console = Console()


def output_folder(given: Path | None, cache: Path, what: str) -> Path:
    """`given`, or a new one by date below the cache."""
    folder = given or cache / "results" / f"{what}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": os.cpu_count(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
    }


def show_verdicts(found: Sequence[Verdict]) -> None:
    """Each target, what was reached, and whether that is enough."""
    shown = Table(*(Column(head, justify="left" if head == "what" else "right") for head in VERDICT_HEAD))
    colors = {"met": "green", "missed": "red"}
    for row, verdict in zip(verdict_rows(found), found, strict=True):
        if verdict.value is not None:
            shown.add_row(*row, style=colors.get(verdict.word, "dim"))
    if shown.rows:
        console.print(shown)
    left = sum(verdict.value is None for verdict in found)
    if left:
        console.print(f"{left} targets need systems or loads that this run did not measure.")


@contextmanager
def progress(total: float) -> Iterator[Callable[[str, float], None]]:
    """A bar of `total` planned seconds; call what it yields with what was done and its planned seconds."""
    columns = (
        TextColumn("{task.description:<45.45}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as shown:
        task = shown.add_task("starting", total=total)

        def spent(what: str, seconds: float) -> None:
            shown.update(task, description=what, advance=seconds)

        yield spent


def draw(home: Home, kind: str, results: Path, out: Path) -> bool:
    """Draw `results` in the plotting environment; False, and a line why, where that cannot be made."""
    try:
        python = home.environment("plot")
        home.run([str(python), str(HERE / "harness/plots.py"), kind, str(results), str(out)], "no plot")
    except Unavailable as error:
        home.say(f"[yellow]No plot:[/] {escape(str(error))}")
        return False
    return True
