"""Publish and change realtime services: a model, and no code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from gristmill.errors import Conflict, Forbidden, InvalidInput
from gristmill.identity import Permission, Principal, may_write
from gristmill.publishing import new_version
from gristmill.realtime.publishing import Accepted
from gristmill.services import Runtime, ServiceVersion, check_name
from gristmill.web import render
from gristmill.web.context import Context
from gristmill.web.endpoints import Caller, Ctx, Table
from gristmill.web.requests import form_of

__all__ = ["table"]

table = Table("Realtime services")
_FORM = "multipart/form-data"
#: What the parts' headers and boundaries of a form may add to a model at the limit, with its description.
_ENVELOPE = 256 * 1024


class _Sent(NamedTuple):
    """The parts of a form; None for what did not come."""

    model: UploadFile | None
    description: str | None
    operation_id: str | None


@table.add(
    "POST",
    "/realtime-services/{name}",
    allow=Permission.SERVICES_PUBLISH,
    operation_id="publishRealtimeWebServiceByName",
    summary="Publish a realtime service",
    status=201,
    body=_FORM,
)
async def publish(context: Ctx, caller: Caller, name: str, request: Request) -> Response:
    """The version is a new GUID; `Location` says where it is."""
    return await _publish(context, caller, name, new_version(), request)


@table.add(
    "POST",
    "/realtime-services/{name}/{version}",
    allow=Permission.SERVICES_PUBLISH,
    operation_id="publishRealtimeWebServiceByNameVersion",
    summary="Publish a version of a realtime service",
    status=201,
    body=_FORM,
)
async def publish_version(
    context: Ctx, caller: Caller, name: str, version: str, request: Request
) -> Response:
    """A part `model`, a file that begins with `blob`, and perhaps `description` and `operationId`.

    The model is tried on the sample that it carries: scores other than its own are a 400 with the worst rows.
    """
    return await _publish(context, caller, name, version, request)


@table.add(
    "PATCH",
    "/realtime-services/{name}/{version}",
    allow=Permission.SERVICES_WRITE_OWN,
    operation_id="patchRealtimeWebServiceByNameVersion",
    summary="Change a version of a realtime service",
    body=_FORM,
)
async def patch(context: Ctx, caller: Caller, name: str, version: str, request: Request) -> Response:
    """Only what is sent changes: the model, the description, the operation's name."""
    current = await context.registry.find(name, version)
    if not may_write(caller, current.owner):
        raise Forbidden(
            f"{name} {version} was published by {current.owner}, and only they or an owner may change it"
        )
    if current.runtime is not Runtime.REALTIME:
        raise InvalidInput(
            f"{name} {version} runs on {current.runtime} and is no realtime service: change it at /services"
        )
    async with _form(context, request) as sent:
        changes: dict[str, Any] = {"description": sent.description, "operation_id": sent.operation_id}
        if sent.model is not None:
            changes.update(_fields(await context.publisher.accept(sent.model.file)))
    await context.registry.patch(name, version, changes, caller)
    return render.json(f"{name} {version} is updated.")


async def _publish(
    context: Context, caller: Principal, name: str, version: str, request: Request
) -> Response:
    check_name("name", name)
    check_name("version", version)
    async with _form(context, request) as sent:
        if sent.model is None:
            raise InvalidInput("no model came: send multipart/form-data with a part 'model' that is a file")
        known = await context.registry.listed(name)
        if not caller.replaces and any(found.version == version for found in known):
            raise Conflict(f"service {name!r} version {version!r} exists already")
        fields = _fields(await context.publisher.accept(sent.model.file))
        draft = ServiceVersion(
            name=name,
            version=version,
            runtime=Runtime.REALTIME,
            code="",
            owner=caller.name,
            created=datetime.now(UTC),
            description=sent.description or "",
            operation_id=sent.operation_id or None,
            **fields,
        )
    service = await context.registry.publish(draft, None, caller)
    await context.realtime.try_out(service)
    where = {"Location": f"/services/{name}/{version}"}
    return render.json(f"{name} {version} is published: POST /api/{name}/{version} calls it.", 201, where)


def _fields(model: Accepted) -> dict[str, Any]:
    return {"inputs": model.inputs, "outputs": model.outputs, "content": model.content}


@asynccontextmanager
async def _form(context: Context, request: Request) -> AsyncIterator[_Sent]:
    """The form, while its file is there. Raises InvalidInput, TooLarge."""
    limit = context.publisher.limit + _ENVELOPE
    async with form_of(request, limit) as form:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        texts = {name: part for name, part in form.multi_items() if isinstance(part, str)}
        if "model" in texts:
            raise InvalidInput("the part 'model' is a text: send it as a file, with a file name")
        yield _Sent(files[0] if files else None, texts.get("description"), texts.get("operationId"))
