#!/usr/bin/env python3
"""Let files, disk, database, shells and connections fail at random, and check every answer."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from harness.console import CACHE, console, machine, output_folder, progress
from harness.faults.report import as_text, show
from harness.faults.run import Options, Report, run
from harness.home import HERE, Unavailable
from harness.report import replace_section
from rich.markup import escape

EXAMPLES = """
A node runs in a process of its own, with shells, a database and a folder of contents as users have them,
and with something that makes them fail at its ports. 64 callers check each answer; publishers change and
delete what they call, batches run beside them, and some callers break off at any point.

Try first: `faults.py --seconds 20`

The figures of the README: `faults.py --update-readme` (10 minutes)

The exit code is 1 if an answer was wrong, missing or not to be explained, a task was left over, the loop
stood still for 100 ms, or memory grew by more than 10 %.
"""


def keep(report: Report, out: Path, *, readme: bool) -> None:
    """JSON into `out`, and the verdict into the README if it is wanted."""
    (out / "faults.json").write_text(json.dumps({"machine": machine(), **report.dump()}, indent=1))
    console.print(f"Everything is in {out}: faults.json, node.log", highlight=False)
    if readme:
        replace_section(HERE / "README.md", "faults", as_text(report, machine()))


def main(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of the load.")] = 10,
    seconds: Annotated[float, typer.Option(min=0, help="The same in seconds, instead.")] = 0,
    callers: Annotated[int, typer.Option(min=8, help="Connections that call.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the dice.")] = 0,
    database: Annotated[
        str | None, typer.Option(help="URL of an empty PostgreSQL database; else SQLite.")
    ] = None,
    r: Annotated[bool, typer.Option("--r", help="Call a service in R, too.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where results go; else below the cache.")] = None,
    cache: Annotated[Path, typer.Option(help="Where results go without --out.")] = CACHE,
    update_readme: Annotated[
        bool, typer.Option("--update-readme", help="Put the verdict into benchmarks/README.md.")
    ] = False,
) -> None:
    options = Options(seconds=seconds or minutes * 60, callers=callers, seed=seed, database=database, r=r)
    folder = output_folder(out, cache, "faults")
    try:
        with progress(options.seconds) as spent:
            report = asyncio.run(run(options, folder, spent))
    except Unavailable as error:
        console.print(f"[red]Cannot run:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    show(report)
    keep(report, folder, readme=update_readme)
    raise typer.Exit(0 if report.passed else 1)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(epilog=EXAMPLES)(main)
    app()
