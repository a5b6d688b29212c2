"""A launcher whose shells are coroutines behind a socket: deaths and replies come when a test says so."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import msgspec

from gristmill.frames import TIMES, Decoder, Frame, Kind, Status, pack_header
from gristmill.services import Runtime


class FakeProcess:
    """The server's side of a fake shell, and the levers of the test."""

    def __init__(self, launcher: FakeLauncher) -> None:
        self.launcher = launcher
        self.control, self.theirs = socket.socketpair()
        self.descriptors, self._their_descriptors = socket.socketpair()
        for end in (self.control, self.theirs, self.descriptors, self._their_descriptors):
            end.setblocking(False)
        self.console = os.memfd_create("console")
        self._exit_read, self._exit_write = os.pipe()
        self._status: int | None = None
        self.pid = 1000 + len(launcher.processes)
        self.frames: list[Frame] = []  #: requests not yet answered
        self.seen: list[Frame] = []
        self.resident = 1 << 20
        self.interrupted = 0
        self.out_of_memory = False
        self._decoder = Decoder(1 << 24)
        loop = asyncio.get_running_loop()
        loop.add_reader(self.theirs, self._readable)

    # ShellProcess

    def exit_descriptor(self) -> int:
        return self._exit_read

    def reap(self) -> int | None:
        return self._status

    def ran_out_of_memory(self) -> bool:
        return self.out_of_memory

    def interrupt(self) -> None:
        self.interrupted += 1

    def kill(self) -> None:
        self.die(-9)

    def memory(self, *, exact: bool = False) -> int:
        return self.resident

    def close(self) -> None:
        for end in (self.control, self.descriptors, self._their_descriptors):
            end.close()
        for descriptor in (self.console, self._exit_read):
            os.close(descriptor)

    # Levers

    def die(self, status: int = 1) -> None:
        if self._status is None:
            self._status = status
            asyncio.get_running_loop().remove_reader(self.theirs)
            self.theirs.close()
            os.close(self._exit_write)

    @property
    def alive(self) -> bool:
        return self._status is None

    def ready(self) -> None:
        self.send(Kind.READY, 0, msgspec.json.encode({"language": "Fake 1.0"}))

    def send(self, kind: int, id: int, body: bytes = b"", status: int = 0, meta: bytes = b"") -> None:
        header = pack_header(kind, id, len(body), status=status, meta_length=len(meta))
        self.theirs.send(header + meta + body)

    def reply(self, body: bytes = b"{}", status: int = Status.OK, run: int = 50) -> Frame:
        """Answer the oldest request."""
        frame = self.frames.pop(0)
        self.send(Kind.REPLY, frame.id, body, status, TIMES.pack(0, 1, run, 1))
        return frame

    @property
    def calls(self) -> list[Frame]:
        return [frame for frame in self.frames if frame.kind == Kind.CALL]

    def _readable(self) -> None:
        try:
            data = self.theirs.recv(1 << 20)
        except BlockingIOError:
            return
        if not data:
            self.die(0)
            return
        for frame in self._decoder.feed(data):
            self.seen.append(frame)
            if frame.kind == Kind.CONFIG:
                if self.launcher.fails_to_start:
                    self.die(3)
                    return
                if self.launcher.starts_by_itself:
                    self.ready()
            elif frame.kind != Kind.UNLOAD:
                self.frames.append(frame)
                self.launcher.on_request(self)


class FakeLauncher:
    """Implements `ShellLauncher`."""

    def __init__(self, on_request: Callable[[FakeProcess], None] = lambda process: None) -> None:
        self.processes: list[FakeProcess] = []
        self.on_request = on_request
        self.fails_to_start = False
        self.starts_by_itself = True

    @property
    def runtimes(self) -> dict[Runtime, str]:
        return {Runtime.PYTHON: "fake"}

    def launch(self, runtime: Runtime) -> FakeProcess:
        process = FakeProcess(self)
        self.processes.append(process)
        return process

    def config(self, runtime: Runtime) -> dict[str, object]:
        return {"runtime": str(runtime)}

    @property
    def living(self) -> list[FakeProcess]:
        return [process for process in self.processes if process.alive]


def answering(body: bytes = b"{}", run: int = 50) -> Callable[[FakeProcess], None]:
    """A shell that answers whatever it is asked, at once."""

    def on_request(process: FakeProcess) -> None:
        while process.frames and process.alive:
            process.reply(body, run=run)

    return on_request


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let the loop run until `condition` holds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come about in time"
        await asyncio.sleep(0.001)
