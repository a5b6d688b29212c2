"""One running node: everything built from settings, started, watched and taken down in order."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from gristmill.app.health import Health
from gristmill.app.settings import Settings
from gristmill.auth import Accounts, Passwords, SigningKey, ensure_admin, load_or_create_key, read_key
from gristmill.blobs import DirectoryBlobs
from gristmill.db import Database, default_url, open_database
from gristmill.dispatcher import Dispatcher
from gristmill.errors import GristmillError
from gristmill.launch.isolation import Isolation, detect
from gristmill.launch.local import LocalLauncher
from gristmill.registry import Registry
from gristmill.services import Runtime
from gristmill.sessions import Sessions, Snapshots
from gristmill.web.context import Context, Phase

__all__ = ["Node", "open_node"]

log = structlog.get_logger()

_REFRESH_SECONDS = 1.0
_SWEEP_SECONDS = 3600.0
#: Content that nobody refers to is kept so long: a publish may be about to.
_GRACE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What `serve` needs of a running node."""

    context: Context
    phase: Phase
    generated_password: str | None  #: of `admin`, to be shown once
    runtimes: dict[str, str]  #: language → version as the shell says it
    warnings: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What outlives the process."""

    database: Database
    blobs: DirectoryBlobs
    registry: Registry
    accounts: Accounts
    generated_password: str | None


@contextlib.asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """Build and start a node; on leaving, its shells have ended and its database is closed."""
    async with contextlib.AsyncExitStack() as stack:
        data = _make_data(settings.data)
        stack.enter_context(_sole_user_of(data))
        state = await _open_state(settings, data, stack)
        isolation, warnings = await asyncio.to_thread(
            detect,
            settings.python or sys.executable,
            data=data,
            network=settings.shell_network,
            bubblewrap=settings.bubblewrap,
        )
        launcher = _launcher(settings, data, isolation)
        if Runtime.R not in launcher.runtimes:
            warnings.append("there is no R on this machine: only Python services can be published")
        dispatcher = Dispatcher(
            launcher,
            settings=settings.pool,
            limits=settings.shells,
            open_content=_content_opener(state.blobs, isolation),
        )
        state.registry.subscribe(dispatcher.forget)
        stack.push_async_callback(dispatcher.close)
        state.registry.subscribe(lambda _: dispatcher.arrange(state.registry.versions()))
        dispatcher.start()
        dispatcher.arrange(state.registry.versions())
        snapshots = Snapshots(state.database.snapshots, state.blobs, limit=settings.sessions.snapshot_bytes)
        sessions = _sessions(settings, data, launcher, snapshots, dispatcher)
        stack.push_async_callback(sessions.close_all)
        _start_upkeep(state, stack)
        health = Health(state.database, dispatcher, sessions, isolation, warnings)
        context = _context(settings, state, dispatcher, sessions, snapshots, health)
        await dispatcher.wait_ready()
        yield Node(
            context=context,
            phase=context.phase,
            generated_password=state.generated_password,
            runtimes={name: str(pool["language"]) for name, pool in dispatcher.describe().items()},
            warnings=warnings,
        )


async def _open_state(settings: Settings, data: Path, stack: contextlib.AsyncExitStack) -> _State:
    database = await open_database(settings.database or default_url(data))
    stack.push_async_callback(database.close)
    passwords = Passwords()
    generated = await ensure_admin(database.users, passwords, settings.admin_password)
    registry = Registry(database.services, database.snapshots)
    await registry.refresh()
    return _State(
        database=database,
        blobs=DirectoryBlobs(data / "blobs"),
        registry=registry,
        accounts=Accounts(database.users, database.tokens, key=_key(settings, data), passwords=passwords),
        generated_password=generated,
    )


def _sessions(
    settings: Settings,
    data: Path,
    launcher: LocalLauncher,
    snapshots: Snapshots,
    dispatcher: Dispatcher,
) -> Sessions:
    sessions = Sessions(
        launcher,
        snapshots,
        settings=settings.sessions,
        limits=settings.shells,
        staging=_staging(data),
        fresh=lambda runtime: dispatcher.pool(runtime).take_fresh(),
    )
    sessions.start()
    return sessions


def _context(
    settings: Settings,
    state: _State,
    dispatcher: Dispatcher,
    sessions: Sessions,
    snapshots: Snapshots,
    health: Health,
) -> Context:
    return Context(
        accounts=state.accounts,
        registry=state.registry,
        dispatcher=dispatcher,
        sessions=sessions,
        snapshots=snapshots,
        status=health.report,
        phase=Phase(),
        limits=settings.web,
        node_address=f"http://{settings.host}:{settings.port}",
        cors_origins=settings.cors_origins,
        log_scoring=settings.log_scoring,
    )


def _start_upkeep(state: _State, stack: contextlib.AsyncExitStack) -> None:
    """Work that is done again and again beside the requests."""
    for name, seconds, work in (
        ("refresh", _REFRESH_SECONDS, _refresh),
        ("sweep", _SWEEP_SECONDS, _sweep),
    ):
        task = asyncio.create_task(_repeat(name, seconds, work, state), name=name)
        stack.push_async_callback(_cancel, task)


def _key(settings: Settings, data: Path) -> SigningKey:
    if settings.signing_key is not None:
        return read_key(settings.signing_key)
    return load_or_create_key(data / "signing-key.pem")


def _launcher(settings: Settings, data: Path, isolation: Isolation) -> LocalLauncher:
    return LocalLauncher(
        data=data,
        limits=settings.shells,
        isolation=isolation,
        python=settings.python or sys.executable,
        r_program=settings.r_program,
        threads=settings.threads,
    )


def _make_data(data: Path) -> Path:
    """The data directory; others may pass through it to a shell's scratch directory, and read nothing."""
    data = data.resolve()
    data.mkdir(mode=0o711, parents=True, exist_ok=True)
    return data


@contextlib.contextmanager
def _sole_user_of(data: Path) -> Iterator[None]:
    """Hold the data directory for this server. Raises GristmillError when another one has it."""
    with (data / "server.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another server uses {data}: stop it, or choose another directory with --data"
            raise GristmillError(message) from None
        yield


def _staging(data: Path) -> Path:
    staging = data / "staging"
    staging.mkdir(mode=0o700, exist_ok=True)
    return staging


def _content_opener(blobs: DirectoryBlobs, isolation: Isolation) -> Callable[[str], int]:
    """How a shell is lent a service's content.

    A shell that runs as the server's own user could open what it was lent a second time, for writing: it gets
    a copy.
    """

    def open_content(digest: str) -> int:
        with blobs.open_now(digest) as content:
            return os.dup(content.fileno()) if isolation.users else _private_copy(content.fileno())

    return open_content


def _private_copy(source: int) -> int:
    copy = os.memfd_create("content", os.MFD_CLOEXEC)
    size, offset = os.fstat(source).st_size, 0
    while offset < size:
        offset += os.sendfile(copy, source, offset, size - offset)
    os.lseek(copy, 0, os.SEEK_SET)
    return copy


async def _refresh(state: _State) -> None:
    await state.registry.refresh()
    await state.accounts.synchronize()


async def _sweep(state: _State) -> None:
    removed = await state.blobs.sweep(state.database.references, grace=_GRACE_SECONDS)
    families = await state.accounts.purge()
    log.info("swept", blobs=removed, token_families=families)


async def _repeat(
    name: str, seconds: float, work: Callable[[_State], Awaitable[None]], state: _State
) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work(state)
        except GristmillError as error:
            log.warning("background_work_failed", work=name, error=error.message)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
