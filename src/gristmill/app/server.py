"""Run a node behind uvicorn: one line when ready, a graceful end."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import structlog

from gristmill.app.descriptors import raise_limit
from gristmill.app.logs import loop_failed
from gristmill.app.node import Node, Ports, open_node
from gristmill.app.settings import Settings
from gristmill.app.stopping import Deadline, Stopping, place
from gristmill.errors import GristmillError

if TYPE_CHECKING:
    from gristmill.app.http_server import HttpServer

__all__ = ["run"]

log = structlog.get_logger()
_T = TypeVar("_T")

_BACKLOG = 4096
#: New calls are refused with 503 for at least so long before the port closes, so that balancers notice.
_LINGER_SECONDS = 0.5
#: What threads are given after everything is closed; then the process ends without them.
_LEAVE_SECONDS = 5.0


class _Telling(NamedTuple):
    """How whoever started the server is told of its start."""

    ready: Callable[[Node, str], None]
    progress: Callable[[str], None]


def run(
    settings: Settings,
    announce: Callable[[Node, str], None],
    tell: Callable[[str], None] = log.info,
    deadline: Deadline | None = None,
    ports: Ports | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; `announce` is called once, when requests are answered.

    `tell` is called with what is being published before that. A `deadline` that is given holds on after
    the return, for what Python does at exit: it waits for threads, for ever if one hangs.
    """
    import uvloop

    ending = deadline or Deadline()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(loop_failed)
            try:
                runner.run(_serve(settings, announce, tell, ending, ports))
            finally:
                ending.within(_LEAVE_SECONDS, runner.get_loop())
    finally:
        if deadline is None:
            ending.lift()


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises GristmillError that names the address and the way out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        why = f"cannot listen on {host}:{port}: {error.strerror}; choose another with --host and --port"
        raise GristmillError(why) from error
    listener.listen(_BACKLOG)
    return listener


async def _serve(
    settings: Settings,
    announce: Callable[[Node, str], None],
    tell: Callable[[str], None],
    deadline: Deadline,
    ports: Ports | None,
) -> None:
    stopping = Stopping(deadline, longest=settings.drain_seconds + settings.close_seconds)
    stopping.listen()
    descriptors = raise_limit()
    with _bind(settings.host, settings.port) as listener:
        opening = open_node(settings, ports)
        node = await _unless(stopping.asked, opening.__aenter__())
        if node is None:
            return
        try:
            from gristmill.app.http_server import HttpServer

            server = HttpServer(
                node.app,
                backlog=_BACKLOG,
                limits=settings.connections,
                descriptors=descriptors,
                background=node.background,
            )
            telling = _Telling(announce, tell)
            await _answer(server, listener, node, settings, telling, stopping)
        finally:
            stopping.end_within(settings.close_seconds)
            await _close(opening, settings.close_seconds / 2)
    log.info("stopped")


async def _answer(
    server: HttpServer,
    listener: socket.socket,
    node: Node,
    settings: Settings,
    telling: _Telling,
    stopping: Stopping,
) -> None:
    """Answer requests until the server is told to stop, and then to the last one."""
    serving = asyncio.create_task(server.serve([listener]), name="uvicorn")
    await server.listening.wait()
    port = listener.getsockname()[1]
    try:
        url = f"http://{_shown(_loopback(settings.host))}:{port}"
        if await _unless(stopping.asked, _prepared(node, url, telling.progress)):
            node.phase.ready = True
            telling.ready(node, f"http://{_shown(settings.host)}:{port}")
            await stopping.asked.wait()
    finally:
        seconds = settings.drain_seconds if node.phase.ready else 0.0
        stopping.end_within(seconds + settings.close_seconds)
        await _drain(node, server, seconds, stopping.hurry)
        await serving


async def _close(opening: AbstractAsyncContextManager[Node], seconds: float) -> None:
    """Take the node down; a part that does not end within `seconds` is left, so that the others end."""
    closing = asyncio.ensure_future(opening.__aexit__(None, None, None))
    await asyncio.wait({closing}, timeout=seconds)
    if not closing.done():
        log.error("closing_hangs", waits_for=place(closing), seconds=seconds)
        closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    if not closing.cancelled():
        closing.result()


async def _prepared(node: Node, url: str, tell: Callable[[str], None]) -> bool:
    """True, when shells are ready and all that is to be published is."""
    tasks = [asyncio.ensure_future(node.shells_ready())]
    if node.publishing is not None:
        tasks.append(asyncio.ensure_future(node.publishing.run(url, tell)))
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    # What is there by now stays: no collection of garbage looks at it again, which would hold the loop.
    gc.freeze()
    return True


async def _unless(stop: asyncio.Event, opening: Awaitable[_T]) -> _T | None:
    """What `opening` gives, or None when the server is told to stop before."""
    start = asyncio.ensure_future(opening)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({start, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if start.done():
        stopping.cancel()
        return start.result()
    start.cancel()
    await asyncio.gather(start, return_exceptions=True)
    return None


async def _drain(node: Node, server: HttpServer, seconds: float, hurry: asyncio.Event) -> None:
    """Refuse what is new, let what runs finish unless there is a `hurry`, then close the port."""
    node.phase.draining = True
    server.start_draining()
    log.info("draining", in_flight=len(server.server_state.tasks), at_most_seconds=seconds)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < seconds and not hurry.is_set():
        if not server.server_state.tasks and loop.time() - begun >= _LINGER_SECONDS:
            break
        await asyncio.sleep(0.05)
    if server.server_state.tasks:
        log.warning("drain_cut_short", in_flight=len(server.server_state.tasks))
    if hurry.is_set():
        server.cut_short()
    server.should_exit = True


def _loopback(host: str) -> str:
    """Where a process on this machine finds a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host or "127.0.0.1")  # noqa: S104


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
