"""uvicorn's HTTP protocol, with the head and the body of a small answer in one write.

Two writes are two system calls here, two packets on the wire, and two reads at the caller; where Nagle's
algorithm meets a delayed acknowledgement, they are a stall of 40 ms as well.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

__all__ = ["OneWriteProtocol", "State"]

#: Beyond this, joining two buffers costs more than a second write.
_SMALL = 64 * 1024


class _Joining:
    """A transport that keeps a first small write until the next one, or until the loop comes round."""

    __slots__ = ("_held", "_loop", "_transport", "_write")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self._loop = asyncio.get_running_loop()
        self._held: bytes | None = None

    def write(self, data: bytes) -> None:
        held = self._held
        if held is None:
            if len(data) > _SMALL:
                self._write(data)
                return
            self._held = data
            self._loop.call_soon(self._flush)
            return
        self._held = None
        if len(data) > _SMALL:
            self._transport.writelines((held, data))
        else:
            self._write(held + data)

    def _flush(self) -> None:
        held = self._held
        if held is not None:
            self._held = None
            self._write(held)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class State(ServerState):
    """What the connections of a server share."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = False


class OneWriteProtocol(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`."""

    def on_headers_complete(self) -> None:
        """As the base does; while the server drains, the answer says that it is the connection's last."""
        super().on_headers_complete()
        if getattr(self.server_state, "draining", False) and self.cycle is not None:
            self.cycle.keep_alive = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As the base does, with a transport that joins writes."""
        super().connection_made(_Joining(transport))  # type: ignore[arg-type]
