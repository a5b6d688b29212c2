"""The files in a session's working directory."""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from gristmill.errors import InvalidInput
from gristmill.identity import Permission
from gristmill.web import render
from gristmill.web.endpoints import Caller, Ctx, Table
from gristmill.web.names import file_name, relative_path
from gristmill.web.requests import form_of

__all__ = ["table"]

table = Table("Sessions")
_USE = Permission.SESSIONS_USE
#: What the parts' headers and boundaries of a form may add to a file at the limit.
_ENVELOPE = 64 * 1024


@table.add(
    "GET",
    "/sessions/{id}/files",
    allow=_USE,
    operation_id="listSessionFiles",
    summary="List the files",
    answer=list[str],
)
async def list_files(context: Ctx, caller: Caller, id: str) -> Response:
    """Paths relative to the working directory."""
    return render.json(await context.sessions.get(id, caller).files())


@table.add(
    "POST",
    "/sessions/{id}/files",
    allow=_USE,
    operation_id="uploadSessionFile",
    summary="Upload a file",
    status=201,
    body="multipart/form-data",
)
async def upload(context: Ctx, caller: Caller, id: str, request: Request) -> Response:
    """One part called `file`; its file name is the name in the working directory."""
    session, limit = context.sessions.get(id, caller), context.limits.upload_bytes + _ENVELOPE
    async with form_of(request, limit) as form:
        sent = next((part for _, part in form.multi_items() if isinstance(part, UploadFile)), None)
        if sent is None or not sent.filename:
            raise InvalidInput(
                "no file came: send multipart/form-data with a part 'file' that has a file name"
            )
        name = file_name(sent.filename)
        await session.put_file(name, sent.file)
    return render.json(f"{name} is uploaded.", 201)


@table.add(
    "GET",
    "/sessions/{id}/files/{fileName:path}",
    allow=_USE,
    operation_id="getSessionFile",
    summary="Download a file",
    answer="application/octet-stream",
)
async def fetch(context: Ctx, caller: Caller, id: str, fileName: str) -> Response:  # noqa: N803
    """A relative path, its slashes encoded or not."""
    session = context.sessions.get(id, caller)
    return render.download(await session.get_file(relative_path(fileName)), fileName.rpartition("/")[2])


@table.add(
    "DELETE",
    "/sessions/{id}/files/{fileName:path}",
    allow=_USE,
    operation_id="deleteSessionFile",
    summary="Delete a file",
)
async def delete(context: Ctx, caller: Caller, id: str, fileName: str) -> Response:  # noqa: N803
    """404 if there is none of this name."""
    await context.sessions.get(id, caller).delete_file(relative_path(fileName))
    return render.json(f"{fileName} is deleted.")
