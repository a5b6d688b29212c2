"""Run the systems one at a time, in rounds, each under every load."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.markup import escape

from .boston import Boston
from .cases import NO_MODEL, Case, Measurement, Results, cases
from .home import PEERS, Home, Unavailable
from .load import Request, Wrong, ask, load, script
from .processes import Server, free_port
from .systems import System

__all__ = ["Plan", "Run", "running"]

#: Seconds that starting and stopping a server, and its first answers, take; for the time left.
START = 8.0
WARM_UP = 1  #: seconds of the same load before each measurement
FLOOR_SECONDS = 0.5  #: per model and number of rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run."""

    systems: Sequence[System]
    models: Sequence[str]
    rows: Sequence[int]
    callers: Sequence[int]
    seconds: int
    rounds: int
    shuffle: random.Random = field(default_factory=random.Random)

    def loads(self, system: System) -> list[Case]:
        models = [model for model in system.models if model in self.models or model == NO_MODEL]
        return cases(models, self.rows, self.callers)

    def cost(self, system: System) -> float:
        """Seconds that one round of a system takes, about."""
        return START + len(self.loads(system)) * (self.seconds + WARM_UP + 0.3)

    @property
    def floor_cost(self) -> float:
        return 2 * len(self.models) * len(self.rows) * FLOOR_SECONDS + 2

    @property
    def total(self) -> float:
        return self.rounds * (sum(map(self.cost, self.systems)) + self.floor_cost)


@contextmanager
def running(system: System, home: Home, log: Path) -> Iterator[tuple[Server, str, Mapping[str, str]]]:
    """The server, its origin, and the headers of its callers; stopped on the way out."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    server = Server(system.command(home, port), env=system.env(port), cwd=log.parent, log=log)
    try:
        server.wait_until_ready(origin + system.ready)
        yield server, origin, system.headers(origin)
    finally:
        server.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A plan on its way, and what it fills."""

    plan: Plan
    home: Home
    results: Results
    folder: Path  #: for logs and scripts
    spent: Callable[[str, float], None]  #: told what was done, and the seconds it was planned to take

    def all(self) -> None:
        """Every round. A system that fails is left out from then on, and the results say why."""
        boston = Boston.read(self.home.boston)
        for number in range(1, self.plan.rounds + 1):
            measure_floors(self.plan, self.home, self.results)
            self.spent(f"round {number}: predict in process", self.plan.floor_cost)
            order = list(self.plan.systems)
            self.plan.shuffle.shuffle(order)
            for system in order:
                if system.name in self.results.problems:
                    self.spent(f"round {number}: {system.name} left out", self.plan.cost(system))
                    continue
                began = time.monotonic()
                try:
                    self.one(system, number, boston)
                except (Unavailable, Wrong, httpx.HTTPError) as error:
                    self.results.problems[system.name] = f"from round {number} on: {error}"
                    self.home.say(f"[yellow]{system.title} is left out from here on:[/] {escape(str(error))}")
                else:
                    self.home.say(f"round {number}: {system.title} took {time.monotonic() - began:.0f} s")

    def one(self, system: System, number: int, boston: Boston) -> None:
        """One system under all its loads."""
        loads = self.plan.loads(system)
        self.plan.shuffle.shuffle(loads)
        each = (self.plan.cost(system) - START) / len(loads)
        with running(system, self.home, self.folder / f"{system.name}.log") as (server, origin, headers):
            self.spent(f"round {number}: {system.name} is up", START)
            for case in loads:
                request = system.request(self.home, boston, origin, headers, case.model, case.rows)
                figures = self.measure(server, request, case)
                self.results.measurements.append(
                    Measurement(system=system.name, round=number, case=case, **figures)
                )
                self.spent(f"round {number}: {system.name}: {case.label}", each)

    def measure(self, server: Server, request: Request, case: Case) -> dict[str, Any]:
        """The figures of one load, after a warm-up of the same kind."""
        source = script([(request, ask(request))])
        load(request.url, source, callers=case.callers, seconds=WARM_UP, folder=self.folder)
        ask(request)  # waits its turn behind what the warm-up left in the queue
        before = server.cpu_seconds()
        found = load(request.url, source, callers=case.callers, seconds=self.plan.seconds, folder=self.folder)
        used = server.cpu_seconds() - before
        memory = server.pss_mb()
        ask(request)  # checked number by number, and leaves an empty queue to the next load
        return {"cpu_us": used / max(found["calls"], 1) * 1e6, "pss_mb": memory, **found}


def measure_floors(plan: Plan, home: Home, results: Results) -> None:
    """What `predict` costs without any server, in this round."""
    rows = [str(count) for count in plan.rows]
    wanted = {system.language: system for system in plan.systems if NO_MODEL not in system.models}
    for system in plan.systems:  # Gristmill's own interpreter where it takes part
        if system.name.startswith("gristmill") and system.language == "Python":
            wanted["Python"] = system
    for language, system in wanted.items():
        if system.name in results.problems:
            continue
        if language == "R":
            command = ["Rscript", str(PEERS / "predict_cost.R"), str(home.r_models), str(FLOOR_SECONDS)]
        else:
            files = [str(PEERS / "predict_cost.py"), str(home.boston), str(system.folder)]
            command = [str(system.python), *files, str(FLOOR_SECONDS)]
        try:
            costs: Any = json.loads(home.run([*command, *rows], "predict could not be timed"))
        except Unavailable as error:
            results.problems[f"predict in {language}"] = str(error)
        else:
            results.floors.append({"language": language, "costs": costs})
