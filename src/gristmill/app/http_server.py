"""uvicorn as this server runs it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from gristmill.app.one_write import OneWriteProtocol

__all__ = ["HttpServer"]


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers, which would close the port at once."""

    def __init__(self, app: Any, *, backlog: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As the base does, and tell that it is done."""
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield
