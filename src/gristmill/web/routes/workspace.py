"""The variables of a session."""

from __future__ import annotations

import tempfile

from fastapi import Request
from starlette.responses import Response

from gristmill.identity import Permission
from gristmill.web import render
from gristmill.web.endpoints import Caller, Ctx, Table
from gristmill.web.names import object_name
from gristmill.web.requests import announced, find, spool

__all__ = ["table"]

table = Table("Sessions")
_USE = Permission.SESSIONS_USE
_BINARY = "application/octet-stream"


@table.add(
    "GET",
    "/sessions/{id}/workspace",
    allow=_USE,
    operation_id="listWorkspaceObjects",
    summary="List the objects of the workspace",
    answer=list[str],
)
async def list_objects(context: Ctx, caller: Caller, id: str) -> Response:
    """Their names."""
    return render.json(await context.sessions.get(id, caller).workspace_names())


@table.add(
    "POST",
    "/sessions/{id}/workspace/{objectName}",
    allow=_USE,
    operation_id="setWorkspaceObject",
    summary="Put an object into the workspace",
    body=_BINARY,
)
async def put(context: Ctx, caller: Caller, id: str, objectName: str, request: Request) -> Response:  # noqa: N803
    """The body is what `dill.dumps`, `saveRDS` or `save` wrote; what cannot be loaded is refused with 400."""
    session, limit = context.sessions.get(id, caller), context.limits.upload_bytes
    announced(find(request.scope["headers"], b"content-length"), limit)
    with tempfile.TemporaryFile() as file:
        await spool(request.receive, limit, file)
        await session.put_object(object_name(objectName), file)
    return render.json(f"{objectName} is set.")


@table.add(
    "GET",
    "/sessions/{id}/workspace/{objectName}",
    allow=_USE,
    operation_id="getWorkspaceObject",
    summary="Fetch an object of the workspace",
    answer=_BINARY,
)
async def fetch(context: Ctx, caller: Caller, id: str, objectName: str) -> Response:  # noqa: N803
    """Serialized by dill, or by `save` of R."""
    session = context.sessions.get(id, caller)
    return render.download(await session.get_object(object_name(objectName)), objectName)


@table.add(
    "DELETE",
    "/sessions/{id}/workspace/{objectName}",
    allow=_USE,
    operation_id="deleteWorkspaceObject",
    summary="Delete an object of the workspace",
)
async def delete(context: Ctx, caller: Caller, id: str, objectName: str) -> Response:  # noqa: N803
    """404 if there is none of this name."""
    await context.sessions.get(id, caller).delete_object(object_name(objectName))
    return render.json(f"{objectName} is deleted.")
