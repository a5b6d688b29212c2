"""Errors → HTTP: the status of each, and the body `{"message", "link", "exceptionType"}`."""

from __future__ import annotations

import math
from http import HTTPStatus

import msgspec
from starlette.types import Send

from gristmill import errors
from gristmill.disk import explained
from gristmill.ports import DatabaseDamaged, StateUnavailable, StorageFull

__all__ = [
    "STATUS",
    "Headers",
    "Problem",
    "answer_to",
    "at_path",
    "http_problem",
    "problem",
    "respond",
    "unexpected",
]

Headers = list[tuple[bytes, bytes]]

STATUS: dict[type[errors.GristmillError], HTTPStatus] = {
    errors.GristmillError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.RuntimeUnavailable: HTTPStatus.BAD_REQUEST,
    errors.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.QuotaExceeded: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Gone: HTTPStatus.GONE,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    errors.NotSupported: HTTPStatus.NOT_IMPLEMENTED,
    errors.Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.TooManyCalls: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Draining: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ShellDied: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CallEndedShell: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.LimitExceeded: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.TimedOut: HTTPStatus.GATEWAY_TIMEOUT,
    StateUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseDamaged: HTTPStatus.SERVICE_UNAVAILABLE,
    StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
}

#: Where a person finds what each answer means.
LINK = "/docs"
_JSON = (b"content-type", b"application/json")


class Problem(msgspec.Struct, frozen=True):
    """An error as it goes over the wire."""

    status: int
    headers: Headers
    body: bytes


def problem(error: errors.GristmillError) -> Problem:
    """The answer to an error of ours; a class without a row of its own goes by its nearest ancestor's."""
    status = next(STATUS[ancestor] for ancestor in type(error).__mro__ if ancestor in STATUS)
    extra: Headers = []
    if error.retry_after is not None:
        extra.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if status is HTTPStatus.UNAUTHORIZED:
        extra.append((b"www-authenticate", b"Bearer"))
    return _build(status, error.message, type(error).__name__, extra)


def http_problem(status: int, message: str, extra: Headers | None = None) -> Problem:
    """The answer to what the web layer itself refuses, such as an unknown path."""
    name = "".join(word.capitalize() for word in HTTPStatus(status).name.split("_"))
    return _build(status, message, name, extra or [])


def unexpected(reference: str) -> Problem:
    """The answer to a defect of ours: nothing of its nature, but an id to find it in the log by."""
    message = (
        "Something went wrong in the server, and it has been logged. "
        f"Please give this reference to its administrator: {reference}"
    )
    return _build(HTTPStatus.INTERNAL_SERVER_ERROR, message, "InternalError", [])


def answer_to(error: Exception, reference: str) -> tuple[Problem, bool]:
    """The answer to any error, and whether it is foreseen: else it is a defect to be logged with `reference`.

    Disks fail in any place that touches one: what is full is 507, what cannot be read or written now 503.
    """
    ours = error if isinstance(error, errors.GristmillError) else explained(error)
    return (unexpected(reference), False) if ours is None else (problem(ours), True)


def at_path(failure: Problem, path: str) -> Problem:
    """The same as clients of the Open Inference Protocol read it, below /v2: with the message as `error`."""
    if not (path == "/v2" or path.startswith("/v2/")) or not failure.body:
        return failure
    fields = msgspec.json.decode(failure.body)
    body = msgspec.json.encode({"error": fields["message"], **fields})
    length = (b"content-length", b"%d" % len(body))
    return Problem(failure.status, [length if h[0] == length[0] else h for h in failure.headers], body)


async def respond(send: Send, failure: Problem, *extra: tuple[bytes, bytes]) -> None:
    """Send an error as a whole response, with further headers."""
    headers = [*failure.headers, *extra]
    await send({"type": "http.response.start", "status": failure.status, "headers": headers})
    await send({"type": "http.response.body", "body": failure.body})


def _build(status: int, message: str, name: str, extra: Headers) -> Problem:
    body = msgspec.json.encode({"message": _clean(message), "link": LINK, "exceptionType": name})
    headers = [_JSON, (b"content-length", b"%d" % len(body)), *extra]
    return Problem(int(status), headers, body)


def _clean(message: str) -> str:
    """`message` with what UTF-8 cannot carry replaced: it may quote what a caller sent."""
    return message.encode("utf-8", "replace").decode("utf-8")
