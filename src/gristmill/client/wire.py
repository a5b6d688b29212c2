"""The two ways to the server, blocking and on an event loop: all that knows the HTTP library."""

from __future__ import annotations

import platform
import ssl
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import (
    Any,
    BinaryIO,
    NamedTuple,
    Protocol,
)

import httpx

from gristmill import __version__
from gristmill.client.errors import TimedOut, Unreachable

__all__ = ["Answer", "BlockingWire", "LoopWire", "Options", "Progress", "Request", "Wire"]

#: Told of an upload: bytes sent so far, and in all.
Progress = Callable[[int, int], None]
_CHUNK = 256 * 1024
_AGENT = f"gristmill/{__version__} python/{platform.python_version()}"


class Request(NamedTuple):
    """What goes out; `form` is one file of a multipart form, by name and content."""

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    params: Mapping[str, str] | None = None
    form: Mapping[str, Any] | None = None
    progress: Progress | None = None
    source: BinaryIO | None = None  #: a file that is sent instead of a body, from its start
    sink: BinaryIO | None = None  #: a file for the content of a success, which the answer leaves out
    changes: bool = True  #: whether a second time would do something a second time, unless it only reads

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when nobody knows what became of it."""
        return self.method in {"GET", "HEAD"} or not self.changes


class Answer(NamedTuple):
    """What came back, whatever its status; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Options:
    """How to reach the server.

    `timeout` bounds, in seconds, the wait for an answer; `verify` is the path of a file with certificate
    authorities, or False to trust any certificate; `transport` replaces the network in tests.
    """

    url: str
    timeout: float = 300.0
    verify: bool | str = True
    transport: Any = None

    def arguments(self) -> dict[str, Any]:
        """As both of httpx's clients take them."""
        return {
            "base_url": self.url,
            "timeout": httpx.Timeout(self.timeout, connect=10.0),
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=30.0),
            "headers": {"User-Agent": _AGENT, "Accept": "application/json, application/octet-stream"},
            "verify": self._context(),
            "transport": self.transport,
        }

    def _context(self) -> bool | ssl.SSLContext:
        if isinstance(self.verify, str):
            return ssl.create_default_context(cafile=self.verify)
        if self.verify and self.url.startswith("http://"):
            # Reading all certificate authorities takes 30 ms; without TLS none is asked, and this trusts
            # none.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return self.verify


class Wire(Protocol):
    """Everything that a coroutine of the client waits for."""

    async def send(self, request: Request) -> Answer:
        """The answer, of any status. Raises Unreachable, TimedOut."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def lock(self) -> AbstractAsyncContextManager[None]:
        """The one lock of this wire, to be held while entering."""

    async def close(self) -> None:
        """Give the connections back."""


class BlockingWire:
    """Never suspends: what is awaited here has happened when it returns. Threads may share it."""

    def __init__(self, options: Options) -> None:
        self._http = httpx.Client(**options.arguments())
        self._lock = threading.Lock()
        # Notebooks do not close what they opened.
        weakref.finalize(self, self._http.close)

    async def send(self, request: Request) -> Answer:
        """As `Wire` says."""
        try:
            response = self._http.send(_build(self._http, request), stream=request.sink is not None)
            return _answer(response) if request.sink is None else self._kept(request, response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _told(error, self._http.base_url) from None

    def _kept(self, request: Request, response: httpx.Response) -> Answer:
        try:
            if response.is_error:
                response.read()
                return _answer(response)
            sink = _Sink(request, response)
            for piece in response.iter_bytes():
                sink.add(piece)
            return sink.answer
        finally:
            response.close()

    async def sleep(self, seconds: float) -> None:
        """As `Wire` says."""
        time.sleep(seconds)  # noqa: ASYNC251 - this wire blocks, that is what it is for

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """As `Wire` says."""
        with self._lock:
            yield

    async def close(self) -> None:
        """As `Wire` says."""
        self._http.close()


class LoopWire:
    """Suspends on the running event loop, asyncio's or trio's."""

    def __init__(self, options: Options) -> None:
        import anyio

        self._anyio = anyio
        self._http = httpx.AsyncClient(**options.arguments())
        self._lock = anyio.Lock()

    async def send(self, request: Request) -> Answer:
        """As `Wire` says."""
        try:
            response = await self._http.send(_build(self._http, request), stream=request.sink is not None)
            return _answer(response) if request.sink is None else await self._kept(request, response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _told(error, self._http.base_url) from None

    async def _kept(self, request: Request, response: httpx.Response) -> Answer:
        try:
            if response.is_error:
                await response.aread()
                return _answer(response)
            sink = _Sink(request, response)
            async for piece in response.aiter_bytes():
                sink.add(piece)
            return sink.answer
        finally:
            await response.aclose()

    async def sleep(self, seconds: float) -> None:
        """As `Wire` says."""
        await self._anyio.sleep(seconds)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """As `Wire` says."""
        async with self._lock:
            yield

    async def close(self) -> None:
        """As `Wire` says."""
        await self._http.aclose()


class _Upload(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces, telling after each how much is on its way."""

    def __init__(self, request: httpx.Request, progress: Progress) -> None:
        self._whole: Any = request.stream
        self._size = int(request.headers["content-length"])
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for part in self._whole:
            for start in range(0, len(part), _CHUNK):
                piece = part[start : start + _CHUNK]
                yield piece
                sent += len(piece)
                self._progress(sent, self._size)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class _FileBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A file as a body, from its start each time that it is sent."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(_CHUNK):
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class _Sink:
    """Takes the content of an answer; what an attempt before has left is overwritten."""

    def __init__(self, request: Request, response: httpx.Response) -> None:
        assert request.sink is not None
        self._file, self._progress = request.sink, request.progress
        self._file.seek(0)
        self._file.truncate()
        self._done, self._size = 0, int(response.headers.get("content-length", 0))
        self.answer = Answer(response.status_code, response.headers, b"")

    def add(self, piece: bytes) -> None:
        self._file.write(piece)
        self._done += len(piece)
        if self._progress is not None:
            self._progress(self._done, max(self._done, self._size))


def _build(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    file = _FileBody(request.source) if request.source is not None else None
    built = http.build_request(
        request.method,
        request.path,
        content=request.body,
        files=request.form,
        params=request.params,
        headers={**request.headers, "Content-Length": str(file.size)} if file else request.headers,
    )
    if file is not None:
        built.stream = file
    if request.progress is not None and request.sink is None:
        built.stream = _Upload(built, request.progress)
    return built


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)


def _told(error: Exception, url: httpx.URL) -> Exception:
    """Httpx's error as one of ours, naming the address."""
    where = str(url).rstrip("/")
    if isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout)):
        return TimedOut(
            f"{where} did not answer in time; raise the client's timeout if that was to be expected"
        )
    unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    reason = str(error) or type(error).__name__
    if unsent:
        return Unreachable(f"nothing answers at {where}: {reason}. Is the server running?", unsent=True)
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return Unreachable(
            f"{where} is not the address of a server: {reason}. It begins with http:// or https://"
        )
    broken = isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError))
    return Unreachable(f"the connection to {where} broke before the answer came: {reason}", broken=broken)
