"""The scoring route, `POST /api/{name}/{version}`: bare ASGI, because here every microsecond counts."""

from __future__ import annotations

import asyncio
from time import perf_counter
from urllib.parse import unquote

import structlog
from starlette.types import Receive, Scope, Send

from gristmill.calls import Answer
from gristmill.errors import Draining, InvalidInput
from gristmill.identity import Permission, Principal
from gristmill.services import Runtime
from gristmill.web.arrow import is_arrow
from gristmill.web.context import Context
from gristmill.web.problems import Problem, answer_to, http_problem, problem, respond
from gristmill.web.requests import LEFT, TWICE, Disconnected, announced, bearer, find, new_id, read_body

__all__ = ["Scoring", "failure_of", "log_call", "refusal", "segments"]

log = structlog.get_logger("gristmill.web")

_JSON = (b"content-type", b"application/json")
_ARROW = (b"content-type", b"application/vnd.apache.arrow.stream")
_ALLOW = [(b"allow", b"POST")]


def segments(scope: Scope) -> list[str]:
    """The path cut at its slashes and only then decoded, so that an encoded slash cuts nothing."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None or b"%" not in raw:
        path: str = scope["path"]
        return path.split("/")
    return [unquote(part) for part in raw.decode("latin-1").split("/")]


class Scoring:
    """Answers scoring calls: token, permission, service, body, dispatcher, and the bytes back as they are."""

    __slots__ = (
        "_bodies", "_cached", "_dispatcher", "_limit", "_logs", "_phase", "_realtime", "_registry", "_timing",
        "_verify",
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        self._cached = context.accounts.cached
        self._verify = context.accounts.verify
        self._registry = context.registry
        self._dispatcher = context.dispatcher
        self._realtime = context.realtime
        self._phase = context.phase
        self._limit = context.limits.body_bytes
        self._bodies = context.bodies
        self._logs = context.log_scoring
        self._timing = context.server_timing

    async def handle(  # noqa: PLR0915 - a coroutine more is a microsecond more for each call
        self, scope: Scope, receive: Receive, send: Send, name: str, version: str
    ) -> None:
        """Answer one request to a path of the scoring form, whatever its method."""
        authorization, length, kind, given_id = _headers(scope)
        request_id = new_id(given_id)
        started = perf_counter() if self._logs else 0.0
        caller: Principal | None = None
        outcome: Answer | Problem
        media = _JSON
        try:
            token = bearer(authorization)
            caller = self._cached(token) or await self._verify(token)
            if scope["method"] != "POST" or self._phase.draining:
                outcome = refusal(scope["method"])
            else:
                caller.require(Permission.SERVICES_CONSUME)
                if kind != _JSON[1] and is_arrow(kind):
                    media = _ARROW if find(scope["headers"], b"accept") == _ARROW[1] else _JSON
                    outcome = await self._run_arrow(receive, name, version, length, media)
                else:
                    outcome = await self._run(receive, name, version, length, caller.name)
        except (Disconnected, asyncio.CancelledError) as left:  # while sending, while waiting
            if self._logs:
                log_call("scored", started, LEFT, caller, name, version, request_id)
            if isinstance(left, Disconnected):
                return
            raise
        except Exception as error:  # noqa: BLE001  # whatever it was, the caller gets an answer
            outcome = failure_of("scoring_failed", error, name, version, request_id)
        if isinstance(outcome, Problem):
            await respond(send, outcome, (b"x-request-id", request_id))
        else:
            await self._send(send, outcome, media, request_id, scope)
        if self._logs:
            status = outcome.status if isinstance(outcome, Problem) else 200
            log_call("scored", started, status, caller, name, version, request_id)

    async def _run(
        self, receive: Receive, name: str, version: str, length: bytes | None, user: str
    ) -> Answer:
        service = await self._registry.find(name, version)
        if length is not None:
            announced(length, self._limit)
        body = await read_body(receive, self._limit, self._bodies)
        try:
            return await self._dispatcher.score(service, body, user=user)
        finally:
            self._bodies.done(body)

    async def _run_arrow(
        self, receive: Receive, name: str, version: str, length: bytes | None, media: tuple[bytes, bytes]
    ) -> Answer:
        """Arrow IPC in, and JSON or a stream of Arrow out."""
        service = await self._registry.find(name, version)
        if service.runtime is not Runtime.REALTIME:
            raise InvalidInput(f"{name} {version} is no realtime service, and takes JSON: not Arrow data")
        announced(length, self._limit)
        body = await read_body(receive, self._limit, self._bodies)
        # Imported here: a server without realtime services has no use for numpy.
        from gristmill.realtime import arrow

        try:
            call = arrow.ArrowCall(body, arrow=media is _ARROW)
            return await self._realtime.score_call(service, call, body, call.encode)
        finally:
            self._bodies.done(body)

    async def _send(
        self, send: Send, answer: Answer, media: tuple[bytes, bytes], request_id: bytes, scope: Scope
    ) -> None:
        headers = [media, (b"content-length", b"%d" % len(answer.body)), (b"x-request-id", request_id)]
        if self._timing or b"timing" in scope["query_string"]:
            headers.append((b"server-timing", _server_timing(answer)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def log_call(
    event: str,
    started: float,
    status: int,
    caller: Principal | None,
    name: str,
    version: str | None,
    request_id: bytes,
) -> None:
    """The log's event of one call, by whichever route it came; `started` as `perf_counter` has it."""
    log.info(
        event,
        service=name,
        version=version,
        status=status,
        ms=round((perf_counter() - started) * 1000, 3),
        user=None if caller is None else caller.name,
        request_id=request_id.decode(),
    )


def _headers(scope: Scope) -> tuple[bytes | None, bytes | None, bytes | None, bytes | None]:
    """Authorization, Content-Length, Content-Type and X-Request-Id, in one pass."""
    authorization = length = kind = request_id = None
    for key, value in scope["headers"]:
        if key == b"authorization":
            authorization = value if authorization is None else TWICE
        elif key == b"content-length":
            length = value
        elif key == b"content-type":
            kind = value
        elif key == b"x-request-id":
            request_id = value
    return authorization, length, kind, request_id


def failure_of(event: str, error: Exception, name: str, version: str | None, request_id: bytes) -> Problem:
    """The answer to a call that raised; what nobody foresaw is logged as `event`."""
    answer, foreseen = answer_to(error, request_id.decode())
    if not foreseen:
        log.error(event, service=name, version=version, request_id=request_id.decode(), exc_info=error)
    return answer


def refusal(method: str) -> Problem:
    """Of a call that is not to be scored at all: the wrong method, or a server that is shutting down."""
    if method == "POST":
        return problem(Draining("the server is shutting down; try again in a moment", retry_after=1.0))
    if method == "OPTIONS":
        return Problem(204, _ALLOW, b"")
    return http_problem(405, f"{method} is not possible here: a service is called by POST", _ALLOW)


def _server_timing(answer: Answer) -> bytes:
    """Stage times as the Server-Timing header has them, in milliseconds."""
    return ", ".join(
        f"{stage};dur={micros / 1000:.3f}" for stage, micros in answer.times._asdict().items()
    ).encode()
