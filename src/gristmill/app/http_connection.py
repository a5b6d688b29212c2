"""One HTTP connection: uvicorn's protocol, with bounds on what a caller may send, and how slowly.

Nothing here takes time per request for what goes wrong: heads are measured only when they come in pieces or
in large ones, and deadlines are looked at by `look`, once a second.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gristmill.app.connections import State
from gristmill.app.http_cycle import Cycle
from gristmill.app.one_write import Joining
from gristmill.app.patience import Patience, Phase
from gristmill.web.problems import Problem, at_path, http_problem

__all__ = ["Connection"]

log = structlog.get_logger("gristmill.web")


class _Fault(Exception):
    """Raised into the parser: this request is not taken."""

    def __init__(self, reason: str, failure: Problem) -> None:
        super().__init__(reason)
        self.reason = reason
        self.failure = failure


class _Dropped(list[tuple[bytes, bytes]]):
    """Stands for the headers once a head is complete: trailers, which nobody asks for, are not kept."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Forget it."""


class _Discard:
    """Stands for the parser once a request was refused."""

    def feed_data(self, data: bytes) -> None:
        """Forget it."""


#: Headers by which a caller offers another protocol.
_OFFERS = frozenset({b"upgrade", b"http2-settings"})
_TRAILERS = _Dropped()
_DISCARD = _Discard()


