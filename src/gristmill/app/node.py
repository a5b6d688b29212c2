"""One running node: everything built from settings, started, watched and taken down in order."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gristmill.app.folders import fresh_staging, make_data, open_blobs, sole_user_of, temporary_files_in
from gristmill.app.settings import Settings
from gristmill.background import Background
from gristmill.blobs import DirectoryBlobs
from gristmill.bundles import Bundle, find_bundles
from gristmill.disk import storing
from gristmill.dispatcher import Dispatcher
from gristmill.launch.isolation import Isolation, detect
from gristmill.launch.local import LocalLauncher
from gristmill.off_loop import Work, off_loop
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

__all__ = ["Node", "open_node"]


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
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """Build and start a node; on leaving, its shells have ended and its database is closed."""
    async with contextlib.AsyncExitStack() as stack:
        bundles = find_bundles(settings.publish) if settings.publish else []
        data = make_data(settings.data)
        stack.enter_context(sole_user_of(data))
        staging = await off_loop(Work.REMOVE, fresh_staging, data)
        stack.enter_context(temporary_files_in(staging))
        background = _background(stack)
        blobs = open_blobs(settings.blobs or data / "blobs")
        scoring = await _start_scoring(settings, data, blobs, stack)
        dispatcher = scoring.dispatcher
        # The shells start in processes of their own, while this one imports the rest.
        from gristmill.app import http_server  # noqa: F401 - so that it is there when the node is
        from gristmill.app.batch_work import open_batches
        from gristmill.app.health import Health, Watch
        from gristmill.app.state import open_state, start_upkeep
        from gristmill.app.storage import watched
        from gristmill.web.app import create_app

        state = await open_state(settings, data, blobs, stack)
        _follow(state.registry, dispatcher, scoring.realtime)
        snapshots = Snapshots(state.database.snapshots, state.blobs, limit=settings.sessions.snapshot_bytes)
        sessions = _sessions(settings, staging, scoring.launcher, snapshots, dispatcher)
        stack.push_async_callback(sessions.close_all)
        start_upkeep(state, background, stack)
        batches = await open_batches(settings.batches, data, staging, state, dispatcher, stack)
        watch = Watch(background=background, storage=watched([data, settings.blobs or data], background))
        health = Health(state.database, dispatcher, sessions, scoring.isolation, scoring.warnings, watch)
        moving = _moving(settings, state.registry, blobs, scoring, staging)
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
            readiness=health.readiness,
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


def _background(stack: contextlib.AsyncExitStack) -> Background:
    """What supervises the node's background work; closed after all who have given it some."""
    background = Background()
    stack.push_async_callback(background.close)
    return background


async def _start_scoring(
    settings: Settings, data: Path, blobs: DirectoryBlobs, stack: contextlib.AsyncExitStack
) -> _Scoring:
    """Shells that start, and native scoring."""
    isolation, warnings = await off_loop(
        Work.READ,
        detect,
        settings.python or sys.executable,
        data=data,
        network=settings.shell_network,
        bubblewrap=settings.bubblewrap,
    )
    launcher = _launcher(settings, data, isolation)
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


def _moving(
    settings: Settings, registry: Registry, blobs: DirectoryBlobs, scoring: _Scoring, staging: Path
) -> Moving:
    from gristmill.moving import Moving
    from gristmill.realtime.publishing import Publisher

    return Moving(
        registry,
        blobs,
        scoring.dispatcher,
        Publisher(blobs, limit=settings.realtime.model_bytes),
        scoring.realtime.prepare,
        limit=settings.sessions.snapshot_bytes,
        staging=staging,
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
    staging: Path,
    launcher: LocalLauncher,
    snapshots: Snapshots,
    dispatcher: Dispatcher,
) -> Sessions:
    sessions = Sessions(
        launcher,
        snapshots,
        settings=settings.sessions,
        limits=settings.shells,
        staging=staging,
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


def _content_opener(blobs: DirectoryBlobs, isolation: Isolation) -> Callable[[str], int]:
    """How a shell is lent a service's content.

    A shell that runs as the server's own user could open what it was lent a second time, for writing: it gets
    a copy.
    """

    def open_content(digest: str) -> int:
        with storing(None, "content"), blobs.open_now(digest) as content:
            return os.dup(content.fileno()) if isolation.users else _private_copy(content.fileno())

    return open_content


def _private_copy(source: int) -> int:
    copy = os.memfd_create("content", os.MFD_CLOEXEC)
    size, offset = os.fstat(source).st_size, 0
    while offset < size:
        offset += os.sendfile(copy, source, offset, size - offset)
    os.lseek(copy, 0, os.SEEK_SET)
    return copy
