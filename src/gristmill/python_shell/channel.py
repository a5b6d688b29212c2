"""The shell's end of both sockets: frames in and out, and descriptors in."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections import deque
from typing import Any, Deque, NoReturn

from gristmill.frames import CONTROL_FD, DESCRIPTOR_FD, Decoder, Frame, Kind, Status, pack_header

__all__ = ["Channel", "Gone"]

_LIMIT = 0xFFFFFFFF
_CHUNK = 1 << 16
_LARGE_CHUNK = 1 << 20
#: Answers from this size on are sent without being joined to their header first.
_LARGE = 1 << 16
#: Bytes that are read ahead at most, when looking for calls that wait.
_READ_AHEAD = 1 << 23


class Gone(EOFError):
    """The server has hung up."""


class _OfTheParent:
    """What a forked copy has in place of the sockets: using it ends the copy."""

    def __getattr__(self, _name: str) -> NoReturn:
        os._exit(0)


class Channel:
    """Frames in order; `waiting` holds those received and not yet taken."""

    def __init__(self, control: int = CONTROL_FD, descriptors: int = DESCRIPTOR_FD) -> None:
        self._socket: Any = socket.socket(fileno=control)
        self._socket.setblocking(True)
        self._socket.set_inheritable(False)
        self._descriptors: Any = socket.socket(fileno=descriptors)
        self._descriptors.set_inheritable(False)
        self._decoder = Decoder(_LIMIT)
        self.waiting: Deque[Frame] = deque()
        self.answered = -1  #: id of the frame that was answered last
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def _leave_to_parent(self) -> None:
        """In a process that user code forked: it must not speak for its parent, nor keep the sockets open."""
        for each in (self._socket, self._descriptors):
            with contextlib.suppress(OSError):
                each.close()
        self._socket = self._descriptors = _OfTheParent()

    def next(self) -> Frame:
        """The next frame; blocks. Raises Gone."""
        while not self.waiting:
            size = _LARGE_CHUNK if self._decoder.pending > _CHUNK else _CHUNK
            try:
                data = self._socket.recv(size)
            except ConnectionError as error:
                raise Gone from error
            if not data:
                raise Gone
            self.waiting.extend(self._decoder.feed(data))
        return self.waiting.popleft()

    def idle(self) -> bool:
        """Whether no frame, nor part of one, has come that was not taken."""
        if self.waiting or self._decoder.pending:
            return False
        return not select.select([self._socket], [], [], 0)[0]

    def look(self) -> None:
        """Take in what waits in the socket already, without blocking."""
        budget = _READ_AHEAD
        while budget > 0:
            try:
                data = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not data:  # the server is gone: `next` will see it
                return
            self.waiting.extend(self._decoder.feed(data))
            if len(data) < _CHUNK:
                return
            budget -= len(data)

    def send(self, data: bytes) -> None:
        """Send whole frames in one write. Raises Gone."""
        try:
            self._socket.sendall(data)
        except ConnectionError as error:
            raise Gone from error

    def reply(self, frame: Frame, status: int, meta: bytes, body: bytes) -> None:
        """Answer a frame; header, meta and body leave in one write. Raises Gone."""
        header = self.pack_reply(frame, status, meta, len(body))
        self.answered = frame.id
        try:
            if len(body) < _LARGE:
                self._socket.sendall(header + body)
            else:
                self._send_large(header, body)
        except ConnectionError as error:
            raise Gone from error

    def _send_large(self, header: bytes, body: bytes) -> None:
        """Without joining the two first."""
        sent = self._socket.sendmsg([header, body])
        if sent < len(header):
            self._socket.sendall(header[sent:])
            sent = len(header)
        view = memoryview(body)[sent - len(header) :]
        if view:
            self._socket.sendall(view)

    @staticmethod
    def pack_reply(frame: Frame, status: int, meta: bytes, length: int) -> bytes:
        """Header and meta of a reply whose body of `length` bytes comes right after."""
        header = pack_header(
            Kind.REPLY, frame.id, length, handle=frame.handle, status=status, meta_length=len(meta)
        )
        return header + meta

    def ready(self, body: bytes) -> None:
        """Tell the server what this shell is, or that it cannot be one."""
        self._socket.sendall(pack_header(Kind.READY, 0, len(body), status=Status.OK) + body)

    def receive_descriptor(self) -> int:
        """The next descriptor that a frame announced; the caller closes it. Raises Gone, OSError."""
        space = socket.CMSG_SPACE(4)
        data, ancillary, _flags, _address = self._descriptors.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(payload) >= 4:
                return int.from_bytes(payload[:4], "little")
        if not data:
            raise Gone
        raise OSError("a descriptor was announced, and none came")
