"""One server: every request goes through here, with its token, its retries and its errors."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from gristmill.client.errors import NotAuthenticated, UnexpectedAnswer
from gristmill.client.failures import failure
from gristmill.client.login import Login
from gristmill.client.retrying import Retrying
from gristmill.client.wire import Answer, Request, Wire

__all__ = ["JSON", "Connection", "path_of", "to_json"]

JSON = {"Content-Type": "application/json"}


def path_of(*segments: str) -> str:
    """A path of segments, each quoted whole: a slash inside a name cuts nothing."""
    return "".join("/" + quote(segment, safe="") for segment in segments)


def to_json(value: Any) -> bytes:
    """Compact JSON; raises ValueError for NaN and infinite numbers."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class Connection:
    """A server, and who we are to it; what is sent again, and when, is `Retrying`'s to say."""

    def __init__(self, url: str, wire: Wire, login: Login, retrying: Retrying) -> None:
        self.url = url
        self.wire = wire
        self.login = login
        self._retrying = retrying

    async def ask(
        self, method: str, path: str, body: Any = None, *, what: str = "", service: str = ""
    ) -> Any:
        """The JSON of a successful answer to JSON; raises any error of the tree."""
        sent = Request(method, path) if body is None else Request(method, path, JSON, to_json(body))
        answer = await self.send(sent, what=what, service=service)
        return self.parsed(answer)

    async def send(self, request: Request, *, what: str = "", service: str = "") -> Answer:
        """A successful answer; raises any error of the tree."""
        answer = await self._retrying.send(
            self.wire, lambda: self._authorized(request), repeatable=request.repeatable
        )
        if answer.status >= 400:
            raise failure(answer, what, service=service)
        return answer

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
