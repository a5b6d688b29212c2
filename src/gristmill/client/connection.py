"""One server: every request goes through here, with its token, its retries and its errors."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import quote

from gristmill.client.errors import NotAuthenticated, UnexpectedAnswer, Unreachable
from gristmill.client.failures import failure
from gristmill.client.login import Login
from gristmill.client.wire import Answer, Request, Wire

__all__ = ["JSON", "Connection", "path_of", "to_json"]

JSON = {"Content-Type": "application/json"}
#: Waits between attempts, seconds: the first, and none is longer than the last, whatever the server asks for.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 30.0
#: The server says with these that the call was begun, so that a repeat would be a second run.
_BEGUN = (b'"ShellDied"', b'"LimitExceeded"')


def path_of(*segments: str) -> str:
    """A path of segments, each quoted whole: a slash inside a name cuts nothing."""
    return "".join("/" + quote(segment, safe="") for segment in segments)


def to_json(value: Any) -> bytes:
    """Compact JSON; raises ValueError for NaN and infinite numbers."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class Connection:
    """A server, and who we are to it.

    Repeated, with growing waits or after the server's `Retry-After`, is only what cannot have been carried
    out: connections that were refused, and status 429 or 503 before a run began.
    """

    def __init__(self, url: str, wire: Wire, login: Login, *, retries: int = 4) -> None:
        self.url = url
        self.wire = wire
        self.login = login
        self._retries = retries

    async def ask(
        self, method: str, path: str, body: Any = None, *, what: str = "", service: str = ""
    ) -> Any:
        """The JSON of a successful answer to JSON; raises any error of the tree."""
        sent = Request(method, path) if body is None else Request(method, path, JSON, to_json(body))
        answer = await self.send(sent, what=what, service=service)
        return self.parsed(answer)

    async def send(self, request: Request, *, what: str = "", service: str = "") -> Answer:
        """A successful answer; raises any error of the tree."""
        attempt = 0
        while True:
            try:
                answer = await self._authorized(request)
            except Unreachable as error:
                wait = _wait(attempt) if error.unsent else None
                if wait is None or attempt >= self._retries:
                    raise
            else:
                if answer.status < 400:
                    return answer
                wait = _wait_after(answer, attempt)
                if wait is None or attempt >= self._retries:
                    raise failure(answer, what, service=service)
            attempt += 1
            await self.wire.sleep(wait)

    def parsed(self, answer: Answer) -> Any:
        """The JSON of an answer."""
        try:
            return json.loads(answer.content)
        except ValueError:
            raise UnexpectedAnswer(f"{self.url} answered with something that is not JSON") from None

    async def _authorized(self, request: Request) -> Answer:
        """The answer with our token; if it is refused, once more with a renewed one."""
        token = self.login.token
        if token is None:
            raise self.login.hint()
        answer = await self.wire.send(_signed(request, token))
        if answer.status != 401:
            return answer
        if not await self.login.renew(self.wire, token):
            raise NotAuthenticated(f"{failure(answer)}. {self.login.hint()}")
        return await self.wire.send(_signed(request, self.login.token or ""))


def _signed(request: Request, token: str) -> Request:
    return request._replace(headers={**request.headers, "Authorization": f"Bearer {token}"})


def _wait(attempt: int) -> float:
    """Seconds before the next attempt: doubling, and spread so that many clients do not come at once."""
    return float(min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt) * random.uniform(0.7, 1.3))


def _wait_after(answer: Answer, attempt: int) -> float | None:
    """Seconds after which to repeat what was refused, or None if that is no use or not safe."""
    if answer.status not in {429, 503} or any(kind in answer.content for kind in _BEGUN):
        return None
    asked = answer.headers.get("retry-after")
    if asked is None:
        return None
    try:
        seconds = float(asked)
    except ValueError:
        return None
    return max(seconds, _wait(attempt)) if seconds <= _LONGEST_WAIT else None
