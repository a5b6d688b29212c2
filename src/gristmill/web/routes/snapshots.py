"""Snapshots: a session's workspace and files, kept."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from gristmill.identity import Permission
from gristmill.web import render
from gristmill.web.endpoints import Caller, Ctx, Parsed, Table
from gristmill.web.models import CreateSnapshotRequest, CreateSnapshotResponse, SnapshotInfo

__all__ = ["table"]

table = Table("Snapshots")
_USE = Permission.SNAPSHOTS_USE
_Create = Annotated[CreateSnapshotRequest, Depends(Parsed(CreateSnapshotRequest))]


@table.add(
    "POST",
    "/sessions/{id}/snapshot",
    allow=_USE,
    operation_id="CreateSnapshot",
    summary="Take a snapshot of a session",
    status=201,
    body=CreateSnapshotRequest,
    answer=CreateSnapshotResponse,
)
async def create(context: Ctx, caller: Caller, id: str, body: _Create) -> Response:
    """Objects that cannot be serialized are named in the 400 that they cause."""
    snapshot = await context.sessions.get(id, caller).save_snapshot(body.name or "")
    return render.json(CreateSnapshotResponse(snapshot_id=snapshot.id), 201)


@table.add(
    "POST",
    "/sessions/{id}/loadsnapshot/{snapshotId}",
    allow=_USE,
    operation_id="LoadSnapshot",
    summary="Load a snapshot into a session",
)
async def load(context: Ctx, caller: Caller, id: str, snapshotId: str) -> Response:  # noqa: N803
    """It replaces the workspace and the files that are there."""
    await context.sessions.get(id, caller).load_snapshot(snapshotId)
    return render.json("The snapshot is loaded.")


@table.add(
    "GET",
    "/snapshots",
    allow=_USE,
    operation_id="ListSnapshots",
    summary="List the caller's snapshots",
    answer=list[SnapshotInfo],
)
async def list_own(context: Ctx, caller: Caller) -> Response:
    """Oldest first."""
    return render.json([render.snapshot(stored) for stored in await context.snapshots.of(caller)])


@table.add(
    "GET",
    "/snapshots/{id}",
    allow=_USE,
    operation_id="GetSnapshotContent",
    summary="Download a snapshot",
    answer="application/octet-stream",
)
async def fetch(context: Ctx, caller: Caller, id: str) -> Response:
    """A zip of the workspace file and the files of the working directory."""
    stored = await context.snapshots.get(id, caller)
    return render.download(await context.snapshots.open(id, caller), f"{stored.name or stored.id}.zip")


@table.add(
    "DELETE",
    "/snapshots/{id}",
    allow=_USE,
    operation_id="DeleteSnapshot",
    summary="Delete a snapshot",
)
async def delete(context: Ctx, caller: Caller, id: str) -> Response:
    """Services that were published from it keep their content."""
    await context.snapshots.delete(id, caller)
    return render.json("The snapshot is deleted.")