class Connection(HttpToolsProtocol):
    """For `uvicorn.Config(http=…)`; its server's state has to be a `State`."""

    server_state: State
    transport: Joining  # type: ignore[assignment]
    cycle: RequestResponseCycle | None  # type: ignore[assignment]

    def __init__(self, config: Any, server_state: State, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.phase = Phase.BETWEEN
        self.begun = 0  #: requests of which a first byte has come
        self.received = 0  #: bytes
        self.patience = Patience(self.loop.time())
        self._piece = 0  #: bytes that came last
        self._head = 0  #: bytes of an unfinished head in earlier pieces
        self._body = 0  #: bytes of bodies
        self._extra = 0  #: bytes of chunk heads and trailers in pieces without any body
        self.running: RequestResponseCycle | None = None  #: the request that is being answered
        self._task: asyncio.Task[None] | None = None  #: of `_running`
        self._last_words: bytes | None = None  #: to be sent when `_running` has been answered

    # What the event loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As the base does, with a transport that joins writes."""
        super().connection_made(Joining(transport))  # type: ignore[arg-type]
        self.server_state.arriving.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take in a piece of any size; afterwards look at what it left unfinished."""
        phase, begun, body = self.phase, self.begun, self._body
        self._piece = size = len(data)
        self.received += size
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._decline(offer, data)
        except httptools.HttpParserError as error:
            self._malformed(error)
            return
        if self.phase == Phase.HEAD:
            self._check_head(phase, begun)
        elif self.phase == Phase.BODY and phase == Phase.BODY:
            self._extra = self._extra + size if body == self._body else 0
            if self._extra > self.server_state.limits.head_bytes:
                self.refuse("trailers too large", self._too_large())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the requests that nobody waits for them, and give up those that are calls of services."""
        state = self.server_state
        state.connections.discard(self)
        running, task = self.running, self._task
        for cycle in (running, self.cycle, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                cycle.disconnected = cycle.disconnected or not cycle.response_complete
                cycle.message_event.set()
        self.pipeline.clear()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = _DISCARD  # type: ignore[assignment]
        if task is not None and running is not None and running.disconnected and self._drops(running):
            task.cancel()
        state.freed()

    def _drops(self, cycle: RequestResponseCycle) -> bool:
        return self.server_state.drops_with_caller(cycle.scope)

    def _decline(self, offer: httptools.HttpParserUpgrade, data: bytes) -> None:
        """Take a request that offers another protocol, as Java's client does, as if it did not.

        The parser has stopped behind its head, and would take its body for the next request.
        """
        while True:
            data = self._head_without_offer() + data[offer.args[0] :]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as another:
                offer = another
            else:
                return

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                words = [word.strip() for word in value.split(b",")]
                value = b", ".join(word for word in words if word.lower() not in _OFFERS)  # noqa: PLW2901
            if name not in _OFFERS:
                lines.append(b"%b: %b\r\n" % (name, value))
        return b"".join([*lines, b"\r\n"])

    # What the parser calls.

    def on_message_begin(self) -> None:
        """As the base does."""
        self.phase = Phase.HEAD
        self.begun += 1
        self._head = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {  # type: ignore[typeddict-item]
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def on_headers_complete(self) -> None:
        """Begin to answer, or to wait behind the request before; refuse a head that is too large."""
        state, parser, scope = self.server_state, self.parser, self.scope
        limits = state.limits
        if self._head + self._piece > limits.head_bytes or len(self.headers) > limits.header_fields:
            self._check_whole_head()
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise _Fault("malformed", http_problem(400, "this server is no proxy"))
            return  # the parser takes the body for another protocol: see `_decline`
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        self._set_path()
        before = self.cycle
        self.cycle = cycle = Cycle(
            scope=scope,
            transport=self.transport,  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive() and not state.draining,
            on_response=self.on_response_complete,
        )
        self.phase = Phase.BODY
        self.headers = _TRAILERS
        self._extra = 0
        if before is None or before.response_complete:
            self._start(cycle)
        else:
            self._queue(cycle)

    def _set_path(self) -> None:
        parsed = httptools.parse_url(self.url)
        raw_path = parsed.path
        if raw_path is None:
            raise _Fault("malformed", http_problem(400, "the request names no path"))
        path = raw_path.decode("ascii")
        if "%" in path:
            path = urllib.parse.unquote(path)
        scope, root = self.scope, self.root_path
        scope["path"] = root + path if root else path
        scope["raw_path"] = root.encode("ascii") + raw_path if root else raw_path
        scope["query_string"] = parsed.query or b""

    def on_body(self, body: bytes) -> None:
        """Keep it for the application; stop reading when much of it waits."""
        self._body += len(body)
        cycle = self.cycle
        assert cycle is not None
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self.phase == Phase.HEAD:
            return  # of an offer to upgrade, which `_decline` has parsed anew
        self.phase = Phase.BETWEEN
        cycle = self.cycle
        assert cycle is not None
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    # Requests, one after another.

    def _start(self, cycle: RequestResponseCycle) -> None:
        self.running = cycle
        self._task = task = self.loop.create_task(cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _queue(self, cycle: RequestResponseCycle) -> None:
        if len(self.pipeline) >= self.server_state.limits.pipelined:
            failure = http_problem(429, "too many requests wait on this connection: read answers first")
            self.phase, self.cycle = Phase.HEAD, self.pipeline[0][0]
            raise _Fault("too many pipelined requests", failure)
        self.flow.pause_reading()
        self.pipeline.appendleft((cycle, self.app))

    def on_response_complete(self) -> None:
        """Go on with the next request, if it has come already."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.pop()[0])
        elif self._last_words is not None:
            self._say(self._last_words)

    def last_answer(self) -> None:
        """The answer to what has been asked so far is the last on this connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    @property
    def busy(self) -> bool:
        """Tells whether a request of this connection is being answered."""
        return self.running is not None and not self.running.response_complete

    @property
    def idle(self) -> bool:
        """Tells whether closing this connection costs no request."""
        return (
            self.phase in {Phase.BETWEEN, Phase.REFUSED} and not self.busy and not self.transport.is_closing()
        )

    # Bounds.

    def _check_head(self, phase: int, begun: int) -> None:
        """Refuse an unfinished head that is too large; `phase` and `begun` are as before the last piece."""
        if begun == self.begun:
            self._head += self._piece
        elif phase == Phase.BETWEEN and self.begun == begun + 1:
            self._head = self._piece
        else:  # it began somewhere in the piece, behind other requests
            self._head = self._told()
        if self._head > self.server_state.limits.head_bytes:
            self.refuse("head too large", self._too_large())

    def _check_whole_head(self) -> None:
        limits = self.server_state.limits
        if self._told() > limits.head_bytes or len(self.headers) > limits.header_fields:
            raise _Fault("head too large", self._too_large())

    def _told(self) -> int:
        """Bytes of the current head that the parser has made out."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_large(self) -> Problem:
        limits = self.server_state.limits
        return http_problem(
            431,
            f"the request's line and headers are too large: this server takes {limits.head_bytes:,} bytes "
            f"and {limits.header_fields} headers at most",
        )

    def _malformed(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if isinstance(cause, _Fault):
            self.refuse(cause.reason, cause.failure)
            return
        if not isinstance(cause, (httptools.HttpParserError, UnicodeError)):
            log.error("request_not_read", exc_info=cause)
        self.refuse("malformed", http_problem(400, "this is no valid HTTP request"))

    def refuse(self, reason: str, failure: Problem) -> None:
        """Answer with `failure` as the last thing on this connection, and throw away what else comes."""
        self.server_state.dropped(reason)
        unread = self.cycle if self.phase == Phase.BODY else None  # a request of which not all has come
        self.phase = Phase.REFUSED
        self.parser = _DISCARD  # type: ignore[assignment]
        if unread is not None and not unread.response_complete:
            if unread.response_started:
                self.transport.abort()
                return
            unread.disconnected = True
            unread.waiting_for_100_continue = False
            unread.message_event.set()
            if unread is self.running:
                self.running = None
            else:
                self.pipeline.popleft()
        elif unread is not None:
            self.transport.close()  # it has its answer
            return
        words = self._words(failure)
        if self.busy:
            self._last_words = words
            self.flow.resume_reading()
        else:
            self._say(words)

    def _words(self, failure: Problem) -> bytes:
        failure = at_path(failure, self.url.decode("latin-1") if self.begun else "")
        headers = [*self.server_state.default_headers, *failure.headers, (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[failure.status], *lines, b"\r\n", failure.body])

    def _say(self, words: bytes) -> None:
        """Send the last answer; the rest of what the caller sends is read, so that he gets to read this."""
        if not self.transport.is_closing():
            self.transport.write(words)
            self.transport.write_eof()
            self.flow.resume_reading()
