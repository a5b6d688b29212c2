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

from gristmill.app.accepting import Acceptor
from gristmill.app.connections import State
from gristmill.app.descriptors import most_connections
from gristmill.app.http_connection import Connection
from gristmill.app.settings import ConnectionLimits
from gristmill.background import Background, Repeated
from gristmill.web.gateway import calls_a_service

__all__ = ["HttpServer"]

#: What connections are given at the end, after the drain, seconds.
_GRACE_SECONDS = 5
#: What requests that were cut off then are given to say so, seconds.
_LAST_WORDS_SECONDS = 1.0


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
    """uvicorn without its signal handlers, which would close the port at once, and with bounds on callers.

    `descriptors` is the number of files that this process may have open.
    """

    server_state: State

    def __init__(
        self,
        app: Any,
        *,
        backlog: int,
        limits: ConnectionLimits | None = None,
        descriptors: int = 1024,
        background: Background | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                _behind_proxy(app),
                proxy_headers=False,
                interface="asgi3",
                loop="none",
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                backlog=backlog,
            )
        )
        limits = limits or ConnectionLimits()
        self.listening = asyncio.Event()
        self.server_state = State(
            limits,
            most=most_connections(descriptors, limits.connections),
            drops_with_caller=calls_a_service,
        )
        self._background = background or Background()
        self._watching: Repeated | None = None
        self.servers: list[Acceptor] = []  # type: ignore[assignment]  # they stand for the loop's own

    def start_draining(self) -> None:
        """From now on each answer is the last on its connection, so that callers open the next elsewhere."""
        self.server_state.draining = True
        for connection in self.server_state.connections:
            connection.last_answer()

    def cut_short(self) -> None:
        """Give requests under way no time once the server is told to end."""
        self.config.timeout_graceful_shutdown = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections from `sockets`, watch over them, and tell that it is done."""
        await self.lifespan.startup()
        for listener in sockets or []:
            listener.setblocking(False)
            acceptor = Acceptor(listener, self._make, self.server_state, tls=self.config.ssl)
            acceptor.start()
            self.servers.append(acceptor)
        self._watching = self._background.repeat("watch connections", self._watch, every=1.0)
        self.started = True
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As the base does; afterwards there is no connection left, whatever its caller does."""
        await super().shutdown(sockets)
        if self.server_state.tasks:  # they have been cancelled, and tell their callers
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS_SECONDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self._watching is not None:
            await self._watching.stop()
        self.server_state.tell_dropped()

    def _make(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state)

    async def _watch(self) -> None:
        await self.server_state.sweep(asyncio.get_running_loop().time())
        for acceptor in self.servers:
            acceptor.resume()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield
