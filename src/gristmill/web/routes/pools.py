"""Pools of services that ask for shells of their own."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from gristmill.errors import InvalidInput
from gristmill.identity import Permission
from gristmill.services import PoolSize
from gristmill.web import render
from gristmill.web.endpoints import Caller, Ctx, Parsed, Table
from gristmill.web.models import PoolRequest, PoolState

__all__ = ["table"]

table = Table("Services")
_Pool = Annotated[PoolRequest, Depends(Parsed(PoolRequest))]
_PATH = "/services/{name}/{version}/pool"
#: Of a pool whose maximum was not said.
_USUAL_MAXIMUM = 2


@table.add(
    "POST",
    _PATH,
    allow=Permission.SERVICES_WRITE_OWN,
    operation_id="createOrUpdateServicePool",
    summary="Give a service shells of its own",
    body=PoolRequest,
)
async def create(context: Ctx, caller: Caller, name: str, version: str, body: _Pool) -> Response:
    """They start with the service loaded, on every node; its calls use no others from then on."""
    maximum = body.maximum or max(body.initial, _USUAL_MAXIMUM)
    if body.initial > maximum:
        raise InvalidInput(f"InitialPoolSize is {body.initial}, more than MaxPoolSize, {maximum}")
    size = PoolSize(initial=body.initial, maximum=maximum)
    await context.registry.set_pool(name, version, size, caller)
    return render.json(f"{name} {version} gets a pool of {size.initial} to {size.maximum} shells.")


@table.add(
    "GET",
    _PATH,
    allow=Permission.SERVICES_READ,
    operation_id="getServicePoolStatus",
    summary="Show how a service's pool stands",
    answer=list[PoolState],
)
async def show(context: Ctx, name: str, version: str) -> Response:
    """For each node: `Success` when its shells are there, `Pending` until then, `NotFound` without a pool."""
    status = context.dispatcher.pool_status(await context.registry.find(name, version))
    return render.json([{"ComputeNodeEndpoint": context.node_address, "Status": status}])


@table.add(
    "DELETE",
    _PATH,
    allow=Permission.SERVICES_WRITE_OWN,
    operation_id="deleteServicePool",
    summary="Take a service's own shells away",
)
async def delete(context: Ctx, caller: Caller, name: str, version: str) -> Response:
    """Calls that its shells have finish; later ones use the generic pool."""
    await context.registry.set_pool(name, version, None, caller)
    return render.json(f"{name} {version} uses the generic pool again.")
