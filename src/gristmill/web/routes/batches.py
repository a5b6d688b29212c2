"""Batches: start, list, look at, watch, cancel; and the files of their items."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated

import msgspec
from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse

from gristmill.batches import Batches, Intake
from gristmill.identity import Permission
from gristmill.jobs import Batch, ItemResult
from gristmill.web import arrow, render
from gristmill.web.endpoints import Caller, Ctx, Table
from gristmill.web.models import BatchArrivals, BatchInputs, BatchStarted, BatchStatus
from gristmill.web.names import relative_path
from gristmill.web.requests import announced, find, limited, spool

__all__ = ["table"]

table = Table("Batches")
_BATCH = "/api/{name}/{version}/batch"
_ONE = _BATCH + "/{executionId}"
_CONSUME = Permission.SERVICES_CONSUME
#: A watched batch gives a sign of life so often, so that nobody on the way takes the connection for dead.
_SIGN_SECONDS = 10.0
_Count = Annotated[int | None, Query(description="Items that run at a time, 10 unless given.")]
_Rows = Annotated[int, Query(ge=1, description="Of Arrow data: rows that make one item.")]
_Partial = Annotated[bool, Query(description="Whether to show the results there are while it runs.")]
_After = Annotated[
    int, Query(ge=0, description="How many results to leave out: those that were read before.")
]
_Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for results if there are none.")]
_Limit = Annotated[
    int,
    Query(
        ge=1, le=500, description="How many results to show at most: there are fewer where they are large."
    ),
]


@table.add(
    "POST",
    _BATCH,
    allow=_CONSUME,
    operation_id="StartBatchExecution",
    summary="Start a batch",
    status=202,
    answer=BatchStarted,
    body=BatchInputs,
)
async def start(
    context: Ctx,
    caller: Caller,
    name: str,
    version: str,
    request: Request,
    parallelCount: _Count = None,  # noqa: N803
    rows: _Rows = 1000,
) -> Response:
    """An array of inputs, or Arrow IPC for a service with one data frame; `Location` is the batch."""
    service = await context.registry.find(name, version)
    batches = context.batches
    with batches.intake() as intake:
        if arrow.is_arrow(find(request.scope["headers"], b"content-type")):
            await _take_arrow(request, batches, intake, arrow.parameter_of(service), rows)
        else:
            await _take_json(request, batches, intake)
        batch = await batches.start(service, intake, caller, parallel=parallelCount)
    started = BatchStarted(name=name, version=version, batch_execution_id=batch.id, BatchExecutionId=batch.id)
    return render.json(started, 202, {"Location": f"/api/{name}/{version}/batch/{batch.id}"})


async def _take_json(request: Request, batches: Batches, intake: Intake) -> None:
    limit = batches.settings.most_bytes
    announced(find(request.scope["headers"], b"content-length"), limit)
    receive = limited(request.receive, limit)
    more = True
    while more:
        message = await receive()
        await intake.feed(message.get("body", b""))
        more = message.get("more_body", False)
    intake.finish_json()


async def _take_arrow(request: Request, batches: Batches, intake: Intake, parameter: str, rows: int) -> None:
    limit = batches.settings.most_bytes
    announced(find(request.scope["headers"], b"content-length"), limit)
    with batches.intake() as received:  # for its unnamed file
        await spool(request.receive, limit, received.file)
        async for item in arrow.items(received.file, parameter, rows):
            intake.add(item)
            await intake.settle()


@table.add(
    "GET",
    _BATCH,
    allow=_CONSUME,
    operation_id="GetBatchExecutions",
    summary="List the batches of a service",
    answer=list[str],
)
async def list_ids(context: Ctx, caller: Caller, name: str, version: str) -> Response:
    """Ids of your own, oldest first; owners see everybody's."""
    ids = await context.batches.ids(name, version, caller)
    if not ids:
        await context.registry.find(name, version)
    return render.json(ids)


@table.add(
    "GET",
    _ONE,
    allow=_CONSUME,
    operation_id="GetBatchExecutionStatus",
    summary="State and results of a batch",
    answer=BatchStatus,
)
async def show(
    context: Ctx,
    caller: Caller,
    name: str,
    version: str,
    executionId: str,  # noqa: N803
    showPartialResults: _Partial = False,  # noqa: N803
    showPartialResult: _Partial = False,  # noqa: N803
) -> Response:
    """Results stand in the order of the inputs, with their `index`; items not done yet are left out."""
    batch = await context.batches.get(name, version, executionId, caller)
    wanted = batch.ended or showPartialResults or showPartialResult
    pieces = _status(context.batches, batch, wanted)
    first = await anext(pieces)  # what fails by then has a status of its own
    return StreamingResponse(_with_first(first, pieces), media_type="application/json")


