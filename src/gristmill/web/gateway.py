"""The outermost callable: scoring goes straight through, the rest is authenticated and then FastAPI's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from time import perf_counter

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gristmill.errors import Draining
from gristmill.identity import Principal
from gristmill.web.context import Context
from gristmill.web.endpoints import CALLER
from gristmill.web.problems import answer_to, at_path, respond
from gristmill.web.requests import LEFT, REQUEST_ID, TWICE, Disconnected, authorization, bearer, find, new_id
from gristmill.web.scoring import Scoring, segments
from gristmill.web.v2 import Inferring, infer_target

__all__ = ["Gateway", "calls_a_service"]

log = structlog.get_logger("gristmill.web")


def calls_a_service(scope: Scope) -> bool:
    """Tells whether a request is a scoring call, which is given up when its caller leaves.

    All else goes on: a write whose caller has left is still a write that somebody asked for.
    """
    if scope["path"].startswith("/api/"):
        return len(segments(scope)) == 4
    return infer_target(scope) is not None


class _Outgoing:
    """`send` that adds the request id, notes the status, and leaves the body of an answer to HEAD out."""

    __slots__ = ("_head", "_id", "_send", "status")

    def __init__(self, send: Send, request_id: bytes, *, head: bool) -> None:
        self._send = send
        self._id = request_id
        self._head = head
        self.status = 0  #: 0 until the response has started

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self._id)]
        elif self._head:
            message = {**message, "body": b""}
        await self._send(message)


class Gateway:
    """Who calls is settled here, before anything is looked up: no token, no 404 and no 400."""

    def __init__(self, context: Context, core: ASGIApp, public: Sequence[re.Pattern[str]]) -> None:
        self._context = context
        self._core = core
        self._public = public
        self._score = Scoring(context).handle
        self._infer = Inferring(context).handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass the server's start and end on."""
        if scope["type"] == "http":
            if scope["path"].startswith("/api/"):
                parts = segments(scope)
                if len(parts) == 4:
                    await self._score(scope, receive, send, parts[2], parts[3])
                    return
            elif (target := infer_target(scope)) is not None:
                await self._infer(scope, receive, send, *target)
                return
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._core(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        request_id = new_id(find(scope["headers"], b"x-request-id"))
        method: str = scope["method"]
        inner = {**scope, "method": "GET" if method == "HEAD" else method, REQUEST_ID: request_id.decode()}
        outgoing = _Outgoing(send, request_id, head=method == "HEAD")
        try:
            inner[CALLER] = await self._admit(scope)
            await self._core(inner, receive, outgoing)
        except Disconnected:
            outgoing.status = LEFT
        except Exception as error:
            answer, foreseen = answer_to(error, request_id.decode())
            if not foreseen or outgoing.status:
                log.error("request_failed", method=method, request_id=request_id.decode(), exc_info=error)
            if not outgoing.status:
                await respond(outgoing, at_path(answer, scope["path"]))
        if not scope["path"].startswith("/health/"):  # probes ask every second or two, and learn nothing new
            _log(inner, method, outgoing.status, started)

    async def _admit(self, scope: Scope) -> Principal | None:
        """Who calls, None on a public path. Raises NotAuthenticated, InvalidInput and Draining."""
        path: str = scope["path"]
        caller = None
        given = authorization(scope["headers"])
        if given is TWICE or not any(pattern.match(path) for pattern in self._public):
            token = bearer(given)
            accounts = self._context.accounts
            caller = accounts.cached(token) or await accounts.verify(token)
        if self._context.phase.draining and not path.startswith("/health/"):
            raise Draining("the server is shutting down; try again in a moment", retry_after=1.0)
        return caller


def _log(scope: Scope, method: str, status: int, started: float) -> None:
    """One event for a request; its path as the route has it, so that no token or name of a file shows."""
    caller = scope.get(CALLER)
    log.info(
        "request",
        method=method,
        path=getattr(scope.get("route"), "path", None),
        status=status,
        ms=round((perf_counter() - started) * 1000, 2),
        user=caller.name if caller is not None else None,
        request_id=scope[REQUEST_ID],
    )
