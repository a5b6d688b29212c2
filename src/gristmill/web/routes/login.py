"""Authentication: the only operations of the API that need no token."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from gristmill.web import render
from gristmill.web.endpoints import Ctx, Parsed, Table
from gristmill.web.models import LoginRequest, RenewTokenRequest, Tokens

__all__ = ["table"]

table = Table("Authentication")
_Login = Annotated[LoginRequest, Depends(Parsed(LoginRequest, limit="login_bytes"))]
_Renew = Annotated[RenewTokenRequest, Depends(Parsed(RenewTokenRequest, limit="login_bytes"))]


@table.add(
    "POST",
    "/login",
    allow="public",
    operation_id="login",
    summary="Log in",
    body=LoginRequest,
    answer=Tokens,
)
async def login(context: Ctx, body: _Login, request: Request) -> Response:
    """Gives a pair of tokens. Repeated failures make the next attempts wait: 429 with `Retry-After`."""
    client = request.client.host if request.client else None
    return render.tokens(await context.accounts.login(body.username, body.password, client=client))


@table.add(
    "POST",
    "/login/refreshToken",
    allow="public",
    operation_id="renewToken",
    summary="Renew the tokens",
    body=RenewTokenRequest,
    answer=Tokens,
)
async def renew(context: Ctx, body: _Renew) -> Response:
    """Gives a new pair; the refresh token that was sent, and the access token of its pair, are dead."""
    return render.tokens(await context.accounts.refresh(body.refresh_token))


@table.add(
    "DELETE",
    "/login/refreshToken",
    allow="public",
    operation_id="revokeRefreshToken",
    summary="Log out",
    answer=dict[str, str],
)
async def revoke(context: Ctx, refreshToken: str) -> Response:  # noqa: N803  # the name in the protocol
    """Revokes a refresh token and the access token of its pair."""
    await context.accounts.revoke(refreshToken)
    return render.json({})


@table.add(
    "DELETE",
    "/login/refreshToken/{refreshToken}",
    allow="public",
    operation_id="revokeRefreshTokenByPath",
    summary="Log out, as older clients do",
    answer=dict[str, str],
)
async def revoke_by_path(context: Ctx, refreshToken: str) -> Response:  # noqa: N803
    """The same with the token in the path."""
    await context.accounts.revoke(refreshToken)
    return render.json({})