async def _with_first(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


async def _status(batches: Batches, batch: Batch, wanted: bool) -> AsyncIterator[bytes]:
    """The answer; the first piece comes when the first results have been read."""
    before = msgspec.json.encode(_progress(batch))[:-1] + b',"batchExecutionResults":['
    first = True
    if wanted:
        async for page in batches.rows(batch):
            if first:
                yield before
            async for piece in _listed(batches, page, first=first):
                yield piece
            first = False
    yield before + b"]}" if first else b"]}"


async def _listed(batches: Batches, page: list[ItemResult], *, first: bool) -> AsyncIterator[bytes]:
    """Answers with their index, which becomes the first field of each; a large one piece by piece."""
    text = bytearray()
    for result in page:
        text += (b"" if first else b",") + b'{"index":%d,' % result.index
        first = False
        if result.body is not None:
            text += result.body[1:]
            continue
        yield bytes(text)
        text.clear()
        async for piece in batches.answer(result, skip=1):
            yield piece
    yield bytes(text)


def _progress(batch: Batch) -> dict[str, object]:
    return {
        "state": batch.state.value,
        "completedItemCount": batch.completed,
        "failedItemCount": batch.failed,
        "totalItemCount": batch.total,
        "message": batch.message,
    }


@table.add(
    "DELETE",
    _ONE,
    allow=_CONSUME,
    operation_id="CancelAndDeleteBatchExecution",
    summary="Cancel and delete a batch",
    answer=list[str],
)
async def cancel(context: Ctx, caller: Caller, name: str, version: str, executionId: str) -> Response:  # noqa: N803
    """Its results go with it. The answer is its id, in a list."""
    batch = await context.batches.get(name, version, executionId, caller)
    await context.batches.cancel(batch)
    return render.json([batch.id])


@table.add(
    "GET",
    _ONE + "/results",
    allow=_CONSUME,
    operation_id="GetBatchExecutionArrivals",
    summary="Results as they came in",
    answer=BatchArrivals,
)
async def arrivals(
    context: Ctx,
    caller: Caller,
    name: str,
    version: str,
    *,
    executionId: str,  # noqa: N803
    after: _After = 0,
    limit: _Limit = 500,
    wait: _Wait = 0.0,
) -> Response:
    """To read on, send `next` as `after`; each result comes once so, whatever the order of the items."""
    batch = await context.batches.get(name, version, executionId, caller)
    until = monotonic() + wait
    while batch.completed <= after and not batch.ended and monotonic() < until and not context.phase.draining:
        batch = await context.batches.later(batch)
    page = await context.batches.arrivals(batch, after, limit)
    head = msgspec.json.encode({**_progress(batch), "next": after + len(page)})

    async def body() -> AsyncIterator[bytes]:
        yield head[:-1] + b',"batchExecutionResults":['
        async for piece in _listed(context.batches, page, first=True):
            yield piece
        yield b"]}"

    return StreamingResponse(body(), media_type="application/json")


@table.add(
    "GET",
    _ONE + "/events",
    allow=_CONSUME,
    operation_id="GetBatchExecutionEvents",
    summary="Watch the progress of a batch",
    answer="text/event-stream",
)
async def events(context: Ctx, caller: Caller, name: str, version: str, executionId: str) -> Response:  # noqa: N803
    """Server-sent events called `progress`, each with state and counts; the stream ends with the batch."""
    batch = await context.batches.get(name, version, executionId, caller)

    async def stream() -> AsyncIterator[bytes]:
        silent = 0.0
        async for change in context.batches.watch(batch, 1.0):
            if change is not None:
                yield b"event: progress\ndata: " + msgspec.json.encode(_progress(change)) + b"\n\n"
            silent = silent + 1.2 if change is None else 0.0
            if silent > _SIGN_SECONDS:
                yield b": \n\n"
                silent = 0.0
            if context.phase.draining:
                return  # the client connects again, to whoever serves then

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


@table.add(
    "GET",
    _ONE + "/{index}/files",
    allow=_CONSUME,
    operation_id="GetBatchExecutionFiles",
    summary="List the files of an item",
    answer=list[str],
)
async def list_files(
    context: Ctx,
    caller: Caller,
    name: str,
    version: str,
    executionId: str,  # noqa: N803
    index: int,
) -> Response:
    """Names of all files that the item wrote; 404 while it has no result."""
    batch = await context.batches.get(name, version, executionId, caller)
    return render.json(await context.batches.files(batch, index))


@table.add(
    "GET",
    _ONE + "/{index}/files/{fileName:path}",
    allow=_CONSUME,
    operation_id="GetBatchExecutionFile",
    summary="Download a file of an item",
    answer="application/octet-stream",
)
async def fetch_file(
    context: Ctx,
    caller: Caller,
    name: str,
    version: str,
    executionId: str,  # noqa: N803
    index: int,
    fileName: str,  # noqa: N803
) -> Response:
    """A name as listed; slashes may be encoded or not."""
    batch = await context.batches.get(name, version, executionId, caller)
    file = await context.batches.open_file(batch, index, relative_path(fileName))
    return render.download(file, fileName.rpartition("/")[2])
