"""A network between a program and its server, which tests can stop: nothing is refused, nothing answers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Wire", "running_wire"]


class Wire:
    """Carries bytes between a port on loopback and a Unix socket; `cut` stops it, `mend` lets it go on."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._flowing: asyncio.Event | None = None
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._live: set[int] = set()
        self._lost: set[int] = set()
        self._made = 0
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        self._started.wait(10)

    def stop(self) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """From now on nothing gets through, and connections that are made get no answer."""
        self._within(lambda flowing: flowing.clear())

    def mend(self) -> None:
        """What was held back gets through."""
        self._within(lambda flowing: flowing.set())

    def lose(self) -> None:
        """Nothing gets through on the connections that there are; new ones work."""
        self._within(lambda _: self._lost.update(self._live))

    def _within(self, change: Callable[[asyncio.Event], None]) -> None:
        done = threading.Event()

        def run() -> None:
            assert self._flowing is not None
            change(self._flowing)
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)

    async def _run(self) -> None:
        self._flowing, self._stop = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        serving: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._carry(reader, writer))
            serving.add(task)
            task.add_done_callback(serving.discard)

        listening = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        listening.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._target))
        self._made += 1
        number = self._made
        self._live.add(number)
        try:
            pipes = (self._pipe(number, reader, inner_writer), self._pipe(number, inner_reader, writer))
            await asyncio.gather(*pipes)
        except OSError:
            pass  # one side has ended: so does the other
        finally:
            self._live.discard(number)
            inner_writer.close()
            writer.close()

    async def _pipe(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._flowing is not None
        while piece := await reader.read(65536):
            await self._flowing.wait()
            if number in self._lost:
                continue
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError


@contextlib.contextmanager
def running_wire(target: Path) -> Iterator[Wire]:
    """A wire to the Unix socket `target`."""
    wire = Wire(target)
    wire.start()
    try:
        yield wire
    finally:
        wire.stop()
