"""A batch survives its node and its shells, killed again and again: each item comes once, with its answer."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.batches import start
from tests.e2e.publishing import publish
from tests.e2e.test_kills import shells_of
from tests.servers import Server

pytestmark = pytest.mark.timeout(400)

ITEMS = 2000
KILLS = 20
#: Long enough that kills hit running items; the server's own time to start is the longest part of the test.
CODE = "import time\ntime.sleep(0.01)\ny = x * x + 1"


def progress(client: httpx.Client, batch: str) -> tuple[str, int]:
    found = client.get(f"{batch}/results", params={"limit": 1}).json()
    return found["state"], found["completedItemCount"]


def wait_for(client: httpx.Client, batch: str, completed: int, seconds: float = 60) -> None:
    """Return when so many items are done, or all are."""
    deadline = time.monotonic() + seconds
    while True:
        state, done = progress(client, batch)
        if done >= completed or state == "Complete":
            return
        assert state in {"Pending", "Ready", "InProgress"}, state
        assert time.monotonic() < deadline, f"{done} of {completed} items"
        time.sleep(0.02)


def kill_a_shell(server: Server) -> None:
    shells = shells_of(server)
    if shells:
        with contextlib.suppress(ProcessLookupError):
            os.kill(random.choice(shells), signal.SIGKILL)


def kill(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()


def test_twenty_random_kills_cost_no_item_and_double_none(serve: Callable[..., Server]) -> None:
    flags = ("--pool-initial", "2", "--pool-max", "2", "--batch-max-parallel", "16")
    server = serve(*flags)
    client = server.client()
    path = publish(client, "square", CODE, inputs={"x": "numeric"}, outputs={"y": "numeric"})
    batch = start(client, path, [{"x": x} for x in range(ITEMS)], parallelCount=16)
    shown: dict[int, Any] = {}
    node_kills = 0
    # One kill falls on each twentieth of the batch, at a random place of it; every third is the node's.
    for number in range(KILLS):
        wait_for(client, batch, int(ITEMS * (number + random.random()) / (KILLS + 1)))
        if number % 3 == 2:
            for each in client.get(f"{batch}?showPartialResults=true").json()["batchExecutionResults"]:
                shown[each["index"]] = each
            kill(server)
            node_kills += 1
            server = serve(*flags)
            client.close()
            client = server.client()
            # What was shown is not lost.
            assert progress(client, batch)[1] >= len(shown)
        else:
            kill_a_shell(server)
    wait_for(client, batch, ITEMS)
    found = client.get(batch).json()
    results = found["batchExecutionResults"]
    assert (found["state"], found["completedItemCount"], node_kills) == ("Complete", ITEMS, 6)
    assert [each["index"] for each in results] == list(range(ITEMS))
    wrong = [each for each in results if each["outputParameters"] != {"y": float(each["index"]) ** 2 + 1}]
    assert wrong == []
    assert all(results[index] == each for index, each in shown.items())
    arrived = [
        each["index"]
        for after in range(0, ITEMS, 500)
        for each in client.get(f"{batch}/results", params={"after": after}).json()["batchExecutionResults"]
    ]
    assert sorted(arrived) == list(range(ITEMS))
    client.close()


def test_a_stopped_node_gives_its_batches_back_and_goes_on_with_them(serve: Callable[..., Server]) -> None:
    server = serve()
    with server.client() as client:
        path = publish(client, "slow", CODE, inputs={"x": "numeric"}, outputs={"y": "numeric"})
        batch = start(client, path, [{"x": x} for x in range(400)], parallelCount=2)
        wait_for(client, batch, 20)
        with (
            ThreadPoolExecutor() as others,
            server.client() as waiter,
            server.client() as watcher,
            watcher.stream("GET", f"{batch}/events") as events,
        ):
            assert "InProgress" in next(line for line in events.iter_lines() if "data" in line)
            waiting = others.submit(waiter.get, f"{batch}/results", params={"after": 399, "wait": 60})
            begun = time.monotonic()
            assert server.stop() == 0
            # Who watches and who waits keeps no server from stopping.
            assert time.monotonic() - begun < 20
            assert waiting.result().status_code in {200, 503}
    server = serve()
    with server.client() as client:
        wait_for(client, batch, 400)
        results = client.get(batch).json()["batchExecutionResults"]
        assert [each["outputParameters"]["y"] for each in results] == [float(x) ** 2 + 1 for x in range(400)]
