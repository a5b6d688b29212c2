"""Many idle and half-sent connections, however few descriptors there are, keep nobody from being served."""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import stopping
from tests.e2e.publishing import call, publish
from tests.servers import GRISTMILL, Server, start_server


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`limited("ulimit …", *flags)` starts a server under that limit."""
    with contextlib.ExitStack() as stack:

        def start(ulimit: str, *flags: str) -> Server:
            program = tmp_path / "gristmill"
            program.write_text(f'#!/bin/sh\n{ulimit}\nexec {shlex.quote(str(GRISTMILL))} "$@"\n')
            program.chmod(0o755)
            words = ("--pool-initial", "1", "--log-json", *flags)
            return stack.enter_context(stopping(start_server(tmp_path, *words, program=program)))

        yield start


def connections(server: Server, number: int, sent: bytes = b"") -> list[socket.socket]:
    where = urlsplit(server.url)
    made = []
    for _ in range(number):
        made.append(socket.create_connection((where.hostname, where.port), timeout=5))
        made[-1].sendall(sent)
    return made


def events(server: Server, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


@pytest.mark.parametrize("sent", [b"", b"GET /services HTTP/1.1\r\nX: "], ids=["idle", "half a head"])
def test_more_connections_than_descriptors_keep_nobody_waiting_for_long(
    limited: Callable[..., Server], sent: bytes
) -> None:
    server = limited("ulimit -n 300")
    with server.client() as client:
        path = publish(client, "adder", "y = 1", outputs={"y": "integer"})
        crowd = connections(server, 450, sent)
        begun = time.monotonic()
        assert httpx.get(f"{server.url}/health/live", timeout=30).status_code == 200
        assert call(client, path) == {"y": 1}
        assert time.monotonic() - begun < 30
        for connection in crowd:
            connection.close()
        server.stop()
    assert events(server, "connections_dropped")


def test_the_soft_limit_of_descriptors_is_raised_at_start_and_shells_keep_theirs(
    limited: Callable[..., Server],
) -> None:
    server = limited("ulimit -Sn 256", "--max-connections", "2000")
    assert events(server, "descriptors_raised")
    crowd = connections(server, 600)
    with server.client() as client:
        code = "import resource; soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)"
        path = publish(client, "limits", code, outputs={"soft": "integer", "hard": "integer"})
        seen = call(client, path)
        assert seen["soft"] == seen["hard"] <= 4096
    assert not events(server, "connections_dropped")
    for connection in crowd:
        connection.close()


def test_callers_who_leave_are_no_errors_in_the_log(limited: Callable[..., Server]) -> None:
    server = limited("true", "--log-scoring")
    with server.client() as client:
        path = publish(client, "slow", "import time; time.sleep(0.3); y = 1", outputs={"y": "integer"})
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {client.headers['Authorization']}\r\n"
            "Content-Length: 2\r\n\r\n{"
        )
        half = connections(server, 4, head.encode())
        whole = connections(server, 4, head.encode() + b"}")
        call(client, path)
        for connection in half + whole:
            connection.close()
        assert call(client, path) == {"y": 1}
        assert server.stop() == 0
    left = [event for event in events(server, "scored") if event["status"] == 499]
    assert len(left) >= 5
    loud = [line for line in server.log.read_text().splitlines() if '"error"' in line]
    assert loud == []
