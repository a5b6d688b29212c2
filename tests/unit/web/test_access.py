"""Deny by default: every route, every method."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.responses import Response

from gristmill.identity import Permission
from gristmill.web.app import access_of, create_core
from gristmill.web.endpoints import Endpoint
from tests.unit.web.fakes import Server

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
BROKEN = [
    None,
    "Bearer",
    "Bearer  ",
    "Basic YTpi",
    "Bearer a.b.c",
    "token-admin",
    "Bearer token-admin x",
    "\xff",
]
NOWHERE = [
    "/",
    "/nothing",
    "/services/",
    "/api",
    "/api/x",
    "/api/x/y/z",
    "/login/x",
    "/docsx",
    "/health",
    "/%00",
]


def protected_paths() -> list[str]:
    core = create_core(Server().context())
    routes = [route for route in core.routes if isinstance(route, APIRoute) and access_of(route) != "public"]
    paths = {re.sub(r"\{[^}]*\}", "x", route.path) for route in routes}
    bare = {"/api/bos-rf/1.0.0", "/v2/models/bos-rf/infer", "/v2/models/bos-rf/versions/1.0.0/infer"}
    return sorted(paths | bare) + NOWHERE


@pytest.mark.parametrize("authorization", BROKEN)
async def test_without_a_valid_token_everything_is_401(server: Server, authorization: str | None) -> None:
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    async with server.client(None) as client:
        for path in protected_paths():
            for method in METHODS:
                answer = await client.request(method, path, headers=headers, content=b"{")
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
                if method != "HEAD":
                    assert answer.json()["exceptionType"] == "NotAuthenticated"


def test_what_is_public_is_this_and_no_more(server: Server) -> None:
    core = create_core(server.context())
    routes = [route for route in core.routes if isinstance(route, APIRoute)]
    public = {route.path for route in routes if access_of(route) == "public"}
    assert public == {
        "/login",
        "/login/refreshToken",
        "/login/refreshToken/{refreshToken}",
        "/health/live",
        "/health/ready",
        "/docs",
        "/docs/{asset}",
        "/openapi.json",
        "/v2/health/live",
        "/v2/health/ready",
    }


async def test_a_role_without_the_permission_is_refused(server: Server) -> None:
    async with server.client("rea") as reader:
        for method, path in [
            ("POST", "/services/x"),
            ("PATCH", "/services/bos-rf/1.0.0"),
            ("DELETE", "/services/bos-rf/1.0.0"),
            ("GET", "/sessions"),
            ("GET", "/snapshots"),
            ("GET", "/computenodes"),
        ]:
            answer = await reader.request(method, path, json={"code": "1"})
            assert (answer.status_code, answer.json()["exceptionType"]) == (403, "Forbidden"), path
        assert (await reader.get("/services")).status_code == 200
        assert (await reader.post("/api/bos-rf/1.0.0", content=b"{}")).status_code == 200


async def test_the_authorization_header_is_read_leniently(server: Server) -> None:
    async with server.client(None) as client:
        for header in ["bearer token-ann", "BEARER   token-ann  ", " Bearer\ttoken-ann"]:
            answer = await client.get("/services", headers={"Authorization": header.replace("\t", " ")})
            assert answer.status_code == 200, header


def test_a_route_that_names_no_permission_stops_the_start(server: Server) -> None:
    app = FastAPI()
    app.add_api_route("/open", lambda: None)
    for route in [app.routes[-1], app.routes[0]]:
        with pytest.raises(RuntimeError, match="names no permission"):
            access_of(route)


async def test_a_handler_reached_without_a_caller_is_denied(server: Server) -> None:
    async def handler() -> Response:
        raise AssertionError("was reached")

    endpoint = Endpoint(
        method="GET",
        path="/x",
        handler=handler,
        allow=Permission.SERVICES_READ,
        operation_id="x",
        tag="x",
        summary="x",
        status=200,
        answer=str,
        body=None,
    )
    server_without_gateway = Server()
    core = create_core(server_without_gateway.context(), [endpoint])
    import httpx

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=core), base_url="http://x") as client:
        assert (await client.get("/x")).status_code == 401


async def test_operations_that_come_later_answer_501_once_the_caller_is_known(server: Server) -> None:
    async with server.client("admin") as client:
        answer = await client.get("/computenodes")
        assert (answer.status_code, answer.json()["exceptionType"]) == (501, "NotSupported")
