#!/usr/bin/env python3
"""Compare Gristmill's scoring with its peers, interleaved in one run."""

from __future__ import annotations

import json
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from harness.cases import Results
from harness.console import CACHE, console, draw, machine, output_folder, progress, show_verdicts
from harness.gristmill import Gristmill, Installation
from harness.home import HERE, Home, Unavailable
from harness.load import find_wrk
from harness.report import markdown, replace_section
from harness.runner import Plan, Run
from harness.systems import MODELS, Echo, FastApi, KServe, MLServer, Plumber, System
from harness.targets import verdicts
from rich.markup import escape

#: In MLServer, batching starts at these: as many calls as there are callers, or as long as a forest takes.
BATCHING = {"max_batch_size": 64, "max_batch_time": 0.01}
PEERS: tuple[System, ...] = (
    Echo(),
    FastApi("array"),
    FastApi("frame"),
    KServe(),
    MLServer(),
    MLServer(BATCHING),
    Plumber(),
)
OURS = ("frame", "array", "batch", "r")
NAMES = (*(peer.name for peer in PEERS), *(f"gristmill-{kind}" for kind in OURS))
EXAMPLES = f"""
Every system runs alone, in rounds of random order, on a free port of the loopback interface, under the load
of wrk. Each peer has a virtual environment of its own in the cache folder; the first run makes them.

Systems: {", ".join(NAMES)}.

Try first: `scoring.py --quick --only echo,fastapi,gristmill-array`

The figures of the README: `scoring.py --rounds 3 --seconds 5 --update-readme` (an hour, on an idle machine)
"""


class Usual(NamedTuple):
    """What a run does where no option says otherwise."""

    rows: str
    callers: str
    seconds: int
    rounds: int


FULL = Usual("1,10,1000", "1,8,64", 5, 3)
QUICK = Usual("1", "1,64", 1, 1)


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str, option: str) -> list[int]:
    try:
        found = sorted({int(word) for word in words(text)})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise typer.BadParameter(f"{option} takes whole numbers from 1 on with commas between, not {text!r}")
    return found


def chosen(text: str, known: tuple[str, ...], option: str) -> list[str]:
    unknown = set(words(text)) - set(known)
    if unknown:
        raise typer.BadParameter(f"{option}: no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [name for name in known if name in words(text)]


def prepare(systems: list[System], home: Home, results: Results) -> list[System]:
    """Those that can run here; why the others cannot goes into the results."""
    usable = []
    for system in systems:
        try:
            results.versions[system.name] = system.prepare(home)
        except (Unavailable, OSError, ValueError, KeyError) as error:
            results.problems[system.name] = str(error)
            home.say(f"[yellow]{system.title} is left out:[/] {escape(str(error))}")
        else:
            usable.append(system)
    return usable


def write(results: Results, systems: list[System], home: Home, out: Path, *, update_readme: bool) -> None:
    """JSON, Markdown and plot into `out`, and the targets on the screen."""
    dumped, plot = out / "scoring.json", out / "scoring.png"
    dumped.write_text(json.dumps(results.dump(), indent=1))
    text = markdown(results, {system.name: (system.title, system.language) for system in systems})
    drawn = bool(results.measurements) and draw(home, "scoring", dumped, plot)
    (out / "scoring.md").write_text(text + ("\n![](scoring.png)\n" if drawn else ""))
    show_verdicts(verdicts(results))
    home.say(f"Everything is in {out}: scoring.md, scoring.json" + (", scoring.png" if drawn else ""))
    if update_readme:
        picture = ""
        if drawn:
            shutil.copy(plot, HERE / "scoring.png")
            picture = "\n![Rates of 64 callers and median waits of one](scoring.png)\n"
        replace_section(HERE / "README.md", "scoring", text + picture)
        home.say("The section of benchmarks/README.md is rewritten.")


def find_ours(program: Path | None, results: Results) -> list[System]:
    """Gristmill's ways, on one installation; none, and a line why, where it is not there."""
    try:
        installation = Installation.find(program)
    except Unavailable as error:
        results.problems["gristmill"] = str(error)
        return []
    return [Gristmill(kind, installation) for kind in OURS]


def compare(plan: Plan, home: Home, results: Results, folder: Path) -> None:
    """Run the plan; a run that is stopped by hand keeps what it has."""
    home.say(f"{len(plan.systems)} systems, about {plan.total / 60:.0f} min")
    try:
        with progress(plan.total) as spent:
            Run(plan=plan, home=home, results=results, folder=folder, spent=spent).all()
    except KeyboardInterrupt:
        results.problems["the run"] = "stopped by hand before its end"


def main(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Unless told otherwise: 1 row, 1 and 64 callers, 1 s, 1 round.")
    ] = False,
    only: Annotated[str, typer.Option(help="Systems to run, commas between.", metavar="SYSTEM,…")] = "",
    models: Annotated[str, typer.Option(help="linear,forest (R: lm, randomForest).")] = "linear,forest",
    languages: Annotated[str, typer.Option(help="python,r.")] = "python,r",
    rows: Annotated[str, typer.Option(help="Rows in each call.", show_default=FULL.rows)] = "",
    callers: Annotated[
        str, typer.Option(help="Connections that call without pause.", show_default=FULL.callers)
    ] = "",
    seconds: Annotated[
        int, typer.Option(min=0, help="Length of each measurement.", show_default=str(FULL.seconds))
    ] = 0,
    rounds: Annotated[
        int, typer.Option(min=0, help="Rounds over all systems.", show_default=str(FULL.rounds))
    ] = 0,
    seed: Annotated[int, typer.Option(help="Order of the systems and loads.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Where results go; else below the cache.")] = None,
    cache: Annotated[Path, typer.Option(help="Environments, data and models.")] = CACHE,
    gristmill: Annotated[
        Path | None, typer.Option(help="The server's program; else the one beside this Python.")
    ] = None,
    update_readme: Annotated[
        bool, typer.Option("--update-readme", help="Put the figures into benchmarks/README.md.")
    ] = False,
) -> None:
    usual = QUICK if quick else FULL
    seconds, rounds = seconds or usual.seconds, rounds or usual.rounds
    wanted = chosen(only, NAMES, "--only") or list(NAMES)
    tongues = chosen(languages.lower(), ("python", "r"), "--languages")
    make_plan = partial(
        Plan,
        models=chosen(models, MODELS, "--models"),
        rows=numbers(rows or usual.rows, "--rows"),
        callers=numbers(callers or usual.callers, "--callers"),
        seconds=seconds,
        rounds=rounds,
        shuffle=random.Random(seed),
    )
    home = Home(folder=cache.absolute(), say=lambda line: console.print(line, highlight=False))
    results = Results(machine=machine(), options={"seconds": seconds, "rounds": rounds, "seed": seed})
    if results.machine["load"] > 0.5:
        home.say(
            f"[yellow]The machine is busy (load {results.machine['load']}): do not trust the figures.[/]"
        )
    folder = output_folder(out, cache, "scoring")
    ours = find_ours(gristmill, results) if any(name.startswith("gristmill") for name in wanted) else []
    systems = [s for s in (*PEERS, *ours) if s.name in wanted and s.language.lower() in tongues]
    try:
        find_wrk()
        home.prepare_data()
        compare(make_plan(systems=prepare(systems, home, results)), home, results, folder)
        write(results, systems, home, folder, update_readme=update_readme)
    except Unavailable as error:
        console.print(f"[red]Cannot run:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(1) from error
    finally:
        for system in ours:
            system.close()


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(epilog=EXAMPLES)(main)
    app()
