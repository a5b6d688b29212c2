"""The batches of a node: who it is to others on its database, and the removal of what has ended long ago."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from gristmill.app.state import State
from gristmill.background import Background
from gristmill.batch import BatchRunner
from gristmill.batches import Batches, BatchSettings
from gristmill.dispatcher import Dispatcher
from gristmill.ports import BatchStore

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
    *,
    background: Background | None = None,
) -> Batches:
    """Go on with the batches that this node ran before; stopped when `stack` is left."""
    store = state.database.batches
    background = background or Background()
    runner = BatchRunner(
        store, state.blobs, dispatcher, state.registry.resolve, holder=node_id(data), background=background
    )
    stack.push_async_callback(runner.close)
    await runner.start()
    state.registry.subscribe(runner.service_changed)
    every = min(_PURGE_SECONDS, max(1.0, settings.keep_seconds))
    purge = _purging(store, settings.keep_seconds)
    purging = background.repeat("purge batches", purge, every=every, at_once=True)
    stack.push_async_callback(purging.stop)
    return Batches(store, state.blobs, runner, settings=settings, staging=staging)


def node_id(data: Path) -> str:
    """A name that this data directory keeps: whoever starts on it goes on with what it held."""
    path = data / "node-id"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    path.write_text(f"{uuid.uuid4()}\n")
    return path.read_text().strip()


def _purging(store: BatchStore, keep_seconds: float) -> Callable[[], Awaitable[None]]:
    async def purge() -> None:
        """By the database's clock, which also said when each batch ended."""
        purged = await store.purge(finished_before=await store.now() - keep_seconds)
        if purged:
            log.info("batches_purged", batches=purged)

    return purge
