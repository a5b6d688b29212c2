"""Inference requests of the Open Inference Protocol (V2): bare ASGI, beside the scoring route."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter

import structlog
from starlette.types import Receive, Scope, Send

from gristmill.errors import InvalidInput, NotFound
from gristmill.identity import Permission
from gristmill.registry import Registry
from gristmill.services import Runtime, ServiceVersion
from gristmill.web.context import Context
from gristmill.web.problems import Headers, Problem, at_path, respond
from gristmill.web.requests import LEFT, Disconnected, announced, authorization, bearer, new_id, read_body
from gristmill.web.scoring import failure_of, log_call, refusal, segments

__all__ = ["Inferring", "find_model", "infer_target", "newest"]

log = structlog.get_logger("gristmill.web")

_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_JSON_LENGTH = b"inference-header-content-length"


def infer_target(scope: Scope) -> tuple[str, str | None] | None:
    """Name and version (None: the newest) of `/v2/models/{name}[/versions/{version}]/infer`, else None."""
    path: str = scope["path"]
    if not (path.startswith("/v2/models/") and path.endswith("/infer")):
        return None
    parts = segments(scope)
    if len(parts) == 5:
        return parts[3], None
    if len(parts) == 7 and parts[4] == "versions":
        return parts[3], parts[5]
    return None


def newest(services: Iterable[ServiceVersion]) -> ServiceVersion | None:
    """The realtime service that was published last."""
    return max((s for s in services if s.runtime is Runtime.REALTIME), key=lambda s: s.created, default=None)


async def find_model(registry: Registry, name: str, version: str | None) -> ServiceVersion:
    """The realtime service; without a version the newest. Raises NotFound; InvalidInput if it is another.

    What is not known here may just have been published by another node.
    """
    if version is not None:
        found = await registry.find(name, version)
        if found.runtime is not Runtime.REALTIME:
            raise InvalidInput(
                f"{name} {version} is no realtime service: call it by POST /api/{name}/{version}"
            )
        return found
    last = newest(registry.versions(name)) or newest(await registry.listed(name))
    if last is None:
        raise NotFound(f"there is no realtime service {name!r}")
    return last


class Inferring:
    """Answers inference requests: token, permission, model, tensors in and out."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._accounts = context.accounts

    async def handle(  # noqa: PLR0915 - as that of scoring
        self, scope: Scope, receive: Receive, send: Send, name: str, version: str | None
    ) -> None:
        """Answer one request to a path of `infer_target`, whatever its method."""
        # Reversed, so that of a header that came twice the first one counts, as everywhere.
        headers = dict(reversed(scope["headers"]))
        request_id = new_id(headers.get(b"x-request-id"))
        started = perf_counter()
        caller = None
        failure: Problem | None = None
        body, extra = b"", Headers()
        try:
            token = bearer(authorization(scope["headers"]))
            caller = self._accounts.cached(token) or await self._accounts.verify(token)
            if scope["method"] != "POST" or self._context.phase.draining:
                failure = refusal(scope["method"])
            else:
                caller.require(Permission.SERVICES_CONSUME)
                body, extra = await self._infer(receive, headers, name, version)
        except (Disconnected, asyncio.CancelledError) as left:  # while sending, while waiting
            if self._context.log_scoring:
                log_call("inferred", started, LEFT, caller, name, version, request_id)
            if isinstance(left, Disconnected):
                return
            raise
        except Exception as error:  # noqa: BLE001  # whatever it was, the caller gets an answer
            failure = failure_of("infer_failed", error, name, version, request_id)
        if failure is not None:
            await respond(send, at_path(failure, scope["path"]), (b"x-request-id", request_id))
        else:
            sent = [*extra, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id)]
            await send({"type": "http.response.start", "status": 200, "headers": sent})
            await send({"type": "http.response.body", "body": body})
        if self._context.log_scoring:
            status = 200 if failure is None else failure.status
            log_call("inferred", started, status, caller, name, version, request_id)

    async def _infer(
        self, receive: Receive, headers: dict[bytes, bytes], name: str, version: str | None
    ) -> tuple[bytes, Headers]:
        """Body and headers of the answer."""
        service = await find_model(self._context.registry, name, version)
        limit = self._context.limits.body_bytes
        announced(headers.get(b"content-length"), limit)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise InvalidInput("this server takes no compressed bodies: send them as they are")
        body = await read_body(receive, limit, self._context.bodies)
        # Imported here: a server without realtime services has no use for numpy.
        from gristmill.realtime.inference import Inference

        try:
            call = Inference(body, headers.get(_JSON_LENGTH), service.name, service.version)
            answer = await self._context.realtime.score_call(service, call, body, call.encode)
        finally:
            self._context.bodies.done(body)
        if call.json_length is None:
            return answer.body, [_JSON]
        return answer.body, [_BINARY, (_JSON_LENGTH, b"%d" % call.json_length)]
