"""The ASGI application: a gateway that knows who calls, the scoring route, and FastAPI for all the rest."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gristmill.errors import GristmillError, InvalidInput
from gristmill.identity import Permission
from gristmill.web.context import Context
from gristmill.web.endpoints import Allowed, Endpoint, describe_invalid
from gristmill.web.gateway import Gateway
from gristmill.web.openapi import document
from gristmill.web.problems import Problem, answer_to, at_path, http_problem, problem, unexpected
from gristmill.web.requests import LEFT, REQUEST_ID, Disconnected
from gristmill.web.routes import TABLES

__all__ = ["access_of", "create_app", "create_core"]


def create_app(context: Context) -> ASGIApp:
    """The application as the HTTP server runs it."""
    core = create_core(context)
    public = [
        route.path_regex
        for route in core.routes
        if isinstance(route, APIRoute) and access_of(route) == "public"
    ]
    gateway = Gateway(context, core, public)
    if not context.cors_origins:
        return gateway
    return CORSMiddleware(
        gateway,
        allow_origins=context.cors_origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
        expose_headers=["X-Request-Id", "Retry-After", "Location", "Content-Disposition", "Server-Timing"],
    )


def create_core(context: Context, endpoints: Iterable[Endpoint] | None = None) -> FastAPI:
    """FastAPI with every operation but scoring. Raises RuntimeError if one does not name its permission."""
    listed = [endpoint for table in TABLES for endpoint in table] if endpoints is None else list(endpoints)
    app = FastAPI(title="Gristmill", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.context = context
    for endpoint in listed:
        _register(app, endpoint)
    for route in app.routes:
        access_of(route)
    app.add_exception_handler(GristmillError, _on_error)
    app.add_exception_handler(OSError, _on_os_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_unexpected)
    described: dict[str, object] = {}

    def openapi() -> dict[str, object]:
        if not described:
            described.update(document(app, listed))
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
    return app


def access_of(route: BaseRoute) -> Permission | str:
    """The permission that a route asks for, or `public`. Raises RuntimeError if it names none."""
    if isinstance(route, APIRoute):
        named = [d.dependency.access for d in route.dependencies if isinstance(d.dependency, Allowed)]
        if len(named) == 1:
            return named[0]
    raise RuntimeError(f"{route!r} names no permission: declare it in a Table of gristmill.web.routes")


def _register(app: FastAPI, endpoint: Endpoint) -> None:
    app.add_api_route(
        endpoint.path,
        endpoint.handler,
        methods=[endpoint.method],
        dependencies=[Depends(Allowed(endpoint.allow))],
        operation_id=endpoint.operation_id,
        tags=[endpoint.tag],
        summary=endpoint.summary,
        status_code=endpoint.status,
        response_class=Response,
        response_model=None,
    )


def _response(request: Request, failure: Problem) -> Response:
    answer = at_path(failure, request.scope["path"])
    response = Response(answer.body, answer.status)
    response.raw_headers = list(answer.headers)
    return response


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GristmillError)
    if isinstance(error, Disconnected):
        return Response(status_code=LEFT)
    return _response(request, problem(error))


async def _on_os_error(request: Request, error: Exception) -> Response:
    """What a disk refuses is no defect; everything else of this class is."""
    answer, foreseen = answer_to(error, request.scope[REQUEST_ID])
    if not foreseen:
        raise error
    return _response(request, answer)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _response(request, problem(InvalidInput(describe_invalid(error.errors(), skip=1))))


async def _on_http(request: Request, error: Exception) -> Response:
    """What Starlette refuses: an unknown path, another method, a malformed form."""
    assert isinstance(error, HTTPException)
    path = request.scope["path"][:200]
    if error.status_code == 405:
        allow = [(b"allow", ", ".join(_methods(request)).encode())]
        if request.method == "OPTIONS":
            return _response(request, Problem(204, allow, b""))
        return _response(request, http_problem(405, f"{request.method} is not possible on {path}", allow))
    if error.status_code == 404:
        return _response(request, http_problem(404, f"there is nothing at {path}"))
    return _response(request, problem(InvalidInput(str(error.detail))))


def _methods(request: Request) -> list[str]:
    """Every method that some route has at the request's path."""
    path: str = request.scope["path"]
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    found = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    return sorted(found | {"HEAD"} if "GET" in found else found)


async def _on_unexpected(request: Request, _: Exception) -> Response:
    """The gateway logs what this answers for."""
    return _response(request, unexpected(request.scope[REQUEST_ID]))
