"""The life of a session, and running code in it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from gristmill.identity import Permission
from gristmill.services import Runtime
from gristmill.web import render
from gristmill.web.endpoints import Caller, Ctx, Parsed, Table
from gristmill.web.models import (
    ConsoleOutput,
    CreateSessionRequest,
    CreateSessionResponse,
    ExecuteRequest,
    ExecuteResponse,
    SessionInfo,
)
from gristmill.web.requests import announced, find, read_body

__all__ = ["table"]

table = Table("Sessions")
_USE = Permission.SESSIONS_USE
_Create = Annotated[CreateSessionRequest, Depends(Parsed(CreateSessionRequest))]


@table.add(
    "POST",
    "/sessions",
    allow=_USE,
    operation_id="createSession",
    summary="Start a session",
    status=201,
    body=CreateSessionRequest,
    answer=CreateSessionResponse,
)
async def create(context: Ctx, caller: Caller, body: _Create) -> Response:
    """A shell of the caller's own, R unless `runtimeType` says otherwise."""
    session = await context.sessions.create(
        caller,
        name=body.name or "",
        runtime=Runtime(body.runtime_type or Runtime.R),
        snapshot_id=body.snapshot_id or None,
    )
    return render.json(CreateSessionResponse(session_id=session.id), 201)


@table.add(
    "GET",
    "/sessions",
    allow=_USE,
    operation_id="listSessions",
    summary="List the caller's sessions",
    answer=list[SessionInfo],
)
async def list_own(context: Ctx, caller: Caller) -> Response:
    """Those that are live."""
    return render.json([render.session(session) for session in context.sessions.of(caller)])


@table.add(
    "POST",
    "/sessions/{id}/execute",
    allow=_USE,
    operation_id="executeCode",
    summary="Run code",
    body=ExecuteRequest,
    answer=ExecuteResponse,
)
async def execute(context: Ctx, caller: Caller, id: str, request: Request) -> Response:
    """An error in the code is an answer with `success` false."""
    session = context.sessions.get(id, caller)
    announced(find(request.scope["headers"], b"content-length"), context.limits.body_bytes)
    body = await read_body(request.receive, context.limits.body_bytes, context.bodies)
    try:
        return Response(await session.execute(body), media_type="application/json")
    finally:
        context.bodies.done(body)


@table.add(
    "POST",
    "/sessions/{id}/cancel",
    allow=_USE,
    operation_id="cancelSession",
    summary="Interrupt what is running",
)
async def cancel(context: Ctx, caller: Caller, id: str) -> Response:
    """The execution in progress, if there is one, answers with `success` false; the session lives on."""
    await context.sessions.get(id, caller).cancel()
    return render.json("The execution is being cancelled.")


@table.add(
    "GET",
    "/sessions/{id}/console-output",
    allow=_USE,
    operation_id="getSessionConsoleOutput",
    summary="Read the console",
    answer=ConsoleOutput,
)
async def console(context: Ctx, caller: Caller, id: str) -> Response:
    """What the running, or the last, execution has printed so far."""
    return render.json(ConsoleOutput(console_output=context.sessions.get(id, caller).console()))


@table.add(
    "GET",
    "/sessions/{id}/history",
    allow=_USE,
    operation_id="listSessionHistory",
    summary="List what was run",
    answer=list[str],
)
async def history(context: Ctx, caller: Caller, id: str) -> Response:
    """The code of each execution, verbatim, oldest first; a comment says what is no longer kept."""
    return render.json(list(context.sessions.get(id, caller).history))


@table.add(
    "DELETE",
    "/sessions/{id}",
    allow=_USE,
    operation_id="closeSession",
    summary="Close a session",
)
async def close(context: Ctx, caller: Caller, id: str) -> Response:
    """Its workspace and files are gone."""
    await context.sessions.close(id, caller, force=False)
    return render.json("The session is closed.")


@table.add(
    "DELETE",
    "/sessions/{id}/force",
    allow=_USE,
    operation_id="closeSessionByForce",
    summary="Close a session that is busy",
)
async def close_by_force(context: Ctx, caller: Caller, id: str) -> Response:
    """Whatever it is doing is stopped."""
    await context.sessions.close(id, caller, force=True)
    return render.json("The session is closed.")
