"""Bodies are bounded one by one and together, and counted until they are answered."""

from __future__ import annotations

from collections.abc import Iterable

import httpx
import pytest
from starlette.types import Message, Receive

from gristmill.errors import Overloaded, TooLarge
from gristmill.web.app import create_app
from gristmill.web.requests import Bodies, Disconnected, read_body
from tests.unit.web.fakes import Server

MIB = 1 << 20


def arriving(pieces: Iterable[bytes], *, ends: bool = True) -> Receive:
    """`receive` of a body in pieces; or of one whose caller leaves."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if ends:
        messages[-1]["more_body"] = False
    else:
        messages.append({"type": "http.disconnect"})
    following = iter(messages)

    async def receive() -> Message:
        return next(following)

    return receive


@pytest.mark.parametrize(
    "pieces", [[b""], [b"{}"], [b"x" * MIB], [b"x" * MIB] * 3, [b"x" * 1000] * 70, [b"a", b"b"]]
)
async def test_a_body_is_whole_and_counted_until_it_is_done(pieces: list[bytes]) -> None:
    bodies = Bodies()
    body = await read_body(arriving(pieces), 10 * MIB, bodies)
    assert body == b"".join(pieces)
    assert bodies.held == (len(body) if len(body) > 64 * 1024 else 0)
    bodies.done(body)
    assert bodies.held == 0


@pytest.mark.parametrize(
    ("receive", "error"),
    [
        (arriving([b"x" * MIB] * 3, ends=False), Disconnected),
        (arriving([b"x" * MIB] * 11), TooLarge),
        (arriving([b"x" * (11 * MIB)]), TooLarge),
        (arriving([b"x"] * 3, ends=False), Disconnected),
    ],
    ids=["left", "too large", "too large at once", "left early"],
)
async def test_a_body_that_is_not_taken_is_not_counted(receive: Receive, error: type[Exception]) -> None:
    bodies = Bodies()
    with pytest.raises(error):
        await read_body(receive, 10 * MIB, bodies)
    assert bodies.held == 0


async def test_bodies_that_do_not_fit_beside_others_are_refused_and_small_ones_are_not() -> None:
    bodies = Bodies(4 * MIB)
    first = await read_body(arriving([b"x" * MIB] * 3), 10 * MIB, bodies)
    with pytest.raises(Overloaded, match="bodies of 4 MiB are in work") as refused:
        await read_body(arriving([b"x" * MIB] * 2), 10 * MIB, bodies)
    assert refused.value.retry_after
    assert await read_body(arriving([b"{}"]), 10 * MIB, bodies) == b"{}"
    bodies.done(first)
    assert len(await read_body(arriving([b"x" * MIB] * 9), 10 * MIB, bodies)) == 9 * MIB  # alone, it fits


async def test_one_large_body_is_taken_where_there_is_no_other() -> None:
    bodies = Bodies(MIB)
    body = await read_body(arriving([b"x" * (8 * MIB)]), 10 * MIB, bodies)
    assert bodies.held == len(body)


async def test_a_call_that_ends_in_any_way_gives_its_body_back(server: Server) -> None:
    large, bodies = b'{"x": "' + b"x" * MIB + b'"}', Bodies()
    app = create_app(server.context(bodies=bodies))
    async with (
        server.client() as authorized,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test", headers=authorized.headers
        ) as client,
    ):
        statuses = [(await client.post("/api/bos-rf/1.0.0", content=large)).status_code]
        server.dispatcher.outcome = Overloaded("full")
        statuses.append((await client.post("/api/bos-rf/1.0.0", content=large)).status_code)
        server.dispatcher.outcome = ZeroDivisionError("a defect")
        statuses.append((await client.post("/api/bos-rf/1.0.0", content=large)).status_code)
        statuses.append((await client.post("/services/large/1", content=large)).status_code)
    assert statuses == [200, 503, 500, 400]
    assert bodies.held == 0
