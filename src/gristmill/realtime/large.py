"""Calls with large bodies, scored in processes of their own.

A thread would not do: decoding or encoding many MiB of JSON is one call into C, which keeps all other Python
of the process waiting, the event loop included, for seconds. The memory of such a call, many times its body,
goes back with the process, too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Protocol

import msgspec
import structlog

from gristmill import errors
from gristmill.errors import GristmillError, Overloaded, ShellDied, TimedOut
from gristmill.off_loop import Work, off_loop
from gristmill.realtime.threads import made_off_loop

__all__ = ["LARGE", "LargeCalls", "Portable"]

log = structlog.get_logger("gristmill.realtime")

#: Bytes of a body from which on a call is scored in another process.
LARGE = 512 * 1024
#: What the interpreter is to run.
PROGRAM = ("-m", "gristmill.realtime.large_worker")
#: What the program may see of the server's environment; no secret is among them.
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "COVERAGE_PROCESS_CONFIG")
_IDLE_SECONDS = 60.0
_RAISED: dict[str, type[Exception]] = {
    name: found for name in errors.__all__ if issubclass(found := getattr(errors, name), GristmillError)
}


class Portable(Protocol):
    """A call that can be made again in another process, of its body and its form."""

    def form(self) -> dict[str, Any]:
        """What `large_worker` makes it of, beside the body: JSON."""

    def told(self, said: dict[str, Any]) -> None:
        """What the call over there has come to know as it encoded the answer."""


class LargeCalls:
    """Scores one call at a time in each of a few processes, which start when needed and end when idle."""

    def __init__(
        self, open_content: Callable[[str], BinaryIO], *, processes: int, seconds: float = 300.0
    ) -> None:
        self._open = open_content
        self._places = asyncio.Semaphore(processes)
        self._seconds = seconds
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._closed = False
        self.calls = 0

    async def score(self, digest: str, body: bytes, call: Portable | None = None) -> bytes:
        """The answer's body to `call`, or else to a caller's JSON, by the model with this digest.

        Raises what scoring raises; OSError and NotFound where the model cannot be opened; ShellDied when the
        process ended; TimedOut. A caller who leaves ends the process that works for him.
        """
        asked = {"digest": digest, **(call.form() if call is not None else {})}
        async with self._places:
            model = await made_off_loop(Work.READ, lambda: self._open(digest), _close)
            with model:
                worker = self._idle.pop() if self._idle else await self._start()
                try:
                    async with asyncio.timeout(self._seconds):
                        told, answer = await worker.run(asked, body, model.fileno())
                except TimeoutError:
                    raise TimedOut(f"scoring took longer than {self._seconds:g} s") from None
                finally:
                    self._put_back(worker)
        self.calls += 1
        if "kind" in told:
            raise _RAISED.get(told["kind"], RuntimeError)(told["message"])
        if call is not None:
            call.told(told)
        return answer

    async def close(self) -> None:
        """End all processes; calls that they work on fail."""
        self._closed = True
        workers, self._idle = list(self._all), []
        await asyncio.gather(*(self._end(worker) for worker in workers))

    async def _start(self) -> _Worker:
        try:
            worker = await made_off_loop(Work.READ, _Worker, _Worker.end)
        except OSError as error:
            why = f"no process can be started for a large call now: {error.strerror or error}; try again"
            raise Overloaded(why) from error
        if self._closed:
            self._ending(worker)
            raise Overloaded("the server is shutting down, and scores no large calls")
        self._all.add(worker)
        return worker

    def _put_back(self, worker: _Worker) -> None:
        """Keep a process for the next call, for a while; one that did not finish its call is ended."""
        if worker.free and worker in self._all:
            self._idle.append(worker)
            asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._end_idle, worker, worker.calls)
        else:
            worker.kill()
            self._ending(worker)

    def _end_idle(self, worker: _Worker, calls: int) -> None:
        if worker in self._idle and worker.calls == calls:
            self._idle.remove(worker)
            self._ending(worker)

    def _ending(self, worker: _Worker) -> None:
        task = asyncio.ensure_future(self._end(worker))
        worker.ending = task  # so that it is kept until it is done

    async def _end(self, worker: _Worker) -> None:
        self._all.discard(worker)
        await off_loop(Work.REMOVE, worker.end)


class _Worker:
    """A process that scores, and the socket to it. Made in a thread."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            inherited = {name: os.environ[name] for name in _PASSED if name in os.environ}
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own words only
                    [sys.executable, *PROGRAM, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={**inherited, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._socket = ours
        self.free = True
        self.calls = 0
        self.ending: asyncio.Task[None] | None = None

    async def run(self, asked: dict[str, Any], body: bytes, model: int) -> tuple[dict[str, Any], bytes]:
        """What the process tells of a call, and the answer. Raises ShellDied."""
        self.free = False
        self.calls += 1
        sent = await off_loop(Work.WRITE, _memory_with, body)
        try:
            answer = os.memfd_create("answer", os.MFD_CLOEXEC)
            try:
                told = await self._ask(msgspec.json.encode(asked), [sent, answer, model])
                self.free = True
                return told, await off_loop(Work.WRITE, _content_of, answer)
            finally:
                os.close(answer)
        finally:
            os.close(sent)

    async def _ask(self, line: bytes, descriptors: Sequence[int]) -> dict[str, Any]:
        try:
            socket.send_fds(self._socket, [line + b"\n"], descriptors)
            got = b""
            while not got.endswith(b"\n"):
                part = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
                if not part:
                    raise EOFError
                got += part
        except (OSError, EOFError) as error:
            log.warning("large_call_lost", status=self._process.poll(), error=repr(error))
            raise ShellDied("the process that scored this call ended before it answered") from None
        told: dict[str, Any] = msgspec.json.decode(got)
        return told

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def end(self) -> None:
        """End it, and return when it has ended; then all that it held is free."""
        self._process.kill()
        self._process.wait()
        self._socket.close()


def _close(file: BinaryIO) -> None:
    file.close()


def _memory_with(body: bytes) -> int:
    """The descriptor of a file in memory with this content."""
    descriptor = os.memfd_create("body", os.MFD_CLOEXEC)
    try:
        view = memoryview(body)
        while view:
            view = view[os.write(descriptor, view) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _content_of(descriptor: int) -> bytes:
    with open(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()
