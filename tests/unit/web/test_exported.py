"""Services as files over HTTP: what is asked of the core, and how its answers go out."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, BinaryIO

import pytest

from gristmill.errors import Conflict
from gristmill.identity import Principal
from gristmill.moving import Exported
from gristmill.services import ServiceVersion
from tests.unit.web.fakes import Server, service

GM = "/exported-services"


class FakeMoving:
    """Gives one service, and notes what it is to take."""

    most = 1000

    def __init__(self) -> None:
        self.content: BinaryIO | None = io.BytesIO(b"content")
        self.taken: list[tuple[bytes, str, dict[str, Any]]] = []
        self.refusal: Exception | None = None

    def spool(self) -> BinaryIO:
        return io.BytesIO()

    async def export(self, name: str, version: str, by: Principal) -> Exported:
        return Exported(b"head:", self.content, 12 if self.content else 5)

    async def take_in(self, source: BinaryIO, by: Principal, **options: Any) -> ServiceVersion:
        if self.refusal is not None:
            raise self.refusal
        self.taken.append((source.read(), by.name, options))
        return replace(service(), name="taken", version="2")


@pytest.fixture
def moving(server: Server) -> FakeMoving:
    made = server.moving = FakeMoving()
    return made


async def test_head_and_content_are_one_file_which_is_closed(server: Server, moving: FakeMoving) -> None:
    content = moving.content
    async with server.client() as client:
        answer = await client.get(f"{GM}/bos-rf/1.0.0")
    assert (answer.status_code, answer.content) == (200, b"head:content")
    assert answer.headers["content-length"] == "12"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert 'filename="bos-rf-1.0.0.gm"' in answer.headers["content-disposition"]
    assert content is not None
    assert content.closed


async def test_a_service_without_content_is_a_head(server: Server, moving: FakeMoving) -> None:
    moving.content = None
    async with server.client() as client:
        assert (await client.get(f"{GM}/bos-rf/1.0.0")).content == b"head:"
        assert (await client.head(f"{GM}/bos-rf/1.0.0")).headers["content-length"] == "5"


async def test_an_import_says_where_the_service_is(server: Server, moving: FakeMoving) -> None:
    async with server.client() as client:
        answer = await client.post(GM, content=b"a file")
        assert answer.status_code == 201
        assert answer.headers["location"] == "/services/taken/2"
        await client.post(f"{GM}?name=n&version=v&replace=true", content=b"a file")
    plain = {"name": None, "version": None, "over": False}
    assert moving.taken == [
        (b"a file", "ann", plain),
        (b"a file", "ann", {"name": "n", "version": "v", "over": True}),
    ]


async def test_what_the_core_refuses_is_told(server: Server, moving: FakeMoving) -> None:
    moving.refusal = Conflict("it exists already")
    async with server.client() as client:
        answer = await client.post(GM, content=b"a file")
    assert (answer.status_code, answer.json()["message"]) == (409, "it exists already")


async def test_bodies_that_are_too_large_empty_or_wrongly_asked_for_are_refused(
    server: Server, moving: FakeMoving
) -> None:
    async def pieces() -> Any:
        for _ in range(3):
            yield bytes(400)

    async with server.client() as client:
        assert (await client.post(GM, content=bytes(1001))).status_code == 413
        assert (await client.post(GM, content=pieces())).status_code == 413
        assert (await client.post(GM, content=b"")).status_code == 400
        assert (await client.post(f"{GM}?replace=perhaps", content=b"a file")).status_code == 400
    assert moving.taken == []
