"""SIGKILL at any moment of a publish: what was acknowledged is there and right, nothing is half there."""

from __future__ import annotations

import io
import os
import random
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.protocol import accepted
from tests.e2e.publishing import call, publish
from tests.e2e.remote import Remote
from tests.e2e.surroundings import without_r
from tests.servers import Server

pytestmark = pytest.mark.timeout(300)

ROUNDS = 10
LONGEST = 0.5  #: seconds from the first write of a round to the kill
PATCHED = 1_000_000

#: What a call of the service answers, None where there is none.
State = int | None


@dataclass
class Expected:
    """Name → the states it may be in: one where the server has said so, two where it could not say."""

    services: dict[str, set[State]] = field(default_factory=dict)
    snapshots: dict[str, set[State]] = field(default_factory=dict)
    acknowledged: int = 0
    touched: set[str] = field(default_factory=set)

    def doing(self, kind: dict[str, set[State]], name: str, after: State, act: Callable[[], object]) -> None:
        """Carry out a write; until it is acknowledged, both states are possible."""
        before = kind.get(name, {None})
        kind[name] = before | {after}
        self.touched.add(name)
        act()
        kind[name] = {after}
        self.acknowledged += 1


def work(client: httpx.Client, expected: Expected, first: int) -> None:
    """Publish, patch and delete, each service from a snapshot of its own, until the server is gone."""
    session = Remote(client, "Python")
    for n in range(first, first + 10_000):
        session.run(f"value = {n}; _ = open('value.txt', 'w').write('{n}' * 20_000)", "")
        snapshot = session.snapshot()
        expected.snapshots[snapshot] = {n}
        name = f"s-{n}"
        expected.doing(expected.services, name, n, lambda: publish_from(client, name, snapshot))  # noqa: B023
        if n % 2:
            path = f"/snapshots/{snapshot}"
            expected.doing(expected.snapshots, snapshot, None, lambda: deleted(client, path))  # noqa: B023
        if n % 3 == 0:
            expected.doing(expected.services, name, n + PATCHED, lambda: patched(client, name))  # noqa: B023
        if n % 5 == 0:
            path = f"/services/{name}/1"
            expected.doing(expected.services, name, None, lambda: deleted(client, path))  # noqa: B023


def publish_from(client: httpx.Client, name: str, snapshot: str) -> None:
    code = "y = value if open('value.txt').read() == str(value) * 20_000 else -1"
    publish(client, name, code, outputs={"y": "integer"}, snapshotId=snapshot)


def patched(client: httpx.Client, name: str) -> None:
    accepted(client.patch(f"/services/{name}/1", json={"code": f"y = value + {PATCHED}"}), "text")


def deleted(client: httpx.Client, path: str) -> None:
    accepted(client.delete(path), "text")


def work_until_killed(server: Server, client: httpx.Client, expected: Expected, seconds: float) -> None:
    """Let a client work, and kill the server under it."""
    ended: list[Exception] = []

    def working() -> None:
        try:
            work(client, expected, first=1 + max((int(name[2:]) for name in expected.services), default=0))
        except httpx.HTTPError as error:
            ended.append(error)

    worker = threading.Thread(target=working)
    worker.start()
    begun, before = time.monotonic(), expected.acknowledged
    while expected.acknowledged == before and time.monotonic() - begun < 30:
        time.sleep(0.001)  # until the first write of this round is done, and others are under way
    time.sleep(seconds)
    server.process.kill()
    server.process.wait()
    worker.join()
    assert ended, "the client ended before the server was killed"


def check(client: httpx.Client, expected: Expected, names: set[str]) -> None:
    """What is listed is what may be, and each of `names` answers as it should; then nothing is uncertain."""
    listed = {s["name"] for s in accepted(client.get("/services"), "services")}
    assert listed <= set(expected.services)
    for name, states in expected.services.items():
        assert (None in states) if name not in listed else (states != {None}), name
        if name in names and name in listed:
            value = call(client, f"/api/{name}/1")["y"]
            assert value in states, f"{name} answers {value}, expected {states}"
            expected.services[name] = {value}
        elif name not in listed:
            expected.services[name] = {None}
    for id, states in expected.snapshots.items():
        if id in names or states == {None} or len(states) == 2:
            expected.snapshots[id] = {check_snapshot(client, id, states)}


def check_snapshot(client: httpx.Client, id: str, states: set[State]) -> State:
    answer = client.get(f"/snapshots/{id}")
    if answer.status_code == 404:
        assert None in states, id
        return None
    assert answer.status_code == 200
    (value,) = states - {None}
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.read("value.txt").decode() == str(value) * 20_000
    return value


def test_what_was_acknowledged_outlives_kills_at_any_moment(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    seed = int(os.environ.get("GRISTMILL_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"GRISTMILL_TEST_SEED={seed}")
    chance, expected, environment = random.Random(seed), Expected(), without_r(tmp_path)
    headers: Any = None
    for _ in range(ROUNDS):
        server = serve("--pool-initial", "1", "--pool-max", "2", environment=environment)
        if headers is None:
            with server.client() as first:
                headers = first.headers  # tokens outlive kills, too
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            check(client, expected, expected.touched)
            expected.touched.clear()
            work_until_killed(server, client, expected, chance.uniform(0, LONGEST))
    server = serve("--pool-initial", "1", environment=environment)
    with server.client() as client:
        check(client, expected, set(expected.services) | set(expected.snapshots))
        living = [name for name, states in expected.services.items() if states != {None}]
        print(f"{expected.acknowledged} writes acknowledged, {len(living)} services left")
        assert expected.acknowledged > 3 * ROUNDS
        assert accepted(client.get("/status"), "status")["statusCode"] == "pass"
