"""HTTP/1.1 of a caller who wants to know what becomes of each request, and may break off at will."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "Connection", "Lost", "request_bytes"]

_HEAD = 1 << 20
#: Seconds without a request after which a server may close a connection although a request is on its way.
_IDLE = 20.0


class Lost(Exception):
    """A request that was sent whole got no whole answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]  #: names in lower case
    body: bytes

    def json(self) -> Any:
        """Raises Lost for a body that is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Lost(f"{self.status} with a body that is no JSON: {self.body[:80]!r}") from None


def request_bytes(method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A whole request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: faults", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """A caller's connection: kept open between requests, opened anew when it was closed in between."""

    def __init__(self, host: str, port: int, token: str = "", *, patience: float = 60.0) -> None:
        self._address = (host, port)
        self._patience = patience
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._used = 0.0

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a request and read its answer. Raises Lost."""
        if self._writer is not None and time.monotonic() - self._used > _IDLE:
            await self.close()
        told = {**self.headers, "Content-Type": "application/json", **(headers or {})}
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                writer = await self.open()
                writer.write(request_bytes(method, path, told, body))
                await writer.drain()
                return await self._read()
        except TimeoutError:
            await self.close()
            raise Lost(f"{method} {path}: no answer within {self._patience:g} s") from None
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError) as error:
            await self.close()
            took = time.monotonic() - begun
            raise Lost(f"{method} {path}: {type(error).__name__} after {took:.2f} s: {error}") from None
        finally:
            self._used = time.monotonic()

    async def open(self) -> asyncio.StreamWriter:
        """The connection's writer, for who sends less than a request."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._address, limit=_HEAD)
        return self._writer

    async def close(self) -> None:
        """Hang up."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await writer.wait_closed()

    async def _read(self) -> Answer:
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {}
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = await self._chunks()
        else:
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Answer(status=int(first.split(" ", 2)[1]), headers=headers, body=body)

    async def _chunks(self) -> bytes:
        assert self._reader is not None
        parts = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readline()
        return b"".join(parts)
