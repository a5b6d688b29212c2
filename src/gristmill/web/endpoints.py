"""How an operation of the core API is declared: nothing is reachable before it names its permission."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from gristmill.errors import InvalidInput, NotAuthenticated
from gristmill.identity import Permission, Principal
from gristmill.web.context import Context
from gristmill.web.requests import announced, find, read_body

__all__ = [
    "CALLER",
    "Access",
    "Allowed",
    "Caller",
    "Ctx",
    "Endpoint",
    "Handler",
    "Parsed",
    "Table",
    "describe_invalid",
]

Handler = Callable[..., Awaitable[Response]]
Access = Permission | Literal["public"]
_H = TypeVar("_H", bound=Handler)
#: Key of the ASGI scope under which the gateway leaves who calls.
CALLER = "gristmill.caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation, as it is registered and documented."""

    method: str
    path: str
    handler: Handler
    allow: Access
    operation_id: str
    tag: str
    summary: str
    status: int  #: of a success
    answer: Any  #: model of a success, or the media type of a file
    body: type[BaseModel] | str | None  #: model of the request, or the media type of what is sent


class Table(list[Endpoint]):
    """The operations of one group; its methods decorate their handlers."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self._tag = tag

    def add(
        self,
        method: str,
        path: str,
        *,
        allow: Access,
        operation_id: str,
        summary: str,
        status: int = 200,
        answer: Any = str,
        body: type[BaseModel] | str | None = None,
    ) -> Callable[[_H], _H]:
        """Register the decorated handler. `allow` has no default on purpose."""

        def register(handler: _H) -> _H:
            self.append(
                Endpoint(
                    method=method,
                    path=path,
                    handler=handler,
                    allow=allow,
                    operation_id=operation_id,
                    tag=self._tag,
                    summary=summary,
                    status=status,
                    answer=answer,
                    body=body,
                )
            )
            return handler

        return register


class Allowed:
    """The dependency that lets only callers with the permission through."""

    def __init__(self, access: Access) -> None:
        self.access = access

    async def __call__(self, request: Request) -> None:
        """Raises Forbidden, NotAuthenticated."""
        if isinstance(self.access, Permission):
            (await _caller(request)).require(self.access)


async def _caller(request: Request) -> Principal:
    caller = request.scope.get(CALLER)
    if not isinstance(caller, Principal):
        raise NotAuthenticated("this needs a token: send 'Authorization: Bearer <access_token>'")
    return caller


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Caller = Annotated[Principal, Depends(_caller)]
Ctx = Annotated[Context, Depends(_context)]


class Parsed:
    """The dependency that reads a body of JSON into a model; `{}` stands for an empty body if that may be."""

    def __init__(
        self, model: type[BaseModel], *, limit: Literal["body_bytes", "login_bytes"] = "body_bytes"
    ) -> None:
        self._model = model
        self._limit = limit

    async def __call__(self, request: Request) -> BaseModel:
        """The model of what was sent. Raises InvalidInput, TooLarge."""
        context: Context = request.app.state.context
        limit: int = getattr(context.limits, self._limit)
        announced(find(request.scope["headers"], b"content-length"), limit)
        raw = await read_body(request.receive, limit, context.bodies)
        try:
            return self._model.model_validate_json(raw.strip() or b"{}")
        except ValidationError as error:
            raise InvalidInput(
                describe_invalid(error.errors(include_url=False, include_input=False))
            ) from None
        finally:
            context.bodies.done(raw)


def describe_invalid(details: Any, skip: int = 0) -> str:
    """What pydantic found, field by field, without the values that were sent; `skip` leading path parts."""
    found = []
    for detail in details[:5]:
        where = ""
        for part in detail["loc"][skip:]:
            where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
        found.append(f"{where or 'the body'}: {detail['msg']}")
    more = len(details) - len(found)
    return "; ".join(found) + (f"; and {more} more" if more > 0 else "")
