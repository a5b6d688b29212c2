"""One running node: everything built from settings, started, watched and taken down in order."""

from __future__ import annotations

import contextlib
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
from gristmill.dispatcher import Dispatcher
from gristmill.launch.isolation import Isolation, detect
from gristmill.launch.lending import Lender
from gristmill.launch.local import LocalLauncher
from gristmill.off_loop import Work, off_loop
from gristmill.realtime.models import Realtime
from gristmill.services import Runtime
from gristmill.sessions import Sessions, Snapshots
from gristmill.web.context import Context, Phase
from gristmill.web.requests import Bodies

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
    background: Background  #: what supervises its background work
    publishing: Publishing | None  #: what is to be published before calls are welcome


class _Surroundings(NamedTuple):
    """What the parts of a node are built upon."""

    data: Path
    staging: Path  #: for files on their way in or out
    blobs: DirectoryBlobs
    ports: Ports
    background: Background


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
        around = await _surroundings(settings, ports or Ports(), stack)
        data, staging, blobs, background = around.data, around.staging, around.blobs, around.background
        scoring = await _start_scoring(settings, around, stack)
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
        sessions = _sessions(settings, staging, scoring, snapshots, background)
        stack.push_async_callback(sessions.close_all)
        start_upkeep(state, background, stack)
        batches = await open_batches(
            settings.batches, data, staging, state, dispatcher, stack, background=background
        )
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
            bodies=Bodies(settings.web.bodies_bytes),
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
            background=background,
            publishing=_publishing(bundles, settings, state, context, data),
        )


async def _surroundings(settings: Settings, ports: Ports, stack: contextlib.AsyncExitStack) -> _Surroundings:
    """Folders of this server alone, and what supervises its background work: closed last."""
    data = make_data(settings.data)
    stack.enter_context(sole_user_of(data))
    staging = await off_loop(Work.REMOVE, fresh_staging, data)
    stack.enter_context(temporary_files_in(staging))
    background = Background()
    stack.push_async_callback(background.close)
    blobs = ports.blobs(open_blobs(settings.blobs or data / "blobs"))
    return _Surroundings(data, staging, blobs, ports, background)


async def _start_scoring(
    settings: Settings, around: _Surroundings, stack: contextlib.AsyncExitStack
) -> _Scoring:
    """Shells that start, and native scoring."""
    data, blobs = around.data, around.blobs
    isolation, warnings = await off_loop(
        Work.READ,
        detect,
        settings.python or sys.executable,
        data=data,
        network=settings.shell_network,
        bubblewrap=settings.bubblewrap,
    )
    local = _launcher(settings, data, isolation)
    stack.push_async_callback(local.close)
    launcher = around.ports.launcher(local)
    if Runtime.R not in launcher.runtimes:
        warnings.append("there is no R on this machine: only Python services can be published")
    realtime = Realtime(blobs.open_now, settings.realtime, background=around.background)
    stack.push_async_callback(realtime.close)
    dispatcher = Dispatcher(
        launcher,
        settings=settings.pool,
        limits=settings.shells,
        open_content=_content_opener(blobs, isolation),
        realtime=realtime,
        background=around.background,
        dedicated_shells=settings.pools.node,
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
    scoring: _Scoring,
    snapshots: Snapshots,
    background: Background,
) -> Sessions:
    sessions = Sessions(
        scoring.launcher,
        snapshots,
        settings=settings.sessions,
        limits=settings.shells,
        staging=staging,
        fresh=lambda runtime: scoring.dispatcher.pool(runtime).take_fresh(),
        background=background,
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
    """How a shell is lent a service's content, which it cannot change; for any thread."""
    return Lender(blobs.open_now, isolation).lend
