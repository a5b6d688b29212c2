#!/usr/bin/env python3
"""Time Gristmill's cold start to its first answer, and weigh it when idle."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated
from urllib.parse import urlsplit

import typer
from harness.boston import Boston
from harness.cases import Results
from harness.console import CACHE, console, machine, output_folder, progress, show_verdicts
from harness.gristmill import Gristmill, Installation
from harness.home import HERE, Home, Unavailable
from harness.load import Request, Wrong, needles
from harness.processes import Server, free_port
from harness.report import VERDICT_HEAD, replace_section, table, verdict_rows
from harness.targets import Target, Verdict
from rich.markup import escape

EXAMPLES = """
The services are published beforehand into the same data folder, and the caller has a token from then.
Cold means new processes; the files may be in the page cache.

The figures of the README: `startup.py --update-readme`
"""
BOUNDS = {"Python": 1.5, "R": 2.5}  #: seconds
MEMORY = 350.0  #: MB of proportional set size, 2 + 2 shells idle
STEADY = 2.0  #: seconds that memory must have stood still for


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """One start; seconds from the server's `exec` on."""

    language: str
    listening: float  #: the port was open
    answered: float
    cpu: float  #: of the server and its shells until then


def published(
    installation: Installation, home: Home, folder: Path
) -> tuple[list[Gristmill], Mapping[str, str]]:
    """The services that could be published, and the headers of a caller who stays logged in."""
    services = [Gristmill("array", installation), Gristmill("r", installation)]
    usable = []
    for service in services:
        try:
            service.prepare(home)
        except Unavailable as error:
            home.say(f"[yellow]{service.title} is left out:[/] {escape(str(error))}")
        else:
            usable.append(service)
    if not usable:
        raise Unavailable("no service could be published")
    port = free_port()
    server = installation.start(port, folder / "gristmill.log")
    try:
        return usable, installation.headers(f"http://127.0.0.1:{port}")
    finally:
        server.stop()


def once(request: Request) -> bool:
    """Whether the server gave the right answer; False while it does not listen or answers 503."""
    place = urlsplit(request.url)
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    with suppress(ConnectionError):
        try:
            connection.request("POST", place.path, request.body, dict(request.headers))
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status == http.HTTPStatus.OK:
            needles(text, request)
            return True
        if answer.status != http.HTTPStatus.SERVICE_UNAVAILABLE:
            raise Wrong(f"{request.url} answered {answer.status}: {text[:300]}")
    return False


def start(service: Gristmill, headers: Mapping[str, str], home: Home, log: Path) -> Started:
    """Start the server, ask until it answers, and stop it. Raises Unavailable after a minute."""
    port = free_port()
    request = one_row(service, headers, home, port)
    command, env = service.command(home, port), service.env(port)
    began = time.perf_counter()
    server = Server(command, env=env, cwd=log.parent, log=log)
    try:
        while not _listens(port):
            _patience(server, began)
        listening = time.perf_counter() - began
        while not once(request):
            _patience(server, began)
        answered = time.perf_counter() - began
        cpu = server.cpu_seconds()
    finally:
        server.stop()
    return Started(language=service.language, listening=listening, answered=answered, cpu=cpu)


def one_row(service: Gristmill, headers: Mapping[str, str], home: Home, port: int) -> Request:
    """The call that is timed: the linear model, 1 row."""
    origin = f"http://127.0.0.1:{port}"
    return service.request(home, Boston.read(home.boston), origin, headers, "linear", 1)


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with suppress(ConnectionError):
        connection.connect()
        connection.close()
        return True
    return False


def _patience(server: Server, began: float) -> None:
    if server.process.poll() is not None or time.perf_counter() - began > 60:
        raise Unavailable(f"no answer within a minute: {server.last_lines()}")
    time.sleep(0.005)


def idle_mb(server: Server) -> float:
    """MB of the server and its shells once that stands still; after half a minute, as it is then."""
    last, since = server.pss_mb(), time.monotonic()
    deadline = since + 30
    while time.monotonic() < min(since + STEADY, deadline):
        time.sleep(0.25)
        now = server.pss_mb()
        if abs(now - last) > 0.01 * last:
            last, since = now, time.monotonic()
    return server.pss_mb()


