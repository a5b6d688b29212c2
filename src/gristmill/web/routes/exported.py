"""Services as files: taken out of a server, and into one."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from gristmill.identity import Permission
from gristmill.web import render
from gristmill.web.endpoints import Caller, Ctx, Table
from gristmill.web.requests import announced, find, spool

__all__ = ["table"]

table = Table("Services")
_FILE = "application/octet-stream"


@table.add(
    "GET",
    "/exported-services/{name}/{version}",
    allow=Permission.SERVICES_WRITE_OWN,
    operation_id="exportWebServiceVersion",
    summary="Export a version as a file",
    answer=_FILE,
)
async def export(context: Ctx, caller: Caller, name: str, version: str) -> Response:
    """The service with its content, for who may change it. One service is always the same bytes."""
    exported = await context.moving.export(name, version, caller)
    return render.parts(exported.head, exported.content, exported.size, f"{name}-{version}.gm")


@table.add(
    "POST",
    "/exported-services",
    allow=Permission.SERVICES_PUBLISH,
    operation_id="importWebServiceVersion",
    summary="Import a version from a file",
    status=201,
    body=_FILE,
)
async def take_in(
    context: Ctx,
    caller: Caller,
    request: Request,
    name: str | None = None,
    version: str | None = None,
    replace: bool = False,
) -> Response:
    """Publishes what `GET /exported-services/{name}/{version}` gave, as the caller's own.

    `name` and `version` go before those in the file. A version that exists is a 409, unless `replace` is true
    and the caller may change it.
    """
    moving = context.moving
    announced(find(request.scope["headers"], b"content-length"), moving.most)
    with moving.spool() as file:
        await spool(request.receive, moving.most, file)
        service = await moving.take_in(file, caller, name=name, version=version, over=replace)
    where = {"Location": f"/services/{service.name}/{service.version}"}
    return render.json(f"{service.name} {service.version} is published.", 201, where)
