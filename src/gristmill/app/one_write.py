"""A transport that sends the head and the body of a small answer in one write.

Two writes are two system calls here, two packets on the wire, and two reads at the caller; where Nagle's
algorithm meets a delayed acknowledgement, they are a stall of 40 ms as well.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from typing import Any

__all__ = ["Joining"]

#: Beyond this, joining two buffers costs more than a second write.
_SMALL = 64 * 1024


class Joining:
    """A transport that keeps a first small write until the next one, or until the loop comes round."""

    __slots__ = ("_held", "_loop", "_transport", "_write", "is_closing", "sent", "untaken")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self._loop = asyncio.get_running_loop()
        self._held: bytes | None = None
        self.is_closing = transport.is_closing
        self.untaken = transport.get_write_buffer_size  #: bytes that have not left the transport yet
        self.sent = 0  #: bytes handed to the transport, whether or not the caller has taken them

    def write(self, data: bytes) -> None:
        """Send `data` after all that was written before."""
        held = self._held
        if held is None:
            if len(data) > _SMALL:
                self.sent += len(data)
                self._write(data)
                return
            self._held = data
            self._loop.call_soon(self._flush)
            return
        self._held = None
        if len(data) > _SMALL:
            self.sent += len(held) + len(data)
            self._transport.writelines((held, data))
        else:
            data = held + data
            self.sent += len(data)
            self._write(data)

    def _flush(self) -> None:
        held = self._held
        if held is not None:
            self._held = None
            self.sent += len(held)
            self._write(held)

    def queued(self) -> int:
        """Bytes that have left the transport and that the caller's machine has not acknowledged."""
        connection = self._transport.get_extra_info("socket")
        try:
            told = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        except (AttributeError, OSError):  # it was closed meanwhile, or is no socket of TCP
            return 0
        return int.from_bytes(told, sys.byteorder)

    def write_eof(self) -> None:
        """Tell the caller that nothing more is sent; what he sends is still read, where that can be."""
        self._flush()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self) -> None:
        """Close once all that was written has left."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
