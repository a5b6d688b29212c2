"""Whatever route meets a disk that is full or broken: 507 or 503, never a 500, and defects stay defects."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from gristmill.ports import DatabaseDamaged, StateUnavailable, StorageFull
from gristmill.web.context import Readiness
from gristmill.web.problems import problem
from tests.unit.web.fakes import Server


def failing(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/srv/data/file")


async def asked(server: Server, error: Exception) -> httpx.Response:
    """What a route of FastAPI answers in which this is raised."""

    async def status() -> Mapping[str, Any]:
        raise error

    server.status = status
    async with server.client() as client:
        return await client.get("/status")


async def scored(server: Server, error: Exception) -> httpx.Response:
    """What the scoring route answers where this is raised."""

    async def score(*_: object, **__: object) -> Any:
        raise error

    server.dispatcher.score = score  # type: ignore[method-assign]
    async with server.client() as client:
        return await client.post("/api/bos-rf/1.0.0", json={})


EVERYWHERE = pytest.mark.parametrize("route", [asked, scored])


@EVERYWHERE
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_no_room_is_507_and_names_the_disk(server: Server, route: Any, number: int) -> None:
    answer = await route(server, failing(number))
    assert (answer.status_code, answer.json()["exceptionType"]) == (507, "StorageFull")
    assert "/srv/data" in answer.json()["message"]
    assert answer.headers["retry-after"] == "30"


@EVERYWHERE
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ESTALE, errno.EMFILE])
async def test_other_trouble_of_a_disk_is_503(server: Server, route: Any, number: int) -> None:
    answer = await route(server, failing(number))
    assert (answer.status_code, answer.json()["exceptionType"]) == (503, "StateUnavailable")
    assert os.strerror(number) in answer.json()["message"]
    assert "retry-after" in answer.headers


@EVERYWHERE
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOENT])
async def test_an_error_that_is_no_disks_is_a_defect(server: Server, route: Any, number: int) -> None:
    answer = await route(server, failing(number))
    assert (answer.status_code, answer.json()["exceptionType"]) == (500, "InternalError")


@pytest.mark.parametrize(
    ("error", "status"), [(StateUnavailable, 503), (DatabaseDamaged, 503), (StorageFull, 507)]
)
def test_errors_of_state_have_their_status_and_say_when_to_come_again(
    error: type[StateUnavailable], status: int
) -> None:
    answer = problem(error("no"))
    assert answer.status == status
    assert b"retry-after" in dict(answer.headers)


async def test_readiness_says_what_cannot_be_answered_and_turns_503_when_nothing_can(server: Server) -> None:
    found = Readiness("warn", "the disk of /srv is full")
    server.readiness = lambda: found
    async with server.client(None) as client:
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "warn", "message": found.why})
        assert (await client.get("/v2/health/ready")).json() == {"ready": True}
        found = Readiness("fail", "the database is away")
        for path in ("/health/ready", "/v2/health/ready"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["message"]) == (503, "the database is away")
        server.phase.publishing = "1 of 2"
        assert (await client.get("/v2/health/ready")).status_code == 503
