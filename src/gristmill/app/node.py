"""One running node: everything built from settings, started, watched and taken down in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gristmill.app.settings import Settings
from gristmill.blobs import DirectoryBlobs
from gristmill.bundles import Bundle, find_bundles
from gristmill.dispatcher import Dispatcher
from gristmill.errors import GristmillError
from gristmill.launch.isolation import Isolation, detect
from gristmill.launch.lending import Lender
from gristmill.launch.local import LocalLauncher
from gristmill.realtime.models import Realtime
from gristmill.services import Runtime
from gristmill.sessions import Sessions, Snapshots
from gristmill.web.context import Context, Phase

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from gristmill.app.start_up import Publishing
    from gristmill.app.state import State
    from gristmill.moving import Moving
    from gristmill.registry import Registry

__all__ = ["Node", "Ports", "open_node"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What is put between a node and its surroundings, by programs that look at how it bears faults."""

    blobs: Callable[[DirectoryBlobs], DirectoryBlobs] = lambda blobs: blobs
    launcher: Callable[[LocalLauncher], LocalLauncher] = lambda launcher: launcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What `serve` needs of a running node."""

    app: ASGIApp
    phase: Phase
    generated_password: str | None  #: of `admin`, to be shown once
    languages: Callable[[], list[str]]  #: with their versions, as the shells say them; once they are ready
    warnings: list[str]
    shells_ready: Callable[[], Awaitable[None]]  #: returns when there is one of each language; ShellDied
    publishing: Publishing | None  #: what is to be published before calls are welcome


class _Scoring(NamedTuple):
    """What scores, with or without shells."""

    launcher: LocalLauncher
    dispatcher: Dispatcher
    realtime: Realtime
    isolation: Isolation
    warnings: list[str]


@contextlib.asynccontextmanager
async def open_node(settings: Settings, ports: Ports | None = None) -> AsyncIterator[Node]:
    """Build and start a node; on leaving, its shells have ended and its database is closed."""
    async with contextlib.AsyncExitStack() as stack:
        bundles = find_bundles(settings.publish) if settings.publish else []
        data = _make_data(settings.data)
        stack.enter_context(_sole_user_of(data))
        ports = ports or Ports()
        blobs = ports.blobs(_open_blobs(settings.blobs or data / "blobs"))
        scoring = await _start_scoring(settings, data, blobs, ports, stack)
        dispatcher = scoring.dispatcher
        # The shells start in processes of their own, while this one imports the rest.
        from gristmill.app import http_server  # noqa: F401 - so that it is there when the node is
        from gristmill.app.batch_work import open_batches
        from gristmill.app.health import Health
        from gristmill.app.state import open_state, start_upkeep
        from gristmill.web.app import create_app

        state = await open_state(settings, data, blobs, stack)
        _follow(state.registry, dispatcher, scoring.realtime)
        snapshots = Snapshots(state.database.snapshots, state.blobs, limit=settings.sessions.snapshot_bytes)
        sessions = _sessions(settings, data, scoring.launcher, snapshots, dispatcher)
        stack.push_async_callback(sessions.close_all)
        start_upkeep(state, stack)
        batches = await open_batches(settings.batches, data, _staging(data), state, dispatcher, stack)
        health = Health(state.database, dispatcher, sessions, scoring.isolation, scoring.warnings)
        moving = _moving(settings, state.registry, blobs, scoring)
        context = Context(
            accounts=state.accounts,
            registry=state.registry,
            dispatcher=dispatcher,
            sessions=sessions,
            snapshots=snapshots,
            batches=batches,
            realtime=scoring.realtime,
            publisher=moving.publisher,
            moving=moving,
            status=health.report,
            phase=Phase(),
            limits=settings.web,
            node_address=f"http://{settings.host}:{settings.port}",
            cors_origins=settings.cors_origins,
            log_scoring=settings.log_scoring,
        )
        yield Node(
            app=create_app(context),
            phase=context.phase,
            generated_password=state.generated_password,
            languages=lambda: [str(pool["language"]) for pool in dispatcher.describe().values()],
            warnings=scoring.warnings,
            shells_ready=dispatcher.wait_ready,
            publishing=_publishing(bundles, settings, state, context, data),
        )


async def _start_scoring(
    settings: Settings, data: Path, blobs: DirectoryBlobs, ports: Ports, stack: contextlib.AsyncExitStack
) -> _Scoring:
    """Shells that start, and native scoring."""
    isolation, warnings = await asyncio.to_thread(
        detect,
        settings.python or sys.executable,
        data=data,
        network=settings.shell_network,
        bubblewrap=settings.bubblewrap,
    )
    local = _launcher(settings, data, isolation)
    stack.push_async_callback(local.close)
    launcher = ports.launcher(local)
    if Runtime.R not in launcher.runtimes:
        warnings.append("there is no R on this machine: only Python services can be published")
    realtime = Realtime(blobs.open_now, settings.realtime)
    stack.push_async_callback(realtime.close)
    dispatcher = Dispatcher(
        launcher,
        settings=settings.pool,
        limits=settings.shells,
        open_content=_content_opener(blobs, isolation),
        realtime=realtime,
    )
    stack.push_async_callback(dispatcher.close)
    dispatcher.start()
    return _Scoring(launcher, dispatcher, realtime, isolation, warnings)


def _moving(settings: Settings, registry: Registry, blobs: DirectoryBlobs, scoring: _Scoring) -> Moving:
    from gristmill.moving import Moving
    from gristmill.realtime.publishing import Publisher

    return Moving(
        registry,
        blobs,
        scoring.dispatcher,
        Publisher(blobs, limit=settings.realtime.model_bytes),
        scoring.realtime.prepare,
        limit=settings.sessions.snapshot_bytes,
    )


def _publishing(
    bundles: list[Bundle], settings: Settings, state: State, context: Context, data: Path
) -> Publishing | None:
    if not bundles:
        return None
    from gristmill.app.start_up import Publishing

    return Publishing(settings, bundles, state, context, data)


def _follow(registry: Registry, dispatcher: Dispatcher, realtime: Realtime) -> None:
    """Keep what shells and native scoring hold in step with what is published."""
    registry.subscribe(dispatcher.forget)
    registry.subscribe(lambda _: dispatcher.arrange(registry.versions()))
    dispatcher.arrange(registry.versions())
    realtime.warm(registry.versions())


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


def _launcher(settings: Settings, data: Path, isolation: Isolation) -> LocalLauncher:
    return LocalLauncher(
        data=data,
        limits=settings.shells,
        isolation=isolation,
        hidden=[path for path in (settings.blobs, settings.signing_key) if path],
        python=settings.python or sys.executable,
        r_program=settings.r_program,
        threads=settings.threads,
    )


def _make_data(data: Path) -> Path:
    """The data directory; others may pass through it to a shell's scratch directory, and read nothing.

    Raises GristmillError that names it.
    """
    data = data.resolve()
    try:
        data.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(data, error) from error
    if not os.access(data, os.W_OK | os.X_OK):
        raise _unwritable(data, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return data


def _unwritable(data: Path, error: OSError) -> GristmillError:
    return GristmillError(
        f"state cannot be kept in {data}: {error.strerror}; user {os.geteuid()} must be able to write there, "
        "or choose another directory with --data"
    )


def _open_blobs(folder: Path) -> DirectoryBlobs:
    """Raises GristmillError that names the folder."""
    try:
        return DirectoryBlobs(folder.resolve())
    except OSError as error:
        why = f"contents cannot be kept in {folder}: {error.strerror}; choose a folder with --blobs"
        raise GristmillError(why) from None


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
    """How a shell is lent a service's content, which it cannot change; for any thread."""
    return Lender(blobs.open_now, isolation).lend
