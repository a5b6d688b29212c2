"""uvicorn as this server runs it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gristmill.app.one_write import OneWriteProtocol, State

__all__ = ["HttpServer"]


def _behind_proxy(app: Any) -> Any:
    """`app` that learns the caller's address from a trusted proxy, except for services' calls.

    Nothing asks for the address there, and reading it takes 3 % of a realtime call. Who is trusted is
    uvicorn's own setting.
    """
    proxied = ProxyHeadersMiddleware(app, os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1"))

    def called(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] == "http" and scope["path"].startswith(("/api/", "/v2/")):
            return app(scope, receive, send)
        return proxied(scope, receive, send)

    return called


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers, which would close the port at once."""

    server_state: State

    def __init__(self, app: Any, *, backlog: int) -> None:
        super().__init__(
            uvicorn.Config(
                _behind_proxy(app),
                proxy_headers=False,
                interface="asgi3",
                loop="none",
                http=OneWriteProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=5,
                backlog=backlog,
            )
        )
        self.listening = asyncio.Event()
        self.server_state = State()

    def start_draining(self) -> None:
        """From now on each answer is the last on its connection, so that callers open the next elsewhere."""
        self.server_state.draining = True
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As the base does, and tell that it is done."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield
