#!/usr/bin/env python3
"""A batch of one-row items against synchronous calls, on 1 to 4 shells, with the memory of the server."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import httpx
import typer
from harness.boston import Boston
from harness.console import CACHE, console, machine, output_folder
from harness.gristmill import Gristmill, Installation
from harness.home import HERE, Home, Unavailable
from harness.load import Wrong, ask, load, script
from harness.processes import Server, free_port
from harness.report import number, replace_section, table
from rich.markup import escape

KINDS = {"array": "one by one", "batch": "batchable"}
CALLERS = 8
PARALLEL = 64
#: A batch is to reach this part of the rate of synchronous calls; with it, p99 may be so many times as long.
TO_REACH, SLOWER = 0.8, 2.0
#: Connections of the load that leaves half of the server's capacity unused: each waits between its calls.
HALF_CALLERS = 48
EXAMPLES = """
For each number of shells a server is started, and in each round, in random order: synchronous calls by 8
callers (wrk), and a batch of one-row items. Rates of a batch count from before its body is sent to after the
last result is durable. Every result is compared with what the model said in process.

Then, on two shells, calls at half of the rate that was reached, first alone and then beside a batch.

Try first: `batch.py --quick`

The figures of the README: `batch.py --update-readme` (6 minutes)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round on one number of shells; rates per second, memory of the server's own process in MB."""

    shells: int
    kind: str
    sync: float
    batch: float
    accepting: float  #: seconds until the batch was accepted
    before_mb: float
    peak_mb: float

    @property
    def ratio(self) -> float:
        return self.batch / self.sync


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Synchronous calls at half load, alone and beside a batch; milliseconds and rates per second."""

    offered: float
    alone_p50: float
    alone_p99: float
    beside_p50: float
    beside_p99: float
    alone_rate: float
    beside_rate: float
    batch_rate: float


class Bench:
    """A running server with the linear model as a service of each kind."""

    def __init__(
        self, server: Server, origin: str, services: list[Gristmill], home: Home, folder: Path
    ) -> None:
        self.server, self.origin, self.home, self.folder = server, origin, home, folder
        self.services = {service.kind: service for service in services}
        self.boston = Boston.read(home.boston)
        self.headers = dict(services[0].headers(origin))
        self.client = httpx.Client(base_url=origin, headers=self.headers, timeout=300)

    def sync(self, kind: str, *, callers: int, seconds: int, pause_ms: float = 0.0) -> dict[str, Any]:
        """What wrk counted, with random pauses of so many milliseconds on average before each call."""
        service = self.services[kind]
        request = service.request(self.home, self.boston, self.origin, self.headers, "linear", 1)
        source = script([(request, ask(request))])
        if pause_ms:
            source += f"\nmath.randomseed({random.randrange(2**31)})\n"
            source += (
                f"function delay() return math.floor(-math.log(1 - math.random()) * {pause_ms} + 0.5) end\n"
            )
        found = load(request.url, source, callers=callers, seconds=seconds, folder=self.folder)
        if found["wrong"] or found["lost"]:
            raise Wrong(f"{found['wrong']} wrong answers, {found['lost']} lost")
        return found

    def items(self, count: int) -> bytes:
        columns = self.boston.columns
        rows = [
            {"inputData": {name: [values[i % len(self.boston)]] for name, values in columns.items()}}
            for i in range(min(count, len(self.boston)))
        ]
        texts = [json.dumps(row, separators=(",", ":")) for row in rows]
        return ("[" + ",".join(texts[i % len(texts)] for i in range(count)) + "]").encode()

    def start(self, kind: str, body: bytes) -> str:
        path = self.services[kind].path("linear")
        answer = self.client.post(f"{path}/batch?parallelCount={PARALLEL}", content=body)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise Unavailable(f"the batch was not accepted: {answer.text[:300]}")
        return str(answer.headers["location"])

    def wait(self, batch: str, count: int) -> None:
        while True:
            query = {"after": count - 1, "limit": 1, "wait": 60}
            now = self.client.get(f"{batch}/results", params=query).json()
            if now["state"] not in {"Pending", "InProgress", "Ready"}:
                break
        if now["state"] != "Complete":
            raise Wrong(f"the batch ended as {now['state']}: {now['message']}")

    def check(self, kind: str, batch: str, count: int) -> None:
        """Every result once, in order, with the model's own number; then the batch is deleted."""
        results = self.client.get(batch).json()["batchExecutionResults"]
        expected = self.home.expected(self.services[kind].folder, "linear", count)
        if [each["index"] for each in results] != list(range(count)):
            raise Wrong("items are missing, or come twice")
        for each, value in zip(results, expected, strict=True):
            [found] = each["outputParameters"]["prediction"]
            if not math.isclose(found, value, rel_tol=1e-9):
                raise Wrong(f"item {each['index']}: {found} instead of {value}")
        self.client.delete(batch)

    @contextmanager
    def peak(self) -> Iterator[list[float]]:
        """Resident MB of the server's own process: before, and the most until the end."""
        process = Path("/proc", str(self.server.process.pid))
        (process / "clear_refs").write_text("5")
        found = [_status_mb(process, "VmRSS")]
        yield found
        found.append(_status_mb(process, "VmHWM"))

    def measure(self, shells: int, kind: str, body: bytes, count: int, seconds: int) -> Round:
        rates: dict[str, float] = {}
        accepting = 0.0
        memory: list[float] = []
        for what in random.sample(["sync", "batch"], 2):
            if what == "sync":
                found = self.sync(kind, callers=CALLERS, seconds=seconds)
                rates["sync"] = found["calls"] / found["seconds"]
                # The pool keeps a shell free for a while after direct calls; a batch alone is asked for here.
                time.sleep(1.5)
            else:
                with self.peak() as memory:
                    begun = time.perf_counter()
                    batch = self.start(kind, body)
                    accepting = time.perf_counter() - begun
                    self.wait(batch, count)
                    rates["batch"] = count / (time.perf_counter() - begun)
                self.check(kind, batch, count)
        return Round(
            shells=shells,
            kind=kind,
            **rates,
            accepting=accepting,
            before_mb=memory[0],
            peak_mb=memory[1],
        )

    def beside(self, kind: str, rate: float, count: int, seconds: int) -> Beside:
        """Half of `rate`, alone and beside a batch that lasts longer than the calls."""
        pause = HALF_CALLERS / (rate / 2) * 1000
        body = self.items(count)
        self.sync(kind, callers=HALF_CALLERS, seconds=1, pause_ms=pause)
        alone = self.sync(kind, callers=HALF_CALLERS, seconds=seconds, pause_ms=pause)
        batches: list[str] = []
        stop = threading.Event()
        feeder = threading.Thread(target=self._keep_running, args=(kind, body, count, stop, batches))
        feeder.start()
        while not batches:
            time.sleep(0.05)
        before = self._done(batches)
        begun = time.perf_counter()
        try:
            together = self.sync(kind, callers=HALF_CALLERS, seconds=seconds, pause_ms=pause)
            spent = time.perf_counter() - begun
            done = self._done(batches) - before
        finally:
            stop.set()
            feeder.join()
        for batch in batches:
            self.client.delete(batch)
        return Beside(
            offered=rate / 2,
            alone_p50=alone["p50_ms"],
            alone_p99=alone["p99_ms"],
            beside_p50=together["p50_ms"],
            beside_p99=together["p99_ms"],
            alone_rate=alone["calls"] / alone["seconds"],
            beside_rate=together["calls"] / together["seconds"],
            batch_rate=done / spent,
        )

    def _keep_running(
        self, kind: str, body: bytes, count: int, stop: threading.Event, batches: list[str]
    ) -> None:
        """One batch after another, so that there is one whenever somebody calls."""
        with httpx.Client(base_url=self.origin, headers=self.headers, timeout=300) as client:
            while not stop.is_set():
                batches.append(self.start(kind, body))
                done = 0
                while done < count and not stop.is_set():
                    query = {"after": count - 1, "limit": 1, "wait": 1}
                    done = client.get(f"{batches[-1]}/results", params=query).json()["completedItemCount"]

    def _done(self, batches: list[str]) -> int:
        found = [self.client.get(f"{batch}/results?limit=1").json() for batch in batches]
        return sum(each["completedItemCount"] for each in found)


