"""What is read off a request before any framework sees it: token, id, body."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message, Receive

from gristmill.disk import folder_of, storing
from gristmill.errors import InvalidInput, NotAuthenticated, Overloaded, TooLarge
from gristmill.off_loop import Work, off_loop

__all__ = [
    "LEFT",
    "REQUEST_ID",
    "TWICE",
    "Bodies",
    "Disconnected",
    "announced",
    "authorization",
    "bearer",
    "find",
    "form_of",
    "limited",
    "new_id",
    "read_body",
    "spool",
    "too_large",
]

#: Key of the ASGI scope under which the gateway leaves the request's id, as text.
REQUEST_ID = "gristmill.request_id"
#: Status in the log of a request whose caller left before it was answered; nobody receives it.
LEFT = 499
#: Stands for the value of an Authorization header that came more than once, for `bearer`.
TWICE = b"(more than one)"
#: Bytes up to which a body is not counted.
_SMALL = 64 * 1024
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
_PREFIX = os.urandom(6).hex().encode()
_numbers = count(1)
#: What is gathered of a body in memory before it is written.
_SPOOL_BYTES = 2**20


class Disconnected(InvalidInput):
    """The caller left before its request was complete; nobody reads the answer."""


def find(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Value of the first header called `name`, in lower case."""
    for key, value in headers:
        if key == name:
            return value
    return None


def authorization(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Value of the Authorization header, `TWICE` if there are several, None without one."""
    found = None
    for key, value in headers:
        if key == b"authorization":
            found = value if found is None else TWICE
    return found


def bearer(authorization: bytes | None) -> str:
    """The token of an Authorization header; scheme in any case, blanks trimmed.

    Raises NotAuthenticated, and InvalidInput for `TWICE`: a proxy may have looked at the other one.
    """
    if authorization is TWICE:
        raise InvalidInput("there is more than one Authorization header: send one")
    if authorization is None:
        raise NotAuthenticated("this needs a token: send 'Authorization: Bearer <access_token>'")
    parts = authorization.split(None, 1)
    if len(parts) != 2 or (parts[0] != b"Bearer" and parts[0].lower() != b"bearer"):
        raise NotAuthenticated("the Authorization header does not read 'Bearer <access_token>'")
    return parts[1].rstrip().decode("latin-1")


def new_id(given: bytes | None) -> bytes:
    """The caller's own request id where it is a sane one, else one that is unique to this process."""
    if given is not None and _SANE_ID.fullmatch(given):
        return given
    return b"%b-%x" % (_PREFIX, next(_numbers))


def announced(length: bytes | None, limit: int) -> None:
    """Raise TooLarge if Content-Length announces more than `limit` bytes."""
    if length is not None and length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise too_large(limit)


def too_large(limit: int) -> TooLarge:
    """The error for a body over `limit` bytes."""
    return TooLarge(f"the body is too large: this server takes {limit:,} bytes at most here")


def limited(receive: Receive, limit: int) -> Receive:
    """`receive` that raises TooLarge past `limit` bytes, and Disconnected when the caller left."""
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected("the caller left while sending")
        seen += len(message.get("body", b""))
        if seen > limit:
            raise too_large(limit)
        return message

    return counting


class Bodies:
    """Bounds what bodies take in memory together, from their arrival to their answer: `most` bytes.

    Small ones are not counted: there are never more of them than connections.
    """

    __slots__ = ("_most", "held")

    def __init__(self, most: int = 2 << 30) -> None:
        self._most = most
        self.held = 0  #: bytes of large bodies that came and are not answered yet

    def take(self, size: int, own: int) -> None:
        """Count bytes that have come of a body of which `own` are counted already.

        Raises Overloaded where others leave no room for them.
        """
        if self.held + size > self._most and self.held > own:
            raise Overloaded(
                f"bodies of {self.held >> 20} MiB are in work, and no more fit; try again shortly",
                retry_after=2.0,
            )
        self.held += size

    def done(self, body: bytes) -> None:
        """A body that `read_body` has given is no longer needed."""
        if len(body) > _SMALL:
            self.held -= len(body)


async def read_body(receive: Receive, limit: int, bodies: Bodies) -> bytes:
    """The whole body, for which `bodies.done` is to be called in the end.

    Raises TooLarge as soon as it is over `limit` bytes, Overloaded where there is no memory for it now, and
    Disconnected.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body") and len(body) <= min(limit, _SMALL):
        return body
    parts, held = [body], 0
    try:
        bodies.take(len(body), 0)
        held += len(body)
        while message["type"] == "http.request" and held <= limit:
            if not message.get("more_body"):
                if held > _SMALL:
                    held = 0  # it is counted until it is done
                return b"".join(parts)
            message = await receive()
            parts.append(message.get("body", b""))
            bodies.take(len(parts[-1]), held)
            held += len(parts[-1])
        raise too_large(limit) if held > limit else Disconnected("the caller left while sending")
    finally:
        bodies.held -= held


async def spool(receive: Receive, limit: int, file: BinaryIO) -> None:
    """Write the body to `file` as it comes, in a thread, and rewind.

    Raises TooLarge, StorageFull; InvalidInput if empty.
    """
    receive = limited(receive, limit)
    size, parts, gathered = 0, [], 0
    message: dict[str, Any] = {"more_body": True}
    while message.get("more_body", False):
        message = dict(await receive())
        parts.append(message.get("body", b""))
        gathered += len(parts[-1])
        if gathered >= _SPOOL_BYTES or not message.get("more_body", False):
            size += gathered
            with storing(folder_of(file), "what was sent"):
                await off_loop(Work.WRITE, file.writelines, parts)
            parts, gathered = [], 0
    if size == 0:
        raise InvalidInput("the body is empty: send the serialized object as application/octet-stream")
    with storing(folder_of(file), "what was sent"):
        await off_loop(Work.WRITE, file.seek, 0)  # writes what is in its buffer


@asynccontextmanager
async def form_of(request: Request, limit: int) -> AsyncIterator[FormData]:
    """The form in the body, one file and some texts, as long as its file is there.

    The file is a temporary one. Raises TooLarge past `limit` bytes, StorageFull, and what the parser says.
    """
    announced(find(request.scope["headers"], b"content-length"), limit)
    bounded = Request(request.scope, limited(request.receive, limit))
    with storing(Path(tempfile.gettempdir()), "what was sent"):
        form = await bounded.form(max_files=1, max_fields=16)
    try:
        yield form
    finally:
        await form.close()
