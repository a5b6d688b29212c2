"""Run a node behind uvicorn: one line when ready, a graceful end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import structlog

from gristmill.app.node import Node, Ports, open_node
from gristmill.app.settings import Settings
from gristmill.errors import GristmillError

if TYPE_CHECKING:
    from gristmill.app.http_server import HttpServer

__all__ = ["run"]

log = structlog.get_logger()
_T = TypeVar("_T")

_BACKLOG = 4096
#: New calls are refused with 503 for at least so long before the port closes, so that balancers notice.
_LINGER_SECONDS = 0.5


def run(
    settings: Settings,
    announce: Callable[[Node, str], None],
    tell: Callable[[str], None] = log.info,
    ports: Ports | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is called once, when requests are answered.

    `tell` is called with what is being published before that.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, announce, tell, ports))


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
    ports: Ports | None,
) -> None:
    listener = _bind(settings.host, settings.port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with listener:
        opening = open_node(settings, ports)
        node = await _unless(stop, opening.__aenter__())
        if node is None:
            return
        try:
            from gristmill.app.http_server import HttpServer

            server = HttpServer(node.app, backlog=_BACKLOG)
            serving = asyncio.create_task(server.serve([listener]), name="uvicorn")
            await server.listening.wait()
            port = listener.getsockname()[1]
            try:
                if await _unless(
                    stop, _prepared(node, f"http://{_shown(_loopback(settings.host))}:{port}", tell)
                ):
                    node.phase.ready = True
                    announce(node, f"http://{_shown(settings.host)}:{port}")
                    await stop.wait()
            finally:
                await _drain(node, server, settings.drain_seconds if node.phase.ready else 0.0)
                await serving
        finally:
            await opening.__aexit__(None, None, None)
    log.info("stopped")


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


async def _drain(node: Node, server: HttpServer, seconds: float) -> None:
    """Refuse what is new, let what runs finish, then close the port."""
    node.phase.draining = True
    server.start_draining()
    log.info("draining", in_flight=len(server.server_state.tasks), at_most_seconds=seconds)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < seconds:
        if not server.server_state.tasks and loop.time() - begun >= _LINGER_SECONDS:
            break
        await asyncio.sleep(0.05)
    if server.server_state.tasks:
        log.warning("drain_cut_short", in_flight=len(server.server_state.tasks))
    server.should_exit = True


def _loopback(host: str) -> str:
    """Where a process on this machine finds a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host or "127.0.0.1")  # noqa: S104


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
