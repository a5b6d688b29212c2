"""SIGTERM, or a terminal that closes: calls in flight finish, new ones get 503, the server ends with 0."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.publishing import publish
from tests.servers import Server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_calls_in_flight_finish_and_new_ones_get_503(serve: Callable[..., Server], number: int) -> None:
    server = serve("--pool-initial", "1")
    answers: list[httpx.Response] = []
    with server.client() as client, server.client() as late:
        path = publish(client, "slow", "import time; time.sleep(1.5); y = 1", outputs={"y": "integer"})
        caller = threading.Thread(target=lambda: answers.append(client.post(path, json={})))
        caller.start()
        until_busy(late)
        server.process.send_signal(number)
        until_draining(late)
        refused = late.post(path, json={})
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.headers["Connection"] == "close"
        assert late.get("/health/live").status_code == 200
        caller.join()
    assert answers[0].json()["outputParameters"] == {"y": 1}
    assert answers[0].headers["Connection"] == "close"
    assert server.process.wait(timeout=20) == 0


def test_a_second_signal_cuts_calls_short(serve: Callable[..., Server]) -> None:
    server = serve("--pool-initial", "1")
    answers: list[httpx.Response] = []
    with server.client() as client, server.client() as late:
        path = publish(client, "slow", "import time; time.sleep(20); y = 1", outputs={"y": "integer"})
        caller = threading.Thread(target=lambda: answers.append(client.post(path, json={})))
        caller.start()
        until_busy(late)
        server.process.send_signal(signal.SIGTERM)
        until_draining(late)
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=20)
        assert time.monotonic() - begun < 12
        caller.join()
    assert answers[0].status_code == 503


def test_what_was_published_is_there_after_a_restart(serve: Callable[..., Server]) -> None:
    server = serve("--pool-initial", "1")
    with server.client() as client:
        path = publish(client, "kept", "y = 1", outputs={"y": "integer"})
        token = client.headers["Authorization"]
    server.process.kill()
    server.process.wait()
    again = serve("--pool-initial", "1")
    answer = httpx.post(again.url + path, json={}, headers={"Authorization": token})
    assert answer.json()["outputParameters"] == {"y": 1}


def until_busy(client: httpx.Client) -> None:
    deadline = time.monotonic() + 10
    while True:
        pool = client.get("/status").json()["components"]["backends"]["components"]["Python"]["details"]
        if pool["busy"]:
            return
        assert time.monotonic() < deadline


def until_draining(client: httpx.Client) -> None:
    deadline = time.monotonic() + 10
    while client.get("/health/ready").status_code != 503:
        assert time.monotonic() < deadline