def weigh(
    services: list[Gristmill], headers: Mapping[str, str], home: Home, log: Path
) -> tuple[float, float]:
    """MB after a start without calls, and after one call of each service."""
    port = free_port()
    server = services[0].installation.start(port, log)
    try:
        idle = idle_mb(server)
        for service in services:
            while not once(one_row(service, headers, home, port)):
                _patience(server, time.perf_counter())
        return idle, idle_mb(server)
    finally:
        server.stop()


def judge(starts: list[Started], memory: tuple[float, float]) -> list[Verdict]:
    """Medians against the design's bounds."""
    found = []
    for language, bound in BOUNDS.items():
        seconds = [s.answered for s in starts if s.language == language]
        what = f"cold start to first answer, {language}"
        found.append(_verdict(what, bound, "s", median(seconds) if seconds else None))
        cpu = [s.cpu for s in starts if s.language == language]
        found.append(_verdict("CPU until then", bound, "s", median(cpu) if cpu else None, judged=False))
    found.append(_verdict("memory with 2 + 2 shells idle, before any call", MEMORY, "MB", memory[0]))
    found.append(_verdict("after one call of each language", MEMORY, "MB", memory[1], judged=False))
    return found


def _verdict(what: str, bound: float, unit: str, value: float | None, *, judged: bool = True) -> Verdict:
    def reached(_: Results) -> float | None:
        return value

    target = Target(what=what, bound=bound, unit=unit, reached=reached, at_most=True, judged=judged)
    return Verdict(target=target, value=value)


def measure(
    installation: Installation, home: Home, folder: Path, starts: int
) -> tuple[list[Started], tuple[float, float]]:
    """All starts, languages in turn; then the memory, idle and after calls."""
    services, headers = published(installation, home, folder)
    found: list[Started] = []
    with progress(starts * len(services)) as spent:
        for number in range(1, starts + 1):
            for service in services:
                found.append(start(service, headers, home, folder / "gristmill.log"))
                spent(f"start {number}, {service.language}: {found[-1].answered:.2f} s", 1)
    home.say("Weighing it idle")
    return found, weigh(services, headers, home, folder / "gristmill.log")


def main(
    *,
    starts: Annotated[int, typer.Option(min=1, help="Starts per language.")] = 5,
    out: Annotated[Path | None, typer.Option(help="Where results go; else below the cache.")] = None,
    cache: Annotated[Path, typer.Option(help="Environments, data and models.")] = CACHE,
    gristmill: Annotated[
        Path | None, typer.Option(help="The server's program; else the one beside this Python.")
    ] = None,
    update_readme: Annotated[
        bool, typer.Option("--update-readme", help="Put the figures into benchmarks/README.md.")
    ] = False,
) -> None:
    home = Home(folder=cache.absolute(), say=lambda line: console.print(line, highlight=False))
    folder = output_folder(out, cache, "startup")
    installation: Installation | None = None
    on = machine()
    try:
        installation = Installation.find(gristmill)
        home.prepare_data()
        found, memory = measure(installation, home, folder, starts)
    except (Unavailable, Wrong) as error:
        console.print(f"[red]Cannot run:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    finally:
        if installation is not None:
            installation.remove()
    verdicts = judge(found, memory)
    memory_mb = {"idle": memory[0], "called": memory[1]}
    dumped = {"machine": on, "starts": [asdict(s) for s in found], "memory_mb": memory_mb}
    (folder / "startup.json").write_text(json.dumps(dumped, indent=1))
    show_verdicts(verdicts)
    home.say(f"Everything is in {folder}: startup.json")
    if update_readme:
        text = f"Run of {on['date']}, medians of {starts} starts per language.\n\n"
        replace_section(HERE / "README.md", "startup", text + table(VERDICT_HEAD, verdict_rows(verdicts)))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(epilog=EXAMPLES)(main)
    app()
