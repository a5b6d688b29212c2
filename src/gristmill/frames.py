"""The frames between server and shell.

A frame is a fixed header, a short `meta` part and a `body`:

    offset  size  field
    0       4     length   bytes that follow the header: meta and body together
    4       4     id       chosen by the server; a reply carries its request's
    8       4     handle   the service on this shell; 0 where there is none
    12      2     meta     bytes of `length` that are meta
    14      1     kind
    15      1     status   of a reply; 0 elsewhere

all little-endian. Frames travel over a stream socket of their own (descriptor 3 of the shell), one after
another; a shell answers in the order in which it was asked. Descriptors (a snapshot's content, a file that
the server lends) come over a second socket, descriptor 4, one message each, in the order of the frames that
announce them.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Iterator, List, NamedTuple, Tuple, Union

from gristmill.errors import GristmillError

__all__ = [
    "CONTROL_FD",
    "DESCRIPTOR_FD",
    "HEADER",
    "TIMES",
    "WITH_FILES",
    "BrokenFrame",
    "Decoder",
    "Frame",
    "Kind",
    "Status",
    "pack_header",
]

HEADER = struct.Struct("<IIIHBB")
#: Meta of a reply: microseconds spent in load, decode and check, run, encode.
TIMES = struct.Struct("<IIII")
#: Meta of a CALL whose answer is to have, as its last field `files`, what the call wrote beyond its outputs.
WITH_FILES = b"files"
CONTROL_FD = 3
DESCRIPTOR_FD = 4
MAX_META = 0xFFFF
#: A first piece of so many bytes holds header and meta of any frame that is in use.
_HEAD_AT_LEAST = 4096

Buffer = Union[bytes, bytearray, memoryview]


class BrokenFrame(GristmillError):
    """What came is no frame, or one over the permitted size; the peer is not to be trusted further."""


class Kind(IntEnum):
    """What a frame is for; below 16 from the server, from 16 on from the shell."""

    CONFIG = 1  #: body: JSON settings; the first frame
    LOAD = 2  #: handle, body: JSON service description; a descriptor comes too if it says `"content": true`
    UNLOAD = 3  #: handle; no reply
    CALL = 4  #: handle, body: the caller's JSON as it came
    OPERATION = 5  #: meta: JSON `{"op": name, "fd": bool, …}`; body as the operation has it
    READY = 16  #: body: JSON, what the shell is; sent once, after CONFIG was carried out
    REPLY = 17  #: id; status; meta: TIMES; body: the answer
    GROUP = 18  #: `id` further calls, oldest first, are being run as one


class Status(IntEnum):
    """How a request ended; says which of `body`'s two forms came."""

    OK = 0  #: the answer, to be passed on as it is
    FAILED = 1  #: user code failed; the body is the answer to be passed on all the same
    INVALID = 2  #: JSON `{"message", "exceptionType"}`: the input was refused
    MISSING = 3  #: JSON as above: no such object or file
    BROKEN = 4  #: JSON as above: the shell cannot go on and is to be retired
    TOO_LARGE = 5  #: JSON as above: the answer is over the output limit


class Frame(NamedTuple):
    """One frame; `meta` and `body` are bytes of their own, not views."""

    kind: int
    id: int
    handle: int
    status: int
    meta: bytes
    body: bytes


def pack_header(
    kind: int, id: int, body_length: int, *, handle: int = 0, status: int = 0, meta_length: int = 0
) -> bytes:
    """Header bytes of a frame whose meta and body the caller sends right after it."""
    if meta_length > MAX_META:
        raise BrokenFrame(f"meta of {meta_length} bytes, {MAX_META} at most")
    if meta_length + body_length > 0xFFFFFFFF:
        raise BrokenFrame(f"frame of {meta_length + body_length} bytes, {0xFFFFFFFF} at most")
    return HEADER.pack(meta_length + body_length, id, handle, meta_length, kind, status)


class Decoder:
    """Cuts a byte stream into frames.

    Feed it what was received; it yields each frame that is complete. Raises `BrokenFrame` on a header that
    announces more than `limit` bytes, or more meta than there is, before anything is allocated for it.
    """

    __slots__ = ("_have", "_limit", "_parts", "_want")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: List[bytes] = []
        self._have = 0
        self._want = HEADER.size

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes."""
        if self._parts:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._want:
                return
            parts, self._parts = self._parts, []
            if self._have == self._want and len(parts[0]) > _HEAD_AT_LEAST:
                yield self._whole(parts)
                return
            data = b"".join(parts)
        offset, size = 0, len(data)
        while True:
            if size - offset < HEADER.size:
                self._want = HEADER.size
                break
            length, id, handle, meta, kind, status = self._header(data, offset)
            start = offset + HEADER.size
            end = start + length
            if end > size:
                self._want = HEADER.size + length
                break
            yield Frame(kind, id, handle, status, data[start : start + meta], data[start + meta : end])
            offset = end
        if offset < size:
            self._parts = [data[offset:] if offset else data]
        self._have = size - offset

    def _whole(self, parts: List[bytes]) -> Frame:
        """The one frame that `parts` are, with its body copied once: it may have many MiB."""
        self._want, self._have = HEADER.size, 0
        _, id, handle, meta, kind, status = self._header(parts[0], 0)
        start = HEADER.size + meta
        if start > len(parts[0]):
            parts = [b"".join(parts)]
        body = b"".join((memoryview(parts[0])[start:], *parts[1:]))
        return Frame(kind, id, handle, status, parts[0][HEADER.size : start], body)

    def _header(self, data: bytes, offset: int) -> Tuple[int, int, int, int, int, int]:
        length, id, handle, meta, kind, status = HEADER.unpack_from(data, offset)
        if length > self._limit:
            raise BrokenFrame(f"a frame of {length} bytes was announced, {self._limit} at most")
        if meta > length:
            raise BrokenFrame(f"a frame of {length} bytes announced {meta} bytes of meta")
        return length, id, handle, meta, kind, status

    @property
    def pending(self) -> int:
        """Bytes of a frame not yet complete."""
        return self._have
