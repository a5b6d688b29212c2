"""What is no request, or too much of one, is answered in the protocol's format, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from typing import Any

import pytest
import structlog

from tests.unit.app.serving import Serving, body_of, say, serving

HEAD = b"GET /ok HTTP/1.1\r\nHost: x\r\n"


def refused(raw: bytes, status: int) -> str:
    """The message of an answer that is an error as all others, and the last on its connection."""
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), raw[:200]
    assert b"connection: close" in head
    assert b"content-type: application/json" in head
    fields = json.loads(body)
    assert set(fields) == {"message", "link", "exceptionType"}
    return str(fields["message"])


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n",
        HEAD + b"X-Long: " + b"a" * 70_000,
        HEAD + b"X: y\r\n" * 20_000 + b"\r\n",
        HEAD + b"X: y\r\n" * 300 + b"\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 70_000,
        b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nX-Long: " + b"a" * 300_000,
    ],
    ids=["one", "one unfinished", "very many", "many", "address", "address unfinished", "very long"],
)
async def test_a_head_that_is_too_large_is_431_in_one_piece_or_many(raw: bytes) -> None:
    async with serving() as here:
        assert "65,536 bytes and 256 headers" in refused(await here.answer(raw), 431)
        caller = await here.caller()
        for start in range(0, len(raw), 10_000):
            caller.send(raw[start : start + 10_000])
            await asyncio.sleep(0)
        assert "65,536" in refused(await caller.rest(), 431)
        assert here.asked == []
        assert b"/ok 0" in await here.answer(HEAD + b"Connection: close\r\n\r\n")


async def test_a_head_of_many_mebibytes_costs_no_memory() -> None:
    async with serving() as here:
        caller = await here.caller()
        caller.send(HEAD + b"X-Long: ")
        tracemalloc.start()
        for _ in range(320):
            caller.send(b"a" * 65536)
            try:
                await asyncio.wait_for(caller.writer.drain(), 5)
            except ConnectionError:
                break
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 << 20
        (await caller.rest())


async def test_large_heads_within_the_limit_are_taken() -> None:
    async with serving() as here:
        long = b"GET /" + b"a" * 30_000 + b" HTTP/1.1\r\n" + b"X: y\r\n" * 250 + b"Y: " + b"b" * 30_000
        assert b" 200 OK" in await here.answer(long + b"\r\nConnection: close\r\n\r\n")


async def test_a_head_behind_a_large_body_is_measured_by_itself() -> None:
    async with serving() as here:
        caller = await here.caller()
        caller.send(b"POST /a HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000 + b"GET /b HT")
        assert (await caller.answer()).endswith(b"/a 200000")
        caller.send(b"TP/1.1\r\n\r\n")
        assert (await caller.answer()).endswith(b"/b 0")
        many = b"GET /c HTTP/1.1\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n"
        caller.send(many * 7)
        assert [(await caller.answer()).endswith(b"/c 0") for _ in range(7)] == [True] * 7


@pytest.mark.parametrize(
    "endless",
    [
        b"0\r\n" + b"X: y\r\n" * 40_000,
        b"0\r\nX: " + b"y" * 400_000,
        b"5;x=" + b"y" * 400_000,
    ],
    ids=["trailers", "a trailer", "a chunk's extension"],
)
async def test_what_surrounds_chunks_is_bounded(endless: bytes) -> None:
    async with serving() as here:
        caller = await here.caller()
        caller.send(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        for start in range(0, len(endless), 10_000):
            caller.send(endless[start : start + 10_000])
            await asyncio.sleep(0)
        refused(await caller.rest(), 431)


async def test_trailers_are_no_headers() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await body_of(receive)
        seen.extend(scope["headers"])
        await say(send, b"")

    async with serving(app) as here:
        caller = await here.caller()
        caller.send(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        )
        await caller.answer()
    assert seen == [(b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"GET nowhere HTTP/1.1\r\n\r\n",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX : y\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        b"POST / HTTP/1.1\nContent-Length: 5\r\n\r\nabcde",
    ],
    ids=lambda raw: repr(raw[:60]),
)
async def test_malformed_and_ambiguous_requests_are_400(raw: bytes) -> None:
    async with serving() as here:
        assert "HTTP" in refused(await here.answer(raw), 400) or b"CONNECT" in raw


async def test_an_error_at_v2_has_the_member_that_its_clients_read() -> None:
    async with serving() as here:
        raw = await here.answer(b"GET /v2/models HTTP/1.1\r\nX: " + b"a" * 70_000)
        assert b'{"error":"the request' in raw


async def test_what_is_refused_behind_a_request_that_runs_is_told_after_its_answer() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await say(send, scope["path"].encode())

    async with serving(app) as here:
        caller = await here.caller()
        caller.send(b"GET /first HTTP/1.1\r\n\r\nGARBAGE\r\n\r\n")
        await asyncio.sleep(0.05)
        gate.set()
        assert (await caller.answer()).endswith(b"/first")
        refused(await caller.rest(), 400)


async def test_requests_that_wait_on_one_connection_are_bounded() -> None:
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await say(send, b"")

    async with serving(app, pipelined=5) as here:
        caller = await here.caller()
        caller.send(b"GET / HTTP/1.1\r\n\r\n" * 10)
        await asyncio.sleep(0.05)
        gate.set()
        answers = await caller.rest()
    assert answers.count(b" 200 OK") == 6
    assert b" 429 " in answers


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_an_offer_to_upgrade_is_passed_over(method: bytes) -> None:
    async with serving() as here:
        caller = await here.caller()
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        body = b"Content-Length: 3\r\n\r\nabc" if method == b"POST" else b"\r\n"
        caller.send(method + b" /a HTTP/1.1\r\n" + upgrade + body)
        length = b"3" if method == b"POST" else b"0"
        assert (await caller.answer()).endswith(b"/a " + length)
        caller.send(method + b" /b HTTP/1.1\r\n" + upgrade + body + b"GET /c HTTP/1.1\r\n\r\n")
        assert (await caller.answer()).endswith(b"/b " + length)
        assert (await caller.answer()).endswith(b"/c 0")
        assert here.asked == ["/a", "/b", "/c"]


async def test_a_fault_of_our_own_while_reading_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gristmill.app.http_connection.httptools.parse_url", broken)
    with structlog.testing.capture_logs() as events:
        async with serving() as here:
            refused(await here.answer(HEAD + b"\r\n"), 400)
    assert [event["event"] for event in events if event["log_level"] == "error"] == ["request_not_read"]


async def failing(here: Serving) -> bytes:
    return await here.answer(HEAD + b"Connection: close\r\n\r\n")


async def test_an_application_that_raises_or_says_nothing_is_500_and_logged() -> None:
    async def raises(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("secret")

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return

    for app, event in ((raises, "request_failed"), (silent, "request_not_answered")):
        with structlog.testing.capture_logs() as events:
            async with serving(app) as here:
                assert "secret" not in refused(await failing(here), 500)
        assert event in [entry["event"] for entry in events]


async def test_a_call_that_was_cancelled_from_within_is_503() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    async with serving(app) as here:
        assert "try again" in refused(await failing(here), 503)
