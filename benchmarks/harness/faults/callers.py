"""Those who call: each checks every answer. Some publish, some run batches, some break off."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from . import services
from .truth import ABSENT, STEP, Tally, Versions
from .wire import Answer, Connection, Lost, request_bytes

__all__ = ["World", "batches", "breaker", "caller", "publisher"]

_PAUSE = (0.01, 0.06)  #: seconds between two calls of a caller
_PUBLISH_PAUSE = (0.05, 0.5)
_MODEL_PAUSE = (1.0, 4.0)
_ITEMS = (150, 400)
_VANDALS = 0.0008  #: part of the calls that break their shell
_LARGE, _VERY_MANY = 0.003, 150_000  #: part of the calls of a model with so many rows
_TOLD = "told on purpose"


@dataclass(slots=True, kw_only=True)
class World:
    """What all callers share."""

    host: str
    port: int
    token: str
    tally: Tally
    random: random.Random
    fixed: dict[str, int]  #: services that nobody changes, with their constants
    moving: dict[str, Versions] = field(default_factory=dict)
    realtime: frozenset[str] = frozenset()  #: names of those that are models
    snapshot: str = ""  #: of the workspace that services in Python have
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def connection(self) -> Connection:
        return Connection(self.host, self.port, self.token)

    async def pause(self, least: float, most: float) -> None:
        """Wait, but not beyond the end."""
        try:
            async with asyncio.timeout(self.random.uniform(least, most)):
                await self.stop.wait()
        except TimeoutError:
            return


async def caller(world: World) -> None:
    """Call one service after another until the end."""
    connection = world.connection()
    kinds: list[Callable[[World, Connection], Awaitable[None]]] = [
        _fixed,
        _moving,
        _raising,
        _malformed,
        _slow,
    ]
    weights = [12, 6, 1, 1, 1]
    while not world.stop.is_set():
        call = world.random.choices(kinds, weights)[0]
        await (_vandal if world.random.random() < _VANDALS else call)(world, connection)
        await world.pause(*_PAUSE)
    await connection.close()


async def _asked(world: World, connection: Connection, kind: str, name: str, body: bytes) -> Answer | None:
    """The answer to a call that is not to be lost; None where it was counted already."""
    try:
        answer = await connection.ask("POST", f"/api/{name}/1", body)
    except Lost as lost:
        world.tally.bad(kind, "no answer", str(lost))
        return None
    return None if world.tally.refused(kind, answer) else answer


async def _fixed(world: World, connection: Connection) -> None:
    name = world.random.choice(list(world.fixed))
    constant = world.fixed[name]
    await _checked(world, connection, name, lambda start, end: {constant})


async def _moving(world: World, connection: Connection) -> None:
    if world.moving:
        name = world.random.choice(list(world.moving))
        await _checked(world, connection, name, world.moving[name].between)


async def _checked(
    world: World, connection: Connection, name: str, possible: Callable[[float, float], set[int | None]]
) -> None:
    """Call with numbers of our own; the answers have to be theirs, and of a version that was valid."""
    realtime = name in world.realtime
    xs = [world.random.randrange(STEP // 4) for _ in range(_rows(world, realtime=realtime))]
    body = json.dumps({"inputData": {"x": xs}} if realtime else {"x": xs[0]}).encode()
    start = time.monotonic()
    answer = await _asked(world, connection, name, name, body)
    if answer is None:
        return
    allowed = possible(start, time.monotonic())
    if answer.status == 404 and ABSENT in allowed:
        world.tally.good(name, "404, as it is deleted")
        return
    if answer.status != 200:
        world.tally.unexpected(name, answer)
        return
    got = answer.json()
    if not got["success"]:
        world.tally.bad(name, "failed without a cause", str(got["errorMessage"]))
        return
    outputs = got["outputParameters"]
    ys = outputs["outputData"]["y"] if realtime else [outputs["y"]]
    fit = len(xs) == len(ys) and all(isinstance(y, float | int) for y in ys)
    constants = {y - 2 * x for x, y in zip(xs, ys, strict=True)} if fit else set()
    if len(constants) == 1 and constants <= allowed:
        world.tally.good(name, "right")
    elif len(constants) == 1 and min(constants) % STEP == 0:
        world.tally.bad(name, "of a version that was not valid", f"{constants} and not {allowed}: {xs[:3]}")
    else:
        world.tally.bad(name, "WRONG", f"{xs[:3]} gave {ys[:3]}, with one of {allowed}")


def _rows(world: World, *, realtime: bool) -> int:
    """How many rows a call has: mostly one, and a model is sent many, and very many, now and then."""
    if not realtime:
        return 1
    return _VERY_MANY if world.random.random() < _LARGE else world.random.choice((1, 1, 3, 200))


async def _raising(world: World, connection: Connection) -> None:
    mark = world.random.randrange(STEP)
    answer = await _asked(world, connection, "raising", "raising", json.dumps({"x": mark}).encode())
    if answer is None:
        return
    if answer.status != 200:
        world.tally.unexpected("raising", answer)
        return
    got = answer.json()
    if got["success"] or f"{_TOLD} {mark}" not in got["errorMessage"]:
        world.tally.bad("raising", "WRONG", f"{mark}: {got}")
    else:
        world.tally.good("raising", "failed, as it should")


async def _malformed(world: World, connection: Connection) -> None:
    body = world.random.choice(
        [b"{", b"[]", b'{"z":1}', b'{"x":"text"}', b'{"inputData":{"x":["t"]}}', b"\xff"]
    )
    name = world.random.choice(list(world.fixed))
    answer = await _asked(world, connection, "malformed", name, body)
    if answer is not None:
        if answer.status == 400:
            world.tally.good("malformed", "400")
        else:
            world.tally.unexpected("malformed", answer)


async def _slow(world: World, connection: Connection) -> None:
    x = world.random.randrange(STEP // 4)
    answer = await _asked(world, connection, "slow", "slow", json.dumps({"x": x}).encode())
    if answer is not None:
        right = answer.status == 200 and answer.json()["outputParameters"].get("y") == 2 * x
        if right:
            world.tally.good("slow", "right")
        else:
            world.tally.unexpected("slow", answer)


async def _vandal(world: World, connection: Connection) -> None:
    what = world.random.choice(["exit", "kill", "garbage", "close"])
    answer = await _asked(
        world, connection, f"breaks its shell: {what}", "vandal", json.dumps({"what": what}).encode()
    )
    if answer is None:
        return
    if answer.status == 200:
        world.tally.good(f"breaks its shell: {what}", "answered")
    else:
        world.tally.unexpected(f"breaks its shell: {what}", answer)


async def breaker(world: World) -> None:
    """Hang up at any point: within the head, the body, before the answer, within it."""
    while not world.stop.is_set():
        connection = world.connection()
        name = world.random.choice([*world.fixed, "slow"])
        xs = {"inputData": {"x": list(range(5000))}} if name in world.realtime else {"x": 1}
        headers = {**connection.headers, "Content-Type": "application/json"}
        sent = request_bytes("POST", f"/api/{name}/1", headers, json.dumps(xs).encode())
        part = world.random.choice([20, sent.index(b"\r\n\r\n") + 4, len(sent) - 1, len(sent), len(sent)])
        try:
            writer = await connection.open()
            writer.write(sent[:part])
            await writer.drain()
            await world.pause(0.0, world.random.choice([0.01, 0.2, 3.0]))
        except OSError as error:
            world.tally.bad("broken off", "could not connect", repr(error))
        else:
            world.tally.good("broken off", "hung up")
        await connection.close()
        await world.pause(0.02, 0.2)


async def publisher(world: World, names: list[str]) -> None:
    """Change, delete and publish again the services of these names until the end."""
    connection = world.connection()
    while not world.stop.is_set():
        name = world.random.choice(names)
        await _change(world, connection, name, name in world.realtime)
        pause = _MODEL_PAUSE if name in world.realtime else _PUBLISH_PAUSE
        await world.pause(*pause)
    await connection.close()


async def _change(world: World, connection: Connection, name: str, realtime: bool) -> None:
    versions = world.moving[name]
    now = versions.now()
    if now == {ABSENT} or (ABSENT in now and world.random.random() < 0.5):
        constant: int | None = versions.next()
        method = "POST"
    elif world.random.random() < 0.2:
        constant, method = ABSENT, "DELETE"
    else:
        constant, method = versions.next(), "PATCH"
    kind = f"{method} of a {'realtime' if realtime else 'standard'} service"
    versions.begin(constant)
    try:
        if constant is ABSENT:
            answer = await connection.ask("DELETE", f"/services/{name}/1")
        else:
            answer = await services.put(
                connection, method, name, constant, realtime=realtime, snapshotId=world.snapshot
            )
    except Lost as lost:
        world.tally.bad(kind, "no answer", str(lost))
        return
    if world.tally.refused(kind, answer):
        return
    if 200 <= answer.status < 300:
        versions.settle(constant)
        world.tally.good(kind, str(answer.status))
    elif answer.status in {404, 409} and len(now) > 1:
        world.tally.good(kind, f"{answer.status}, after a change with an open end")
    else:
        world.tally.unexpected(kind, answer)


async def batches(world: World) -> None:
    """Run one batch after another until the end, and check each result of each."""
    connection = world.connection()
    names = [name for name in world.fixed if name not in world.realtime]
    while not world.stop.is_set():
        name = world.random.choice(names)
        count = world.random.randint(*_ITEMS)
        xs = [world.random.randrange(STEP // 4) for _ in range(count)]
        try:
            await _batch(world, connection, name, xs)
        except Lost as lost:
            world.tally.bad("batch", "no answer", str(lost))
        await world.pause(0.1, 1.0)
    await connection.close()


async def _batch(world: World, connection: Connection, name: str, xs: list[int]) -> None:
    body = json.dumps([{"x": x} for x in xs]).encode()
    started = await connection.ask("POST", f"/api/{name}/1/batch?parallelCount=8", body)
    if world.tally.refused("batch: start", started):
        return
    if started.status != 202:
        world.tally.unexpected("batch: start", started)
        return
    where = started.headers["location"]
    got = await _ended(world, connection, where)
    if got is None:
        return
    if got["state"] != "Complete":
        world.tally.bad("batch", f"ended as {got['state']}", str(got["message"]))
    else:
        _check_results(world, name, xs, got["batchExecutionResults"])
    deleted = await connection.ask("DELETE", where)
    if not world.tally.refused("batch: delete", deleted) and deleted.status != 200:
        world.tally.unexpected("batch: delete", deleted)


async def _ended(world: World, connection: Connection, where: str) -> dict[str, Any] | None:
    """The batch with its results; None where it does not end within two minutes, which is counted."""
    deadline = time.monotonic() + 120
    state = ""
    while time.monotonic() < deadline:
        answer = await connection.ask("GET", where)
        if not world.tally.refused("batch: look", answer):
            if answer.status != 200:
                world.tally.unexpected("batch: look", answer)
                return None
            got: dict[str, Any] = answer.json()
            state = got["state"]
            if state in {"Complete", "Failed", "Canceled"}:
                return got
        await asyncio.sleep(0.2)
    world.tally.bad("batch", "did not end", f"after 120 s it is {state}")
    return None


def _check_results(world: World, name: str, xs: list[int], results: list[dict[str, Any]]) -> None:
    if [each["index"] for each in results] != list(range(len(xs))):
        world.tally.bad("batch", "items are missing or come twice", f"{len(results)} of {len(xs)}")
        return
    for x, each in zip(xs, results, strict=True):
        y = each["outputParameters"].get("y")
        if each["success"] and y == 2 * x + world.fixed[name]:
            world.tally.good("batch item", "right")
        elif not each["success"] and "process" in each["errorMessage"]:
            world.tally.good("batch item", "its shell died each time")
        else:
            world.tally.bad("batch item", "WRONG", f"{x} gave {y} ({each['errorMessage']})")
    world.tally.good("batch", "Complete")
