"""An HttpServer around any application, on a loop whose clock jumps, and callers who write raw HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gristmill.app.http_server import HttpServer
from gristmill.app.settings import ConnectionLimits

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class Serving:
    server: HttpServer
    port: int
    asked: list[str]  #: paths that the application was asked for
    callers: list[Caller] = field(default_factory=list)

    async def caller(self) -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.port))
        self.callers.append(caller)
        return caller

    async def answer(self, raw: bytes) -> bytes:
        """All that the server says to `raw` until it closes."""
        caller = await self.caller()
        caller.send(raw)
        return await caller.rest()


@dataclass
class Caller:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def answer(self) -> bytes:
        """The next answer, which has a Content-Length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        return head + await self.reader.readexactly(int(length.split(b":")[1]))

    async def rest(self) -> bytes:
        """All until the server closes; what it said before a reset counts."""
        got = b""
        with contextlib.suppress(ConnectionError):
            while piece := await self.reader.read(65536):
                got += piece
        return got

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def leave(self) -> None:
        """Break the connection off."""
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def serving(
    app: App | None = None, *, descriptors: int = 1024, **limits: Any
) -> AsyncIterator[Serving]:
    """Serve `app`, by default one that answers with the path and the length of the body."""
    asked: list[str] = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await (app or echo)(scope, receive, send)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        server = HttpServer(noting, backlog=100, limits=ConnectionLimits(**limits), descriptors=descriptors)
        task = asyncio.create_task(server.serve([listener]))
        await server.listening.wait()
        here = Serving(server, listener.getsockname()[1], asked)
        try:
            yield here
        finally:
            for caller in here.callers:
                await caller.close()
            server.should_exit = True
            await task


async def body_of(receive: Any) -> bytes | None:
    """The whole body, None if the caller leaves before."""
    body = b""
    while True:
        message: dict[str, Any] = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def say(send: Any, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = await body_of(receive)
    if body is not None:
        await say(send, f"{scope['path']} {len(body)}".encode())