def _status_mb(process: Path, field: str) -> float:
    for line in (process / "status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise Unavailable(f"/proc does not tell {field}")


def run(
    installation: Installation,
    home: Home,
    folder: Path,
    *,
    shells: list[int],
    items: int,
    rounds: int,
    seconds: int,
) -> tuple[list[Round], Beside | None]:
    """Everything, on one server after another. Raises Unavailable, Wrong."""
    services = [Gristmill(kind, installation) for kind in KINDS]
    for service in services:
        service.prepare(home)
    found: list[Round] = []
    beside = None
    for count in shells:
        installation.shells = count
        port = free_port()
        server = installation.start(port, folder / f"gristmill-{count}.log")
        try:
            bench = Bench(server, f"http://127.0.0.1:{port}", services, home, folder)
            body = bench.items(items)
            for kind in KINDS:
                bench.sync(kind, callers=CALLERS, seconds=1)
            for _ in range(rounds):
                for kind in random.sample(list(KINDS), len(KINDS)):
                    found.append(bench.measure(count, kind, body, items, seconds))
                    _say(home, found[-1])
            if count == 2:
                mine = [each.sync for each in found if (each.shells, each.kind) == (2, "array")]
                beside = bench.beside("array", median(mine), items, 2 * seconds)
            bench.client.close()
        finally:
            server.stop()
    return found, beside


def _say(home: Home, it: Round) -> None:
    home.say(
        f"{it.shells} shells, {KINDS[it.kind]}: {it.sync:,.0f} calls/s, batch {it.batch:,.0f}/s "
        f"({it.ratio:.2f}), accepted in {it.accepting:.2f} s, {it.before_mb:.0f} to {it.peak_mb:.0f} MB"
    )


def markdown(found: list[Round], beside: Beside | None, items: int) -> str:
    """A row for each number of shells and kind: medians over the rounds, ratios within each round."""
    rows = []
    for shells in sorted({each.shells for each in found}):
        for kind, title in KINDS.items():
            mine = [each for each in found if (each.shells, each.kind) == (shells, kind)]
            ratio = median(each.ratio for each in mine)
            rows.append(
                [
                    str(shells),
                    title,
                    number(median(each.sync for each in mine)),
                    number(median(each.batch for each in mine)),
                    f"{ratio:.2f}",
                    f"{median(each.accepting for each in mine):.2f}",
                    f"{median(each.before_mb for each in mine):.0f}",
                    f"{max(each.peak_mb for each in mine):.0f}",
                ]
            )
    head = ["shells", "service", "8 callers, calls/s", "batch, items/s", "ratio"]
    head += ["accepted after, s", "server before, MB", "at most, MB"]
    about = machine()
    text = f"Run of {about['date']}: {about['cores']} cores, {about['cpu']}. {items:,} one-row items.\n\n"
    text += table(head, rows)
    if beside is not None:
        text += (
            f"\n\nCalls at half load (2 shells, {beside.offered:,.0f}/s offered): "
            f"p50 {beside.alone_p50:.2f} ms, p99 {beside.alone_p99:.2f} ms alone "
            f"({beside.alone_rate:,.0f}/s); p50 {beside.beside_p50:.2f} ms, p99 {beside.beside_p99:.2f} ms "
            f"beside a batch ({beside.beside_rate:,.0f}/s, and {beside.batch_rate:,.0f} items/s): "
            f"{beside.beside_p99 / beside.alone_p99:.1f} times."
        )
    return text


def passed(found: list[Round], beside: Beside | None) -> bool:
    twos = [each.ratio for each in found if (each.shells, each.kind) == (2, "array")]
    fast = not twos or median(twos) >= TO_REACH
    return fast and (beside is None or beside.beside_p99 <= SLOWER * beside.alone_p99)


def main(
    *,
    shells: Annotated[str, typer.Option(help="Numbers of shells.")] = "1,2,3,4",
    items: Annotated[int, typer.Option(min=100, help="Items of each batch.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds on each number of shells.")] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Length of each load of calls.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="2 shells, one round of 2 s.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where results go; else below the cache.")] = None,
    cache: Annotated[Path, typer.Option(help="Environments, data and models.")] = CACHE,
    gristmill: Annotated[
        Path | None, typer.Option(help="The server's program; else the one beside this Python.")
    ] = None,
    update_readme: Annotated[
        bool, typer.Option("--update-readme", help="Put the table into benchmarks/README.md.")
    ] = False,
) -> None:
    home = Home(folder=cache.absolute(), say=lambda line: console.print(line, highlight=False))
    if quick:
        shells, rounds, seconds = "2", 1, 2
    folder = output_folder(out, cache, "batch")
    installation: Installation | None = None
    try:
        installation = Installation.find(gristmill)
        home.prepare_data()
        numbers = [int(word) for word in shells.split(",")]
        found, beside = run(
            installation, home, folder, shells=numbers, items=items, rounds=rounds, seconds=seconds
        )
    except (Unavailable, Wrong, ValueError) as error:
        console.print(f"[red]Cannot run:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    finally:
        if installation is not None:
            installation.remove()
    text = markdown(found, beside, items)
    content = {"machine": machine(), "items": items, "rounds": [asdict(each) for each in found]}
    (folder / "batch.json").write_text(json.dumps({**content, "beside": beside and asdict(beside)}, indent=1))
    (folder / "batch.md").write_text(text + "\n")
    console.print(text, highlight=False)
    home.say(f"Everything is in {folder}: batch.md, batch.json")
    if update_readme:
        replace_section(HERE / "README.md", "batch", text)
    raise typer.Exit(0 if passed(found, beside) else 1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(epilog=EXAMPLES)(main)
    app()
