"""Accepts connections: no more than are allowed, and whatever the system says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import structlog

from gristmill.app.connections import State
from gristmill.app.http_connection import Connection

__all__ = ["Acceptor"]

log = structlog.get_logger("gristmill.web")

#: Connections that are accepted before the loop does something else.
_AT_ONCE = 64
#: Between two events in the log of the same kind, seconds.
_LOG_SECONDS = 10.0


class Acceptor:
    """Stands for the event loop's own server, which closes connections silently when descriptors run out.

    At the limit it closes idle connections; where there are none, callers wait in the system's queue until a
    connection ends.
    """

    def __init__(
        self, listener: socket.socket, make: Callable[[], Connection], state: State, *, tls: Any = None
    ) -> None:
        self._listener = listener
        self._make = make
        self._state = state
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._joining: set[asyncio.Task[None]] = set()
        self._listens = False
        self._full = False
        self._told: dict[str, float] = {}

    def start(self) -> None:
        """Accept from now on, and again after a pause."""
        if not self._listens:
            self._listens = True
            self._loop.add_reader(self._listener, self._ready)
            self._state.on_freed = self._freed

    def close(self) -> None:
        """Accept no more; connections that there are go on."""
        self._pause()
        self._state.on_freed = None

    async def wait_closed(self) -> None:
        """For uvicorn, which waits for the connections itself."""

    def resume(self) -> None:
        """Try again after a pause; called once a second."""
        if self._state.on_freed is not None:
            self.start()

    def _freed(self) -> None:
        if self._full:
            self._full = False
            self.start()

    def _pause(self) -> None:
        if self._listens:
            self._listens = False
            self._loop.remove_reader(self._listener)

    def _ready(self) -> None:
        state = self._state
        for accepted in range(_AT_ONCE):
            if len(state.connections) + len(state.arriving) >= state.most:
                # Only the first is known to be waiting.
                if not accepted and not state.make_room():
                    self._full = True
                    self._pause()
                    self._tell("connections_at_limit", limit=state.most)
                return
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._failed(error)
                return
            connection.setblocking(False)
            protocol = self._make()
            state.arriving.add(protocol)
            task = self._loop.create_task(self._join(connection, protocol))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    def _failed(self, error: OSError) -> None:
        """No descriptors or no memory: others will need them too, so close what idles and wait."""
        closed = self._state.make_room()
        self._tell("accept_failed", error=str(error), open=len(self._state.connections), closed_idle=closed)
        self._pause()

    def _tell(self, event: str, **details: object) -> None:
        now = self._loop.time()
        if now - self._told.get(event, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._told[event] = now
            log.warning(event, **details)

    async def _join(self, connection: socket.socket, protocol: Connection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection, ssl=self._tls)
        except Exception as error:  # noqa: BLE001 - one connection's end is not the server's
            connection.close()
            log.debug("connection_not_made", error=repr(error))
        finally:
            self._state.arriving.discard(protocol)
