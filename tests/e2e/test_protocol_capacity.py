"""What a server answers that has no shell free, or no R."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e.protocol import accepted, refused
from tests.e2e.publishing import call, publish
from tests.servers import Server

pytestmark = pytest.mark.timeout(120)

PYTHON_ONLY = ("--pool-initial", "1", "--pool-max", "1")


@pytest.fixture
def no_r(tmp_path: Path) -> dict[str, str]:
    """An environment where R is not found, and bubblewrap is if there is one."""
    programs = tmp_path / "programs"
    programs.mkdir()
    found = shutil.which("bwrap")
    if found:
        (programs / "bwrap").symlink_to(found)
    return {"PATH": str(programs)}


def test_where_there_is_no_r_everything_of_r_is_a_clear_400(
    serve: Callable[..., Server], no_r: dict[str, str]
) -> None:
    server = serve(*PYTHON_ONLY, environment=no_r)
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


def test_a_call_too_many_is_503_and_says_when_to_come_back(
    serve: Callable[..., Server], no_r: dict[str, str]
) -> None:
    server = serve(*PYTHON_ONLY, "--queue-length", "2", "--queue-seconds", "20", environment=no_r)
    with server.client() as client:
        path = publish(client, "slow", "import time; time.sleep(1); y = 1", outputs={"y": "numeric"})
        answers = asyncio.run(at_once(server, client, path, 8))
        served = [answer for answer in answers if answer.status_code == 200]
        assert 1 <= len(served) <= 4
        for answer in answers:
            if answer in served:
                assert accepted(answer, "result")["outputParameters"] == {"y": 1}
            else:
                assert "busy" in refused(answer, 503)
                assert int(answer.headers["Retry-After"]) >= 1
        assert call(client, path) == {"y": 1}


def test_a_call_that_waits_too_long_for_a_shell_is_503(
    serve: Callable[..., Server], no_r: dict[str, str]
) -> None:
    server = serve(*PYTHON_ONLY, "--queue-seconds", "0.5", environment=no_r)
    with server.client() as client:
        path = publish(client, "slow", "import time; time.sleep(2); y = 1", outputs={"y": "numeric"})
        answers = asyncio.run(at_once(server, client, path, 3))
        assert {answer.status_code for answer in answers} == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert "0.5 s" in refused(answer, 503)
                assert int(answer.headers["Retry-After"]) >= 1


async def at_once(server: Server, client: httpx.Client, path: str, number: int) -> list[httpx.Response]:
    """The answers to calls that are all sent at the same time."""
    async with httpx.AsyncClient(base_url=server.url, headers=client.headers, timeout=60) as callers:
        return list(await asyncio.gather(*(callers.post(path, json={}) for _ in range(number))))
