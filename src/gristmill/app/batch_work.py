"""The batches of a node: who it is to others on its database, and the removal of what has ended long ago."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from pathlib import Path

import structlog

from gristmill.app.state import State
from gristmill.batch import BatchRunner
from gristmill.batches import Batches, BatchSettings
from gristmill.dispatcher import Dispatcher
from gristmill.errors import GristmillError

__all__ = ["node_id", "open_batches"]

log = structlog.get_logger()

_PURGE_SECONDS = 600.0


async def open_batches(
    settings: BatchSettings,
    data: Path,
    staging: Path,
    state: State,
    dispatcher: Dispatcher,
    stack: contextlib.AsyncExitStack,
) -> Batches:
    """Go on with the batches that this node ran before; stopped when `stack` is left."""
    store = state.database.batches
    runner = BatchRunner(store, state.blobs, dispatcher, state.registry.resolve, holder=node_id(data))
    stack.push_async_callback(runner.close)
    await runner.start()
    purging = asyncio.create_task(_purge_forever(state, settings.keep_seconds), name="purge batches")
    stack.push_async_callback(_cancel, purging)
    return Batches(store, state.blobs, runner, settings=settings, staging=staging)


def node_id(data: Path) -> str:
    """A name that this data directory keeps: whoever starts on it goes on with what it held."""
    path = data / "node-id"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    path.write_text(f"{uuid.uuid4()}\n")
    return path.read_text().strip()


async def _purge_forever(state: State, keep_seconds: float) -> None:
    while True:
        try:
            purged = await state.database.batches.purge(finished_before=time.time() - keep_seconds)
            if purged:
                log.info("batches_purged", batches=purged)
        except GristmillError as error:
            log.warning("background_work_failed", work="purge batches", error=error.message)
        await asyncio.sleep(min(_PURGE_SECONDS, max(1.0, keep_seconds)))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
