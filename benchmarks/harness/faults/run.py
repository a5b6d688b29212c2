"""One run: publish, warm up, look, go on with faults, let it settle, look again, judge."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..home import Unavailable
from . import services
from .callers import World, batches, breaker, caller, publisher
from .subject import PASSWORD, Look, Subject
from .truth import STEP, Tally, Versions
from .wire import Answer, Connection, Lost

__all__ = ["Options", "Report", "run"]

_STALL = 0.1  #: seconds that the loop may stand still
_GROWTH = 1.10  #: what memory may be after, by what it was before
_JUDGED = 120.0  #: seconds of load from which on memory is judged: before, caches still fill
_SETTLE = 20.0  #: seconds at most until what was begun has ended
_BREAKERS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is to be run."""

    seconds: float = 600.0
    callers: int = 64
    seed: int = 0
    database: str | None = None
    r: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of it."""

    options: Options
    outcomes: dict[str, int]
    failures: dict[str, int]
    examples: dict[str, list[str]]
    before: Look
    after: Look
    left: dict[str, int]  #: tasks that were not there before
    status: int | None  #: of the node's process; None: it had to be killed
    seconds: float

    @property
    def calls(self) -> int:
        return sum(self.outcomes.values()) + sum(self.failures.values())

    @property
    def stall(self) -> float:
        """The longest time that the loop stood still by its own doing, seconds."""
        return max((stall.own for stall in self.after.stalls), default=0.0)

    @property
    def memory_judged(self) -> bool:
        return self.seconds >= _JUDGED

    @property
    def verdicts(self) -> list[tuple[str, str, bool]]:
        """What was to be reached, what was, and whether that is enough."""
        server = self.after.server_mb / self.before.server_mb
        failed = sum(self.failures.values())
        told = ", ".join(f"{count} {name}" for name, count in self.left.items()) or "none"
        more = self.after.descriptors - self.before.descriptors
        stall = (
            f"{1000 * self.stall:.0f} ms ({self.after.late} over 50 ms)" if self.after.late else "under 50 ms"
        )
        return [
            ("answers that are wrong, missing or unexplained: 0", str(failed), failed == 0),
            ("tasks that are left over: none", told, not self.left),
            ("the loop's longest stall: under 100 ms", stall, self.stall < _STALL),
            (
                "memory of the server after, by before: within 10 %",
                *self._grown(server, self.before.server_mb),
            ),
            *(
                (f"memory of a shell of {language}: within 10 %", *self._shell_grown(language))
                for language in sorted(self.before.shells_mb)
            ),
            ("descriptors that are left open: at most 10", f"{more:+d}", more <= 10),
            ("the node ends when it is told to", str(self.status), self.status == 0),
        ]

    def _shell_grown(self, language: str) -> tuple[str, bool]:
        before = self.before.shell_mb(language)
        return self._grown(self.after.shell_mb(language) / before, before)

    def _grown(self, factor: float, before: float) -> tuple[str, bool]:
        told = f"{100 * (factor - 1):+.1f} % of {before:.0f} MB"
        return (told, factor <= _GROWTH) if self.memory_judged else (f"{told}; too short to judge", True)

    @property
    def passed(self) -> bool:
        return all(right for _, _, right in self.verdicts)

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "passed": self.passed, "verdicts": self.verdicts}


async def run(options: Options, folder: Path, tell: Callable[[str, float], None]) -> Report:
    """Run it all; `tell` gets a line and the seconds since the last one, each second. Raises Unavailable."""
    subject = await Subject.start(
        seed=options.seed, database=options.database, r=options.r, log=folder / "node.log"
    )
    begun = time.monotonic()
    try:
        world = await _prepared(subject, options)
        baseline = await subject.look()
        await _load(subject, world, options, options.seconds / 5, tell)
        before = await _settled(subject, baseline)
        await subject.tell("clear")
        await _load(subject, world, options, options.seconds * 4 / 5, tell)
        after = await _settled(subject, baseline)
        await _well_again(world)
    except BaseException:
        await subject.end()
        raise
    status = await subject.end()
    tally = world.tally
    return Report(
        options=options,
        outcomes=_flat(tally.outcomes),
        failures=_flat(tally.failures),
        examples={": ".join(key): found for key, found in tally.examples.items()},
        before=before,
        after=after,
        left=_more(after.tasks, baseline.tasks),
        status=status,
        seconds=time.monotonic() - begun,
    )


def _flat(counts: dict[tuple[str, str], int]) -> dict[str, int]:
    return {": ".join(key): count for key, count in sorted(counts.items())}


def _more(now: dict[str, int], then: dict[str, int]) -> dict[str, int]:
    found = {name: count - then.get(name, 0) for name, count in now.items()}
    return {name: count for name, count in found.items() if count > 0}


async def _prepared(subject: Subject, options: Options) -> World:
    """Log in and publish everything, without faults. Raises Unavailable."""
    connection = Connection(subject.host, subject.port)
    login = await connection.ask("POST", "/login", _json({"username": "admin", "password": PASSWORD}))
    token = login.json()["access_token"]
    world = World(
        host=subject.host,
        port=subject.port,
        token=token,
        tally=Tally(),
        random=random.Random(options.seed),
        fixed={"plain": STEP, "batchable": 2 * STEP, "model": 3 * STEP},
        moving={f"moving-{n}": Versions() for n in range(4)} | {"moving-model": Versions()},
        realtime=frozenset({"model", "moving-model"}),
    )
    if options.r:
        world.fixed["plain-r"] = 4 * STEP
    connection.headers = {"Authorization": f"Bearer {token}"}
    world.snapshot = await services.workspace(connection, "Python")
    for name, constant in world.fixed.items():
        more: dict[str, Any] = {"snapshotId": world.snapshot}
        if name.endswith("-r"):
            more = {"runtime": "R", "snapshotId": await services.workspace(connection, "R")}
        if name == "batchable":
            more["batchable"] = True
        realtime = name in world.realtime
        _published(await services.put(connection, "POST", name, constant, realtime=realtime, **more))
    for name, text, inputs in (
        ("raising", "raise ValueError(f'told on purpose {x:.0f}')", {"x": "numeric"}),
        ("slow", "import time; time.sleep(0.15); y = 2 * x", {"x": "numeric"}),
        ("vandal", services.VANDAL, {"what": "character"}),
    ):
        body = services.definition(text, inputs=inputs)
        _published(await connection.ask("POST", f"/services/{name}/1", body))
    await connection.close()
    return world


def _published(answer: Answer) -> None:
    if answer.status != 201:
        raise Unavailable(f"publishing answered {answer.status}: {answer.body[:300]!r}")


async def _load(
    subject: Subject, world: World, options: Options, seconds: float, tell: Callable[[str, float], None]
) -> None:
    """Let all come, with faults, for so long; then let each finish what it has begun."""
    world.stop.clear()
    await subject.tell("on")
    standard = [name for name in world.moving if name not in world.realtime]
    coming: list[Coroutine[Any, Any, None]] = [
        *(caller(world) for _ in range(options.callers - _BREAKERS)),
        *(breaker(world) for _ in range(_BREAKERS)),
        publisher(world, [*standard[:2], "moving-model"]),
        publisher(world, standard[2:]),
        batches(world),
        batches(world),
    ]
    running = [asyncio.create_task(each) for each in coming]
    try:
        await _watch(world, running, seconds, tell)
        await subject.tell("off")
        world.stop.set()
        await asyncio.wait_for(asyncio.gather(*running), 180)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _watch(
    world: World, running: list[asyncio.Task[None]], seconds: float, tell: Callable[[str, float], None]
) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        done, _ = await asyncio.wait(running, timeout=min(1.0, left), return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()  # a defect of the harness itself
        failed = sum(world.tally.failures.values())
        tell(f"{world.tally.calls:,} calls, {failed} of them not as they should be", min(1.0, left))


async def _settled(subject: Subject, baseline: Look) -> Look:
    """A look once nothing is under way that was not at first, or after some seconds."""
    deadline = time.monotonic() + _SETTLE
    while True:
        await asyncio.sleep(1.0)
        look = await subject.look()
        more = _more(look.tasks, baseline.tasks)
        if (not more and look.descriptors <= baseline.descriptors + 10) or time.monotonic() > deadline:
            return look


async def _well_again(world: World) -> None:
    """Without faults each service answers, and rightly."""
    connection = world.connection()
    for name, constant in world.fixed.items():
        body = {"inputData": {"x": [21]}} if name in world.realtime else {"x": 21}
        try:
            answer = await connection.ask("POST", f"/api/{name}/1", _json(body))
            outputs = answer.json().get("outputParameters", {})
        except Lost as lost:
            world.tally.bad("afterwards", "no answer", str(lost))
            continue
        y = outputs["outputData"]["y"][0] if "outputData" in outputs else outputs.get("y")
        if answer.status == 200 and y == 42 + constant:
            world.tally.good("afterwards", "right")
        else:
            world.tally.unexpected("afterwards", answer)
    await connection.close()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
