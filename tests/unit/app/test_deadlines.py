"""Callers who are slow, silent or many are let go in time, and nobody else for it; on a clock that jumps."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
import structlog

from gristmill.testing_clock import run_jumping
from tests.unit.app.serving import Caller, body_of, say, serving

GET = b"GET /ok HTTP/1.1\r\n\r\n"


def jumping(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run the test on an event loop whose clock jumps when all is idle."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_jumping(test(*args, **kwargs))

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


async def drip(caller: Caller, pieces: list[bytes], every: float) -> None:
    for piece in pieces:
        caller.send(piece)
        await asyncio.sleep(every)


@pytest.mark.parametrize("dripping", [False, True])
@jumping
async def test_a_head_that_does_not_come_to_its_end_is_408_after_ten_seconds(dripping: bool) -> None:
    async with serving() as here:
        begun = now()
        caller = await here.caller()
        caller.send(b"GET /ok HTTP/1.1\r\nX: ")
        dropping = asyncio.create_task(drip(caller, [b"a"] * 60 * dripping, 1.0))
        answer = await caller.rest()
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b"within 10 seconds" in answer
        assert 10 < now() - begun < 16
        dropping.cancel()
        assert here.asked == []


@jumping
async def test_a_body_that_comes_too_slowly_is_408_and_its_request_ends() -> None:
    bodies: list[bytes | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        bodies.append(await body_of(receive))

    async with serving(app) as here:
        begun = now()
        caller = await here.caller()
        caller.send(b"POST /ok HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
        dropping = asyncio.create_task(drip(caller, [b"a" * 100] * 100, 1.0))
        answer = await caller.rest()
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b"512 bytes per second" in answer
        assert 20 < now() - begun < 30
        assert bodies == [None]
        dropping.cancel()


@jumping
async def test_a_body_that_comes_steadily_may_take_as_long_as_it_wants() -> None:
    async with serving() as here:
        caller = await here.caller()
        caller.send(b"POST /ok HTTP/1.1\r\nContent-Length: 600000\r\n\r\n")
        await drip(caller, [b"a" * 1000] * 600, 1.0)
        assert (await caller.answer()).endswith(b"/ok 600000")


@jumping
async def test_a_caller_whom_the_server_keeps_waiting_is_not_slow() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(300)
        body = await body_of(receive)
        await asyncio.sleep(300)
        await say(send, b"%d" % len(body or b""))

    async with serving(app) as here:
        large = await here.caller()
        large.send(b"POST / HTTP/1.1\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000)
        expecting = await here.caller()
        expecting.send(b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert b" 100 " in await expecting.reader.readuntil(b"\r\n\r\n")
        expecting.send(b"abc")
        assert (await expecting.answer()).endswith(b"\r\n3")
        assert (await large.answer()).endswith(b"\r\n500000")


@jumping
async def test_the_rest_of_a_body_whose_answer_was_given_is_not_waited_for() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await say(send, b"too large", 413)

    async with serving(app) as here:
        caller = await here.caller()
        caller.send(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
        assert b" 413 " in await caller.answer()
        begun = now()
        dropping = asyncio.create_task(drip(caller, [b"a" * 10_000] * 60, 1.0))
        assert await caller.rest() == b""
        assert now() - begun < 20
        dropping.cancel()


@jumping
async def test_an_idle_connection_is_closed_after_75_seconds_whether_it_was_used_or_not() -> None:
    async with serving() as here:
        begun = now()
        silent, used = await here.caller(), await here.caller()
        used.send(GET)
        await used.answer()
        await asyncio.sleep(60)
        used.send(GET)
        await used.answer()
        assert await silent.rest() == b""
        assert 75 < now() - begun < 80
        assert await used.rest() == b""
        assert 135 < now() - begun < 140


@jumping
async def test_an_answer_that_nobody_reads_is_cut_off_after_a_minute() -> None:
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        left.set()

    async with serving(app) as here:
        caller = await here.caller()
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        caller.send(GET)
        begun = now()
        await left.wait()
        assert 60 < now() - begun < 300  # the kernel takes some for a while, by its own clock
        assert here.server.server_state.connections == set()


@jumping
async def test_an_answer_that_is_read_slowly_is_sent_to_its_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await say(send, b"x" * (8 << 20))

    async with serving(app) as here:
        caller = await here.caller()
        caller.send(GET)
        got = 0
        while got < 8 << 20:
            piece = await caller.reader.read(400_000)
            assert piece, f"cut off after {got} bytes"
            got += len(piece)
            await asyncio.sleep(3)


@jumping
async def test_a_call_may_take_long_while_its_caller_is_silent() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await body_of(receive)
        await asyncio.sleep(1000)
        await say(send, b"done")

    async with serving(app) as here:
        caller = await here.caller()
        caller.send(GET)
        assert (await caller.answer()).endswith(b"done")


@jumping
async def test_at_the_limit_idle_connections_make_room_the_unused_first() -> None:
    async with serving(connections=20) as here:
        used = [await here.caller() for _ in range(10)]
        for caller in used:
            caller.send(GET)
            await caller.answer()
        silent = [await here.caller() for _ in range(200)]
        for caller in used:
            caller.send(GET)
            assert b" 200 " in await caller.answer()
        late = await here.caller()
        late.send(GET)
        assert b" 200 " in await late.answer()
        assert len(here.server.server_state.connections) <= 20
        assert sum(caller.reader.at_eof() for caller in silent) >= 190


@jumping
async def test_where_all_are_busy_the_next_waits_until_one_has_ended() -> None:
    gate, all_busy = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if len(here.asked) == 16:
            all_busy.set()
        await gate.wait()
        await say(send, b"done")

    with structlog.testing.capture_logs() as events:
        async with serving(app, connections=16) as here:
            busy = [await here.caller() for _ in range(16)]
            for caller in busy:
                caller.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            await all_busy.wait()
            late = await here.caller()
            late.send(GET)
            await asyncio.sleep(30)
            assert len(here.asked) == 16
            gate.set()
            assert (await late.answer()).endswith(b"done")
    full = [event for event in events if event["event"] == "connections_at_limit"]
    assert 1 <= len(full) <= 4


@jumping
async def test_half_sent_heads_leave_sooner_when_connections_are_scarce() -> None:
    async with serving(connections=20) as here:
        half = [await here.caller() for _ in range(30)]
        for caller in half:
            caller.send(b"GET /services HTTP/1.1\r\nX: ")
        begun = now()
        late = await here.caller()
        late.send(GET)
        assert b" 200 " in await late.answer()
        assert now() - begun < 20


@jumping
async def test_no_descriptors_left_is_logged_and_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as here:
        idle = await here.caller()
        idle.send(GET)
        await idle.answer()
        failures = [OSError(errno.EMFILE, "Too many open files")] * 3
        accept = socket.socket.accept

        def scarce(listener: socket.socket) -> Any:
            if failures:
                raise failures.pop()
            return accept(listener)

        monkeypatch.setattr(socket.socket, "accept", scarce)
        with structlog.testing.capture_logs() as events:
            late = await here.caller()
            late.send(GET)
            assert b" 200 " in await late.answer()
        assert await idle.rest() == b""  # closed to make room
        failed = [event for event in events if event["event"] == "accept_failed"]
        assert len(failed) == 1
        assert "Too many open files" in failed[0]["error"]


@jumping
async def test_a_burst_of_drops_is_one_event_with_their_number() -> None:
    with structlog.testing.capture_logs() as events:
        async with serving() as here:
            callers = [await here.caller() for _ in range(50)]
            for caller in callers:
                caller.send(b"GET /services HTTP/1.1\r\nX: ")
            for caller in callers:
                assert b" 408 " in await caller.rest()
            await asyncio.sleep(15)
    dropped = [event for event in events if event["event"] == "connections_dropped"]
    assert sum(event["count"] for event in dropped) == 50
    assert len(dropped) <= 2
    assert {event["reason"] for event in dropped} == {"head too slow"}


@jumping
async def test_a_connection_that_cannot_be_made_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as here:
        loop = asyncio.get_running_loop()
        join = loop.connect_accepted_socket
        failures = [OSError(errno.ENOTCONN, "it has gone again")]

        async def failing(*args: Any, **more: Any) -> Any:
            if failures:
                raise failures.pop()
            return await join(*args, **more)

        monkeypatch.setattr(loop, "connect_accepted_socket", failing)
        first, second = await here.caller(), await here.caller()
        assert await first.rest() == b""
        second.send(GET)
        assert b" 200 " in await second.answer()
        assert here.server.server_state.arriving == set()
