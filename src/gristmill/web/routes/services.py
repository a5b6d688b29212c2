"""Publish, list, change and delete services."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends
from starlette.responses import Response

from gristmill.errors import Forbidden
from gristmill.identity import Permission, Principal, may_write
from gristmill.publishing import new_version
from gristmill.schema import Parameter, parse_parameters
from gristmill.services import Runtime, ServiceVersion, check_name
from gristmill.web import render
from gristmill.web.context import Context
from gristmill.web.endpoints import Caller, Ctx, Parsed, Table
from gristmill.web.models import ParameterDefinition, PatchRequest, PublishRequest, WebService
from gristmill.web.swagger import describe

__all__ = ["table"]

table = Table("Services")
_Publish = Annotated[PublishRequest, Depends(Parsed(PublishRequest))]
_Patch = Annotated[PatchRequest, Depends(Parsed(PatchRequest))]


@table.add(
    "GET",
    "/services",
    allow=Permission.SERVICES_READ,
    operation_id="getAllWebServices",
    summary="List all services",
    answer=list[WebService],
)
async def list_all(context: Ctx, caller: Caller) -> Response:
    """All versions of all services, those of one name oldest first."""
    return await render.services(await context.registry.listed(), caller)


@table.add(
    "GET",
    "/services/{name}",
    allow=Permission.SERVICES_READ,
    operation_id="getAllWebServiceVersionsByName",
    summary="List the versions of a service",
    answer=list[WebService],
)
async def list_versions(context: Ctx, caller: Caller, name: str) -> Response:
    """Oldest first; an empty list if there is no service of this name."""
    return await render.services(await context.registry.listed(name), caller)


@table.add(
    "GET",
    "/services/{name}/{version}",
    allow=Permission.SERVICES_READ,
    operation_id="getWebServiceVersion",
    summary="Show a version",
    answer=list[WebService],
)
async def show(context: Ctx, caller: Caller, name: str, version: str) -> Response:
    """A list of one."""
    return await render.services([await context.registry.find(name, version)], caller)


@table.add(
    "POST",
    "/services/{name}",
    allow=Permission.SERVICES_PUBLISH,
    operation_id="publishWebService",
    summary="Publish a service",
    status=201,
    body=PublishRequest,
)
async def publish(context: Ctx, caller: Caller, name: str, body: _Publish) -> Response:
    """The version is a new GUID; `Location` says where it is."""
    return await _publish(context, caller, name, new_version(), body)


@table.add(
    "POST",
    "/services/{name}/{version}",
    allow=Permission.SERVICES_PUBLISH,
    operation_id="publishWebServiceVersion",
    summary="Publish a version of a service",
    status=201,
    body=PublishRequest,
)
async def publish_version(context: Ctx, caller: Caller, name: str, version: str, body: _Publish) -> Response:
    """Code that does not parse is refused with 400, a name and version that exist with 409."""
    return await _publish(context, caller, name, version, body)


@table.add(
    "PATCH",
    "/services/{name}/{version}",
    allow=Permission.SERVICES_WRITE_OWN,
    operation_id="patchWebServiceVersion",
    summary="Change a version",
    body=PatchRequest,
)
async def patch(context: Ctx, caller: Caller, name: str, version: str, body: _Patch) -> Response:
    """Only the fields that are sent change."""
    current = await context.registry.find(name, version)
    if not may_write(caller, current.owner):
        raise Forbidden(
            f"{name} {version} was published by {current.owner}, and only they or an owner may change it"
        )
    changes = _fields(body)
    if changes.keys() & {"code", "init_code", "runtime"}:
        await context.dispatcher.check(
            changes.get("runtime", current.runtime),
            changes.get("code", current.code),
            changes.get("init_code", current.init_code),
            user=caller.name,
        )
    await context.registry.patch(name, version, changes, caller)
    return render.json(f"{name} {version} is updated.")


@table.add(
    "DELETE",
    "/services/{name}/{version}",
    allow=Permission.SERVICES_WRITE_OWN,
    operation_id="deleteWebServiceVersion",
    summary="Delete a version",
)
async def delete(context: Ctx, caller: Caller, name: str, version: str) -> Response:
    """Calls in flight finish; later ones get 404."""
    await context.registry.delete(name, version, caller)
    return render.json(f"{name} {version} is deleted.")


@table.add(
    "GET",
    "/api/{name}/{version}/swagger.json",
    allow=Permission.SERVICES_READ,
    operation_id="GetWebServiceSwagger",
    summary="Describe a version for code generators",
    answer=dict[str, Any],
)
async def swagger(context: Ctx, name: str, version: str) -> Response:
    """Swagger 2.0 of this one service."""
    return render.json(describe(await context.registry.find(name, version)))


async def _publish(
    context: Context, caller: Principal, name: str, version: str, body: PublishRequest
) -> Response:
    check_name("name", name)
    check_name("version", version)
    fields = {"runtime": Runtime.R, **_fields(body)}
    draft = ServiceVersion(name=name, version=version, owner=caller.name, created=datetime.now(UTC), **fields)
    await context.dispatcher.check(draft.runtime, draft.code, draft.init_code, user=caller.name)
    await context.registry.publish(draft, draft.snapshot_id, caller)
    where = {"Location": f"/services/{name}/{version}"}
    return render.json(f"{name} {version} is published: POST /api/{name}/{version} calls it.", 201, where)


def _parameters(what: str) -> Callable[[list[ParameterDefinition]], tuple[Parameter, ...]]:
    """Reads definitions as shells do, so that what is accepted here can be loaded there."""

    def parse(definitions: list[ParameterDefinition]) -> tuple[Parameter, ...]:
        return parse_parameters([each.model_dump() for each in definitions], what=what)

    return parse


#: Field of the request → field of `ServiceVersion`, and how to get from one to the other.
_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "code": ("code", str),
    "init_code": ("init_code", str),
    "snapshot_id": ("snapshot_id", lambda given: given or None),
    "runtime_type": ("runtime", Runtime),
    "description": ("description", str),
    "operation_id": ("operation_id", lambda given: given or None),
    "input_parameter_definitions": ("inputs", _parameters("inputParameterDefinitions")),
    "output_parameter_definitions": ("outputs", _parameters("outputParameterDefinitions")),
    "output_file_names": ("output_files", tuple),
    "batchable": ("batchable", bool),
}


def _fields(body: PatchRequest) -> dict[str, Any]:
    """The fields that were sent and are not null, as `ServiceVersion` calls and holds them."""
    return {
        field: convert(getattr(body, sent))
        for sent, (field, convert) in _FIELDS.items()
        if getattr(body, sent) is not None
    }
