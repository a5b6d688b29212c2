"""How many sessions there may be, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import stopping
from tests.e2e.accounts import add_user
from tests.e2e.protocol import accepted, refused
from tests.e2e.remote import Remote
from tests.e2e.surroundings import without_r
from tests.servers import Server, start_server

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a server that soon takes a session for idle."""
    folder, flags = tmp_path_factory.mktemp("idle"), ("--pool-initial", "1", "--session-idle-seconds", "2")
    with (
        stopping(start_server(folder, *flags, environment=without_r(folder))) as server,
        server.client() as client,
    ):
        yield client


def ids(client: httpx.Client) -> set[str]:
    return {each["id"] for each in accepted(client.get("/sessions"), "sessions")}


def until_gone(client: httpx.Client, remote: Remote) -> float:
    """Wait until the session is no longer listed; seconds that it took."""
    begun = time.monotonic()
    while remote.id in ids(client):
        assert time.monotonic() - begun < 20
    return time.monotonic() - begun


def test_a_session_too_many_is_503_until_one_is_closed(serve: Callable[..., Server], tmp_path: Path) -> None:
    flags = ("--pool-initial", "1", "--max-sessions", "3", "--user-sessions", "2")
    server = serve(*flags, environment=without_r(tmp_path))
    with server.client() as client, add_user(server, "second", "contributor") as second:
        first = [Remote(client, "Python") for _ in range(2)]
        answer = client.post("/sessions", json={"runtimeType": "Python"})
        assert "2 sessions" in refused(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1
        last = Remote(second, "Python")
        assert "3 sessions" in refused(second.post("/sessions", json={"runtimeType": "Python"}), 503)
        first[0].close()
        more = Remote(second, "Python")
        for remote in (first[1], last, more):
            remote.close()
        assert ids(client) == ids(second) == set()


def test_an_idle_session_is_closed_and_what_it_had_is_gone(client: httpx.Client) -> None:
    remote = Remote(client, "Python")
    remote.run("x = 1", "")
    assert until_gone(client, remote) > 1
    refused(client.get(f"{remote.path}/workspace"), 404)
    refused(client.post(f"{remote.path}/execute", json={"code": "x"}), 404)


def test_a_session_that_is_used_or_busy_is_not_idle(client: httpx.Client) -> None:
    remote = Remote(client, "Python")
    begun = time.monotonic()
    remote.run("import time; time.sleep(3.5)", "")
    while time.monotonic() - begun < 7:
        assert remote.names() == ["time"]
    assert until_gone(client, remote) > 1
