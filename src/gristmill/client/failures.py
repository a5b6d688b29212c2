"""Answers that are refusals → errors of the one tree, naming what they are about."""

from __future__ import annotations

import json
import re
from typing import Any

from gristmill.client import errors
from gristmill.client.errors import GristmillError, UnexpectedAnswer
from gristmill.client.wire import Answer

__all__ = ["failure"]

#: Where the server's own name for the error is none of ours: an ML Server, or something between.
_BY_STATUS: dict[int, type[GristmillError]] = {
    400: errors.InvalidInput,
    401: errors.NotAuthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.Gone,
    413: errors.TooLarge,
    422: errors.InvalidInput,
    429: errors.TooManyAttempts,
    501: errors.NotSupported,
    503: errors.Overloaded,
    504: errors.TimedOut,
    507: errors.Overloaded,
}
_MISFIT = re.compile(
    r"\binput '(?P<parameter>[^']+)'(?:: expected (?P<expected>.+), got (?P<got>.+))?", re.DOTALL
)


def failure(answer: Answer, what: str = "", *, service: str = "") -> GristmillError:
    """The error that an answer other than a success stands for.

    `what` tells in a few words what was being done; `service` is the name and version that it was done to.
    """
    body = _body(answer)
    message = body.get("message")
    kind = getattr(errors, str(body.get("exceptionType")), None)
    if not (isinstance(kind, type) and issubclass(kind, GristmillError)):
        kind = _BY_STATUS.get(answer.status, GristmillError if body else UnexpectedAnswer)
    if not message:
        shown = answer.content[:120].decode("utf-8", "replace").strip()
        message = f"status {answer.status}" + (f": {shown}" if shown else "")
    before = ": ".join(part for part in (service, what) if part)
    error = _made(kind, f"{before}: {message}" if before else str(message))
    error.service = service or None
    wait = _seconds(answer)
    if wait is not None:
        error.retry_after = wait
    found = _MISFIT.search(str(message))
    if found:
        error.parameter, error.expected, error.got = found["parameter"], found["expected"], found["got"]
    return error


def _made(kind: type[Any], message: str) -> GristmillError:
    error: GristmillError = kind(message)
    return error


def _body(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(answer: Answer) -> float | None:
    try:
        return float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
