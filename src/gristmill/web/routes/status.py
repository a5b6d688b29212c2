"""How the server is."""

from __future__ import annotations

from starlette.responses import Response

from gristmill.errors import Draining, Overloaded
from gristmill.identity import Permission
from gristmill.ports import StateUnavailable
from gristmill.web import render
from gristmill.web.context import Context
from gristmill.web.endpoints import Ctx, Table
from gristmill.web.models import Status

__all__ = ["table", "welcome"]

table = Table("Status")


@table.add(
    "GET",
    "/status",
    allow=Permission.STATUS_READ,
    operation_id="status",
    summary="Health of the system and its parts",
    answer=Status,
)
async def status(context: Ctx) -> Response:
    """Down to each node, pool and database."""
    return render.json(await context.status())


@table.add(
    "GET",
    "/health/live",
    allow="public",
    operation_id="isLive",
    summary="Whether the process answers",
    answer=dict[str, str],
)
async def live() -> Response:
    """For an orchestrator: restart the process if this fails."""
    return render.json({"status": "pass"})


@table.add(
    "GET",
    "/health/ready",
    allow="public",
    operation_id="isReady",
    summary="Whether requests are welcome",
    answer=dict[str, str],
)
async def ready(context: Ctx) -> Response:
    """For a load balancer: 503 until the server has started, and again once it is shutting down.

    While its database or a disk is away, calls of known services by known callers are answered all the same:
    then it is 200 with `"status": "warn"` and a `message`. It is 503 when no caller is known any more.
    """
    return render.json(welcome(context))


def welcome(context: Context) -> dict[str, str]:
    """What a server that should get requests says of itself. Raises Overloaded if it should not."""
    if context.phase.draining:
        raise Draining("the server is shutting down")
    if context.phase.publishing:
        raise Overloaded(f"the server is publishing: {context.phase.publishing}")
    if not context.phase.ready:
        raise Overloaded("the server is starting")
    found = context.readiness()
    if found.code == "fail":
        raise StateUnavailable(found.why)
    return {"status": found.code, **({"message": found.why} if found.why else {})}
