"""What of a node outlives its process: database, content, accounts; and the work that keeps it in order.

Kept apart because importing it takes longer than all the rest: the first shells are started before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from gristmill.app.settings import Settings
from gristmill.auth import Accounts, Passwords, SigningKey, ensure_admin, load_or_create_key, read_key
from gristmill.blobs import DirectoryBlobs
from gristmill.db import Database, default_url, open_database
from gristmill.errors import GristmillError
from gristmill.registry import Registry

__all__ = ["State", "open_state", "start_upkeep"]

log = structlog.get_logger()

_REFRESH_SECONDS = 1.0
_SWEEP_SECONDS = 3600.0
#: Content that nobody refers to is kept so long: a publish may be about to.
_GRACE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What outlives the process."""

    database: Database
    blobs: DirectoryBlobs
    registry: Registry
    accounts: Accounts
    generated_password: str | None


async def open_state(
    settings: Settings, data: Path, blobs: DirectoryBlobs, stack: contextlib.AsyncExitStack
) -> State:
    """Connect, upgrade and read what is stored; closed when `stack` is left."""
    database = await open_database(settings.database or default_url(data))
    stack.push_async_callback(database.close)
    blobs.claim(await database.installation())
    passwords = Passwords()
    generated = await ensure_admin(database.users, passwords, settings.admin_password)
    registry = Registry(database.services, database.snapshots)
    await registry.refresh()
    return State(
        database=database,
        blobs=blobs,
        registry=registry,
        accounts=Accounts(database.users, database.tokens, key=_key(settings, data), passwords=passwords),
        generated_password=generated,
    )


def _key(settings: Settings, data: Path) -> SigningKey:
    if settings.signing_key is not None:
        return read_key(settings.signing_key)
    return load_or_create_key(data / "signing-key.pem")


def start_upkeep(state: State, stack: contextlib.AsyncExitStack) -> None:
    """Work that is done again and again beside the requests."""
    for name, seconds, work in (
        ("refresh", _REFRESH_SECONDS, _refresh),
        ("sweep", _SWEEP_SECONDS, _sweep),
    ):
        task = asyncio.create_task(_repeat(name, seconds, work, state), name=name)
        stack.push_async_callback(_cancel, task)


async def _refresh(state: State) -> None:
    await state.registry.refresh()
    await state.accounts.synchronize()


async def _sweep(state: State) -> None:
    removed = await state.blobs.sweep(state.database.references, grace=_GRACE_SECONDS)
    families = await state.accounts.purge()
    log.info("swept", blobs=removed, token_families=families)


async def _repeat(name: str, seconds: float, work: Callable[[State], Awaitable[None]], state: State) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work(state)
        except GristmillError as error:
            log.warning("background_work_failed", work=name, error=error.message)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
