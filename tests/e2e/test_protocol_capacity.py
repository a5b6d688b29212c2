"""What a server answers that has no shell free, or no R."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import stopping
from tests.e2e.protocol import accepted, refused
from tests.e2e.publishing import call, publish
from tests.e2e.surroundings import without_r
from tests.servers import Server, start_server

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one shell of Python, no R, and a short and impatient queue."""
    folder = tmp_path_factory.mktemp("capacity")
    flags = ("--pool-initial", "1", "--pool-max", "1", "--queue-length", "2", "--queue-seconds", "0.5")
    with stopping(start_server(folder, *flags, environment=without_r(folder))) as running:
        yield running


def test_where_there_is_no_r_everything_of_r_is_a_clear_400(server: Server) -> None:
    assert "there is no R on this machine" in server.log.read_text()
    with server.client() as client:
        report = accepted(client.get("/status"), "status")
        assert report["details"]["runtimes"] == ["Python"]
        assert "no R" in " ".join(report["components"]["backends"]["details"]["warnings"])
        for answer in (
            client.post("/services/r", json={"code": "y <- 1"}),
            client.post("/services/r/1", json={"code": "y <- 1", "runtimeType": "R"}),
            client.post("/sessions", json={}),
            client.post("/sessions", json={"runtimeType": "R"}),
        ):
            message = refused(answer, 400)
            assert "cannot run R" in message
            assert "Python" in message
        assert accepted(client.get("/services"), "services") == []
        assert call(client, publish(client, "py", "y = 1", outputs={"y": "numeric"})) == {"y": 1}


def test_a_call_too_many_is_429_one_that_waits_too_long_503_and_both_say_when_to_come_back(
    server: Server,
) -> None:
    with server.client() as client:
        path = publish(client, "slow", "import time; time.sleep(2); y = 1", outputs={"y": "numeric"})
        answers = asyncio.run(at_once(server, client, path, 8))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 429: 5, 503: 2}
        assert all("calls wait already" in refused(a, 429) for a in answers if a.status_code == 429)
        assert all("within 0.5 s" in refused(a, 503) for a in answers if a.status_code == 503)
        assert all(int(a.headers["Retry-After"]) >= 1 for a in answers if a.status_code != 200)
        assert call(client, path) == {"y": 1}


async def at_once(server: Server, client: httpx.Client, path: str, number: int) -> list[httpx.Response]:
    """The answers to calls that are all sent at the same time."""
    async with httpx.AsyncClient(base_url=server.url, headers=client.headers, timeout=60) as callers:
        return list(await asyncio.gather(*(callers.post(path, json={}) for _ in range(number))))
