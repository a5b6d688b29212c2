"""What of a node outlives its process: database, content, accounts; and the work that keeps it in order.

Kept apart because importing it takes longer than all the rest: the first shells are started before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from gristmill.app.settings import Settings
from gristmill.auth import Accounts, Passwords, SigningKey, ensure_admin, load_or_create_key, read_key
from gristmill.background import Background
from gristmill.blobs import DirectoryBlobs
from gristmill.db import Database, default_url, open_database
from gristmill.disk import storing
from gristmill.off_loop import Work, off_loop
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
    database = await open_database(settings.database or default_url(data), seconds=settings.database_seconds)
    stack.push_async_callback(database.close)
    await off_loop(Work.WRITE, blobs.claim, await database.installation())
    passwords = Passwords()
    generated = await ensure_admin(database.users, passwords, settings.admin_password)
    registry = Registry(database.services, database.snapshots, pools=settings.pools)
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


def start_upkeep(state: State, background: Background, stack: contextlib.AsyncExitStack) -> None:
    """Work that is done again and again beside the requests, until `stack` is left.

    Each piece fails, and is shown in `/status`, by itself.
    """
    for name, seconds, work in (
        ("refresh services", _REFRESH_SECONDS, _refresh_services),
        ("refresh logins", _REFRESH_SECONDS, _refresh_logins),
        ("sweep contents", _SWEEP_SECONDS, _sweep_contents),
        ("sweep logins", _SWEEP_SECONDS, _sweep_logins),
    ):
        stack.push_async_callback(background.repeat(name, partial(_run, work, state), every=seconds).stop)


async def _run(work: Callable[[State], Awaitable[None]], state: State) -> None:
    """What a disk refuses is told in a line, like what the database refuses."""
    with storing(None, "what is stored"):
        await work(state)


async def _refresh_services(state: State) -> None:
    await state.registry.refresh()


async def _refresh_logins(state: State) -> None:
    await state.accounts.synchronize()


async def _sweep_contents(state: State) -> None:
    removed = await state.blobs.sweep(state.database.references, grace=_GRACE_SECONDS)
    log.info("contents_swept", blobs=removed)


async def _sweep_logins(state: State) -> None:
    log.info("logins_swept", token_families=await state.accounts.purge())


async def _repeat(name: str, seconds: float, work: Callable[[State], Awaitable[None]], state: State) -> None:
    """Supervise one piece of work until this is cancelled."""
    background = Background()
    repeated = background.repeat(name, partial(_run, work, state), every=seconds)
    try:
        assert repeated.task is not None
        await repeated.task
    finally:
        await background.close()
