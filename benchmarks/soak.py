#!/usr/bin/env python3
"""Load Gristmill for minutes with a mix of services, and watch errors and memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from harness.boston import Boston
from harness.console import CACHE, console, draw, machine, output_folder, progress
from harness.gristmill import Gristmill, Installation
from harness.home import HERE, Home, Unavailable
from harness.load import ask, command, figures, script
from harness.processes import Server, free_port
from harness.report import replace_section
from rich.markup import escape

KINDS = ("frame", "array", "batch", "r")
ROWS = (1, 10)
EVERY = 5.0  #: seconds between two looks at the memory
BOUND = 10.0  #: percent that memory may have grown after the warm-up
EXAMPLES = """
In turn: linear model and forest, each as frame, array and batchable array in Python, and in R; 1 and 10 rows.

Try first: `soak.py --minutes 0.5`

The figures of the README: `soak.py --update-readme`

The exit code is 1 if an answer was wrong or lost, or memory grew by more than 10 % after the warm-up.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Memory at one time; MB of proportional set size."""

    seconds: float
    pss_mb: float
    by_program: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of it."""

    callers: int
    minutes: float
    calls: int
    rate: float
    errors: int
    start_mb: float  #: median of the first three looks after the warm-up
    end_mb: float  #: median of the last three
    peak_mb: float

    @property
    def growth(self) -> float:
        """Percent, from the end of the warm-up to the end."""
        return 100 * (self.end_mb / self.start_mb - 1)

    @property
    def passed(self) -> bool:
        return self.errors == 0 and self.growth <= BOUND

    def __str__(self) -> str:
        return (
            f"{self.callers} callers, {self.minutes:g} min: {self.calls:,} calls ({self.rate:,.0f}/s), "
            f"{self.errors} errors, memory {self.start_mb:.0f} to {self.end_mb:.0f} MB "
            f"({self.growth:+.1f} % after the warm-up, peak {self.peak_mb:.0f} MB): "
            f"{'passed' if self.passed else 'FAILED'}"
        )


def judge(
    series: list[Point], found: dict[str, Any], *, callers: int, minutes: float, warm_up: float
) -> Verdict:
    """Raises Unavailable where the run was too short for a verdict."""
    after = [point.pss_mb for point in series if point.seconds >= warm_up]
    if len(after) < 2:
        raise Unavailable("too short a run for a verdict on memory: give it --minutes 0.5 or more")
    return Verdict(
        callers=callers,
        minutes=minutes,
        calls=found["calls"],
        rate=found["calls"] / found["seconds"],
        errors=found["wrong"] + found["lost"],
        start_mb=median(after[:3]),
        end_mb=median(after[-3:]),
        peak_mb=max(after),
    )


def mixed(services: list[Gristmill], home: Home, origin: str) -> str:
    """The script of all services in turn, each asked once and checked before."""
    boston = Boston.read(home.boston)
    headers = services[0].headers(origin)
    requests = [
        service.request(home, boston, origin, headers, model, rows)
        for service in services
        for model in service.models
        for rows in ROWS
    ]
    return script([(request, ask(request)) for request in requests])


def watch(server: Server, load: subprocess.Popen[str], seconds: float) -> list[Point]:
    """A look every few seconds until the load has ended."""
    series: list[Point] = []
    began = time.monotonic()
    with progress(seconds) as spent:
        while load.poll() is None:
            by_program = server.pss_by_program()
            at = time.monotonic() - began
            series.append(Point(seconds=at, pss_mb=sum(by_program.values()), by_program=by_program))
            spent(f"{series[-1].pss_mb:.0f} MB in {len(by_program)} kinds of processes", EVERY)
            try:
                load.wait(EVERY)
            except subprocess.TimeoutExpired:
                continue
    return series


def soak(
    installation: Installation, home: Home, folder: Path, *, seconds: int, callers: int
) -> tuple[list[Point], dict[str, Any]]:
    """Publish, load, watch; the series and what wrk counted. Raises Unavailable."""
    services = []
    for kind in KINDS:
        service = Gristmill(kind, installation)
        try:
            service.prepare(home)
        except Unavailable as error:
            home.say(f"[yellow]{service.title} is left out:[/] {escape(str(error))}")
        else:
            services.append(service)
    if not services:
        raise Unavailable("no service could be published")
    port = free_port()
    server = installation.start(port, folder / "gristmill.log")
    try:
        source = folder / "mix.lua"
        source.write_text(mixed(services, home, f"http://127.0.0.1:{port}"))
        wrk = command(f"http://127.0.0.1:{port}", source, callers=callers, seconds=seconds)
        with subprocess.Popen(wrk, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as load:
            series = watch(server, load, seconds)
            output, errors = load.communicate(timeout=60)
        return series, figures(output, errors)
    finally:
        server.stop()


def report(
    verdict: Verdict, series: list[Point], home: Home, out: Path, *, warm_up: float, readme: bool
) -> None:
    """JSON, plot and the verdict's line."""
    dumped, plot = out / "soak.json", out / "soak.png"
    content = {"verdict": str(verdict), "machine": machine(), "warm_up_seconds": warm_up}
    content |= {"figures": asdict(verdict), "series": [asdict(point) for point in series]}
    dumped.write_text(json.dumps(content, indent=1))
    drawn = draw(home, "soak", dumped, plot)
    console.print(f"[{'green' if verdict.passed else 'red'}]{verdict}[/]", highlight=False)
    home.say(f"Everything is in {out}: soak.json" + (", soak.png" if drawn else ""))
    if readme:
        text = f"Run of {content['machine']['date']}. {verdict}."  # type: ignore[index]
        if drawn:
            shutil.copy(plot, HERE / "soak.png")
            text += "\n\n![Memory over the minutes](soak.png)"
        replace_section(HERE / "README.md", "soak", text)


def main(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of the load.")] = 5,
    callers: Annotated[int, typer.Option(min=1, help="Connections that call without pause.")] = 64,
    out: Annotated[Path | None, typer.Option(help="Where results go; else below the cache.")] = None,
    cache: Annotated[Path, typer.Option(help="Environments, data and models.")] = CACHE,
    gristmill: Annotated[
        Path | None, typer.Option(help="The server's program; else the one beside this Python.")
    ] = None,
    update_readme: Annotated[
        bool, typer.Option("--update-readme", help="Put the verdict into benchmarks/README.md.")
    ] = False,
) -> None:
    home = Home(folder=cache.absolute(), say=lambda line: console.print(line, highlight=False))
    seconds, warm_up = round(minutes * 60), min(60.0, minutes * 60 / 5)
    folder = output_folder(out, cache, "soak")
    installation: Installation | None = None
    try:
        installation = Installation.find(gristmill)
        home.prepare_data()
        series, found = soak(installation, home, folder, seconds=seconds, callers=callers)
        verdict = judge(series, found, callers=callers, minutes=minutes, warm_up=warm_up)
        report(verdict, series, home, folder, warm_up=warm_up, readme=update_readme)
    except Unavailable as error:
        console.print(f"[red]Cannot run:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    finally:
        if installation is not None:
            installation.remove()
    raise typer.Exit(0 if verdict.passed else 1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(epilog=EXAMPLES)(main)
    app()
