#!/usr/bin/env python3
"""Compare Gristmill's realtime services with peers, interleaved in one run, and let 1,000 users come."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from harness.boston import Boston
from harness.cases import NO_MODEL, Case, Results
from harness.console import CACHE, console, draw, machine, output_folder, progress, show_verdicts
from harness.gristmill import Installation
from harness.home import HERE, Home, Unavailable
from harness.load import find_wrk
from harness.ramp import Ramp, Shape, ramp
from harness.realtime import BentoMl, LitServe, Realtime
from harness.realtime_targets import realtime_targets
from harness.report import markdown, number, replace_section, table
from harness.runner import START, Plan, Run, running
from harness.systems import Echo, KServe, MLServer, System
from harness.targets import verdicts
from rich.markup import escape
from scoring import MODELS, chosen, prepare

PEERS: tuple[System, ...] = (Echo(), MLServer(), KServe(), BentoMl(), LitServe())
NAMES = (*(peer.name for peer in PEERS), "gristmill", "gristmill-r")
EXAMPLES = f"""
Each system runs alone, in rounds of random order, under the load of wrk: 1 row by 1 and 64 callers, 1,000
rows by 64. Then 1,000 users come within 10 s and call Gristmill with 1,000 rows a call, for each model.

Systems: {", ".join(NAMES)}.

Try first: `realtime.py --quick --only echo,gristmill`

The figures of the README: `realtime.py --update-readme` (20 minutes, on an idle machine)
"""


class Loads(Plan):
    """1 row by all numbers of callers; more rows by the most callers only."""

    def loads(self, system: System) -> list[Case]:
        return [case for case in super().loads(system) if case.rows == 1 or case.callers == max(self.callers)]


def let_come(
    systems: Sequence[System], models: Sequence[str], shape: Shape, home: Home, out: Path
) -> list[Ramp]:
    """The users, at the Python models, or at those of R where only these are there."""
    ours = [system for system in systems if isinstance(system, Realtime)][:1]
    boston = Boston.read(home.boston)
    found = []
    with progress(len(ours) * len(models) * (shape.seconds + START)) as spent:
        for system in ours:
            for model in models:
                with running(system, home, out / "ramp.log") as (server, origin, headers):
                    request = system.request(home, boston, origin, headers, model, shape.rows)
                    names = {"system": system.name, "model": model}
                    found.append(ramp(server, request, shape, names=names, folder=out, spent=spent))
    return found


def ramp_table(ramps: Sequence[Ramp]) -> str:
    """The users' figures as Markdown; empty where none came."""
    if not ramps:
        return ""
    shape = ramps[0].shape
    head = ["model", "calls/s", "p50 ms", "p99 ms", "slowest ms", "errors", "MB at most", "growth"]
    rows = [
        [
            each.model,
            *map(number, (each.rate, each.p50_ms, each.p99_ms, each.max_ms)),
            str(each.errors),
            number(each.peak_mb),
            "-" if each.growth is None else f"{each.growth:+.1f} %",
        ]
        for each in ramps
    ]
    told = (
        f"{shape['users']:,} users came within {shape['over']:.0f} s and called with {shape['rows']:,} rows "
        f"a call, each again as soon as it was answered, for {shape['seconds']} s in all. Growth is that of "
        "the memory from when all were there."
    )
    return f"\n### {shape['users']:,} users\n\n{told}\n\n{table(head, rows)}\n"


def write(
    results: Results, ramps: Sequence[Ramp], systems: Sequence[System], home: Home, out: Path, *, readme: bool
) -> None:
    """JSON, Markdown and plot into `out`, and the targets on the screen."""
    dumped, plot = out / "realtime.json", out / "realtime.png"
    dumped.write_text(json.dumps({**results.dump(), "ramps": [each.dump() for each in ramps]}, indent=1))
    found = verdicts(results, realtime_targets(ramps))
    text = markdown(results, {s.name: (s.title, s.language) for s in systems}, found) + ramp_table(ramps)
    drawn = any(m.case.model != NO_MODEL for m in results.measurements) and draw(
        home, "realtime", dumped, plot
    )
    (out / "realtime.md").write_text(text + ("\n![](realtime.png)\n" if drawn else ""))
    show_verdicts(found)
    home.say(f"Everything is in {out}: realtime.md, realtime.json" + (", realtime.png" if drawn else ""))
    if readme:
        picture = ""
        if drawn:
            shutil.copy(plot, HERE / "realtime.png")
            picture = (
                "\n![Rates and waits of realtime services, and memory under 1,000 users](realtime.png)\n"
            )
        replace_section(HERE / "README.md", "realtime", text + picture)
        home.say("The section of benchmarks/README.md is rewritten.")


def main(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Unless told otherwise: 1 s, 1 round, users for 15 s.")
    ] = False,
    only: Annotated[str, typer.Option(help="Systems to run, commas between.", metavar="SYSTEM,…")] = "",
    models: Annotated[str, typer.Option(help="linear,forest (R: lm, randomForest).")] = "linear,forest",
    seconds: Annotated[int, typer.Option(min=0, help="Length of each measurement.", show_default="5")] = 0,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds over all systems.", show_default="3")] = 0,
    users: Annotated[int, typer.Option(min=0, help="Those who come; 0: nobody.")] = 1000,
    user_seconds: Annotated[
        int, typer.Option(min=0, help="How long, from the first user on.", show_default="40")
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
    seconds, rounds = seconds or (1 if quick else 5), rounds or (1 if quick else 3)
    shape = Shape(users=users, seconds=user_seconds or (15 if quick else 40))
    wanted = chosen(only, NAMES, "--only") or list(NAMES)
    known = chosen(models, MODELS, "--models")
    home = Home(folder=cache.absolute(), say=lambda line: console.print(line, highlight=False))
    results = Results(machine=machine(), options={"seconds": seconds, "rounds": rounds, "seed": seed})
    if results.machine["load"] > 0.5:
        home.say(
            f"[yellow]The machine is busy (load {results.machine['load']}): do not trust the figures.[/]"
        )
    folder = output_folder(out, cache, "realtime")
    installation = None
    try:
        find_wrk()
        home.prepare_data()
        installation = Installation.find(gristmill)
        ours = (Realtime("Python", installation), Realtime("R", installation))
        systems = [system for system in (*PEERS, *ours) if system.name in wanted]
        plan = Loads(
            systems=prepare(systems, home, results),
            models=known,
            rows=[1, 1000],
            callers=[1, 64],
            seconds=seconds,
            rounds=rounds,
            shuffle=random.Random(seed),
        )
        home.say(f"{len(plan.systems)} systems, about {plan.total / 60:.0f} min")
        with progress(plan.total) as spent:
            Run(plan=plan, home=home, results=results, folder=folder, spent=spent).all()
        running_ones = [system for system in plan.systems if system.name not in results.problems]
        ramps = let_come(running_ones, known, shape, home, folder) if users else []
        write(results, ramps, systems, home, folder, readme=update_readme)
    except Unavailable as error:
        console.print(f"[red]Cannot run:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(1) from error
    finally:
        if installation is not None:
            installation.remove()


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(epilog=EXAMPLES)(main)
    app()
