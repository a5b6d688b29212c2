"""Who has left is let go: calls of services end with their callers, all else is finished."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from tests.unit.app.serving import body_of, say, serving


class Waiting:
    """An application whose answers wait; tells how each request ended."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await body_of(receive)
            self.begun.set()
            await self.gate.wait()
            await say(send, scope["path"].encode())
        except asyncio.CancelledError:
            self.ended.put_nowait(f"cancelled {scope['path']}")
            raise
        self.ended.put_nowait(f"done {scope['path']}")


def post(path: str, body: bytes = b"{}", length: int = 2) -> bytes:
    return b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), length, body)


@pytest.mark.parametrize(
    "path",
    ["/api/bos-rf/1.0", "/api/bos%20rf/1.0?x=1", "/v2/models/m/infer", "/v2/models/m/versions/1/infer"],
)
async def test_a_call_whose_caller_has_left_is_cancelled_without_a_word_in_the_log(path: str) -> None:
    app = Waiting()
    with structlog.testing.capture_logs() as events:
        async with serving(app) as here:
            caller = await here.caller()
            caller.send(post(path))
            await app.begun.wait()
            caller.leave()
            assert (await app.ended.get()).startswith("cancelled ")
            await asyncio.sleep(0)
            assert not here.server.server_state.tasks
    assert events == []


@pytest.mark.parametrize("path", ["/services/a/1", "/api/a/1/batch", "/sessions", "/v2/models/m/ready"])
async def test_all_else_is_finished_though_its_caller_has_left(path: str) -> None:
    app = Waiting()
    async with serving(app) as here:
        caller = await here.caller()
        caller.send(post(path))
        await app.begun.wait()
        caller.leave()
        await asyncio.sleep(0.05)
        app.gate.set()
        assert await app.ended.get() == f"done {path}"


async def test_a_caller_who_closes_his_half_has_left() -> None:
    app = Waiting()
    async with serving(app) as here:
        caller = await here.caller()
        caller.send(post("/api/a/1"))
        await app.begun.wait()
        caller.writer.write_eof()
        assert await app.ended.get() == "cancelled /api/a/1"


async def test_calls_that_wait_behind_another_are_dropped_with_it() -> None:
    app = Waiting()
    async with serving(app) as here:
        caller = await here.caller()
        caller.send(post("/api/a/1") + post("/api/b/1") + post("/api/c/1"))
        await app.begun.wait()
        caller.leave()
        assert await app.ended.get() == "cancelled /api/a/1"
        app.gate.set()
        await asyncio.sleep(0.05)
        assert here.asked == ["/api/a/1"]


@pytest.mark.parametrize(
    ("path", "ended"), [("/api/a/1", "cancelled /api/a/1"), ("/services/a/1", "done /services/a/1")]
)
async def test_a_caller_who_leaves_while_sending_is_noticed(path: str, ended: str) -> None:
    app = Waiting()
    app.gate.set()
    async with serving(app) as here:
        caller = await here.caller()
        caller.send(post(path, b"{", 1000))
        await asyncio.sleep(0.05)
        caller.leave()
        assert await app.ended.get() == ended


async def test_a_call_that_was_answered_is_never_cancelled() -> None:
    finished = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await body_of(receive)
        await say(send, b"ok")
        await asyncio.sleep(0.1)
        finished.set()

    async with serving(app) as here:
        caller = await here.caller()
        caller.send(post("/api/a/1"))
        await caller.answer()
        caller.leave()
        await asyncio.wait_for(finished.wait(), 5)


async def test_a_stream_ends_when_its_reader_leaves() -> None:
    from starlette.responses import StreamingResponse

    ended = asyncio.Event()

    async def forever() -> Any:
        try:
            while True:
                yield b"data: x\n\n"
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async with serving(StreamingResponse(forever())) as here:
        caller = await here.caller()
        caller.send(b"GET /api/a/1/batch/b/events HTTP/1.1\r\n\r\n")
        await caller.reader.readuntil(b"data: x")
        caller.leave()
        await asyncio.wait_for(ended.wait(), 5)


async def test_each_of_several_requests_sent_at_once_is_answered_in_order() -> None:
    async with serving() as here:
        caller = await here.caller()
        caller.send(b"".join(post(f"/{n}") for n in range(100)))
        answers = [await caller.answer() for _ in range(100)]
        assert [answer.rsplit(b"\r\n\r\n", 1)[1] for answer in answers] == [
            f"/{n} 2".encode() for n in range(100)
        ]


async def test_what_drains_answers_all_that_was_sent_and_then_closes() -> None:
    app = Waiting()
    async with serving(app) as here:
        caller = await here.caller()
        caller.send(post("/a") + post("/b"))
        await app.begun.wait()
        here.server.start_draining()
        app.gate.set()
        answers = await caller.rest()
        assert answers.count(b" 200 OK") == 2
        assert answers.count(b"connection: close") == 1


async def test_the_end_does_not_wait_for_callers() -> None:
    app = Waiting()
    with structlog.testing.capture_logs():
        async with serving(app) as here:
            here.server.config.timeout_graceful_shutdown = 1
            caller = await here.caller()
            caller.send(post("/services/a/1"))
            await app.begun.wait()
            here.server.should_exit = True
            answer = await caller.rest()
    assert b" 503 " in answer
    assert await app.ended.get() == "cancelled /services/a/1"
