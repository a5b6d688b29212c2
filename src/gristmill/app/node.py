"""One running node: everything built from settings, started, watched and taken down in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from gristmill import __version__
from gristmill.app.settings import Settings
from gristmill.auth import Accounts, ensure_admin, load_signer
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


@contextlib.asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """Build and start a node; on leaving, its shells have ended and its database is closed."""
    async with contextlib.AsyncExitStack() as stack:
        data = _make_data(settings.data)
        stack.enter_context(_sole_user_of(data))
        database = await open_database(settings.database or default_url(data))
        stack.push_async_callback(database.close)
        password = await ensure_admin(database.users, settings.admin_password)
        accounts = Accounts(database.users, database.tokens, load_signer(data, settings.signing_key))
        blobs = DirectoryBlobs(data / "blobs")
        registry = Registry(database.services, database.snapshots)
        await registry.refresh()
        isolation, warnings = await asyncio.to_thread(
            detect,
            settings.python or sys.executable,
            network=settings.shell_network,
            bubblewrap=settings.bubblewrap,
        )
        launcher = _launcher(settings, data, isolation)
        dispatcher = Dispatcher(
            launcher,
            settings=settings.pool,
            limits=settings.shells,
            open_content=_content_opener(blobs, isolation),
        )
        registry.subscribe(dispatcher.forget)
        stack.push_async_callback(dispatcher.close)
        dispatcher.start()
        snapshots = Snapshots(database.snapshots, blobs, limit=settings.sessions.snapshot_bytes)
        sessions = Sessions(
            launcher,
            snapshots,
            settings=settings.sessions,
            limits=settings.shells,
            staging=_staging(data),
            fresh=lambda runtime: dispatcher.pool(runtime).take_fresh(),
        )
        sessions.start()
        stack.push_async_callback(sessions.close_all)
        phase = Phase()
        status = _Status(settings, database, dispatcher, sessions, isolation, warnings)
        context = Context(
            accounts=accounts,
            registry=registry,
            dispatcher=dispatcher,
            sessions=sessions,
            snapshots=snapshots,
            status=status.report,
            phase=phase,
            limits=settings.web,
            cors_origins=settings.cors_origins,
            log_scoring=settings.log_scoring,
        )
        for name, seconds, work in (
            ("refresh", _REFRESH_SECONDS, lambda: _refresh(registry, accounts)),
            ("sweep", _SWEEP_SECONDS, lambda: _sweep(blobs, database, accounts)),
        ):
            task = asyncio.create_task(_repeat(name, seconds, work), name=name)
            stack.push_async_callback(_cancel, task)
        await dispatcher.wait_ready()
        if Runtime.R not in launcher.runtimes:
            warnings.append("there is no R on this machine: only Python services can be published")
        yield Node(
            context=context,
            phase=phase,
            generated_password=password,
            runtimes={name: str(pool["language"]) for name, pool in dispatcher.describe().items()},
            warnings=warnings,
        )


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
def _sole_user_of(data: Path) -> Any:
    """Hold the data directory for this server. Raises GristmillError when another one has it."""
    import fcntl

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

    A shell that runs as the server's own user could open what it was lent a second time, for writing: it gets a
    copy.
    """

    def open_content(digest: str) -> int:
        lent = blobs.open_descriptor(digest)
        if isolation.users:
            return lent
        try:
            return _private_copy(lent)
        finally:
            os.close(lent)

    return open_content


def _private_copy(source: int) -> int:
    copy = os.memfd_create("content", os.MFD_CLOEXEC)
    size, offset = os.fstat(source).st_size, 0
    while offset < size:
        offset += os.sendfile(copy, source, offset, size - offset)
    os.lseek(copy, 0, os.SEEK_SET)
    return copy


async def _refresh(registry: Registry, accounts: Accounts) -> None:
    await registry.refresh()
    await accounts.refresh_verdicts()


async def _sweep(blobs: DirectoryBlobs, database: Database, accounts: Accounts) -> None:
    removed = await blobs.sweep(database.references, grace=_GRACE_SECONDS)
    await accounts.purge()
    log.info("swept", blobs=removed)


async def _repeat(name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except GristmillError as error:
            log.warning("background_work_failed", work=name, error=error.message)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class _Status:
    """The health of this node, for `GET /status`."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        dispatcher: Dispatcher,
        sessions: Sessions,
        isolation: Isolation,
        warnings: list[str],
    ) -> None:
        self._settings = settings
        self._database = database
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._isolation = isolation
        self._warnings = warnings
        self._started = time.monotonic()

    async def report(self) -> dict[str, Any]:
        """`{"statusCode", "details", "components"}`, down to each pool and the database."""
        pools = {name: _pool_status(pool) for name, pool in self._dispatcher.describe().items()}
        backends = {
            "statusCode": _worst(pools),
            "details": {"isolation": self._isolation.summary, "warnings": self._warnings},
            "components": pools,
        }
        components = {"backends": backends, "database": await self._database_status()}
        details = {
            "version": __version__,
            "uptimeSeconds": round(time.monotonic() - self._started, 1),
            "sessions": self._sessions.count,
            "runtimes": sorted(pools),
        }
        return {"statusCode": _worst(components), "details": details, "components": components}

    async def _database_status(self) -> dict[str, Any]:
        try:
            await self._database.revision()
        except GristmillError as error:
            return {"statusCode": "fail", "details": {"error": error.message}, "components": {}}
        return {"statusCode": "pass", "details": {}, "components": {}}


def _pool_status(pool: dict[str, object]) -> dict[str, Any]:
    code = "pass" if pool["ready"] else "fail"
    if code == "pass" and pool["queued"]:
        code = "warn"
    return {"statusCode": code, "details": pool, "components": {}}


def _worst(components: dict[str, Any]) -> str:
    codes = {component["statusCode"] for component in components.values()}
    return next((code for code in ("fail", "warn") if code in codes), "pass")
