"""One shell: send it requests, match its replies, notice its death."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import deque
from typing import Protocol

import msgspec
import structlog

from gristmill.calls import Request
from gristmill.errors import GristmillError, LimitExceeded, ShellDied, TimedOut
from gristmill.frames import BrokenFrame, Decoder, Frame, Kind, Status, pack_header
from gristmill.launching import ShellProcess

__all__ = ["Shell", "ShellKeeper", "over_memory"]

log = structlog.get_logger()

_RECEIVE = 256 * 1024
#: Room beyond the output limit for what surrounds an answer.
_FRAME_SLACK = 64 * 1024
#: Bytes of its console that tell why a shell did not start.
_LAST_WORDS = 1000
#: From a closed socket to SIGKILL: for a process that is dying, and for one that was asked to end.
_DYING_SECONDS, _CLOSE_SECONDS = 0.2, 5.0


class ShellKeeper(Protocol):
    """Who is told what a shell does: its pool, or its session."""

    def on_ready(self, shell: Shell) -> None:
        """The shell answered CONFIG and takes requests."""

    def on_reply(self, shell: Shell, request: Request) -> None:
        """A request was answered; the shell has room for another."""

    def on_death(self, shell: Shell, waiting: list[Request]) -> None:
        """The shell is gone; `waiting` had not begun and are the keeper's again."""


class Shell:
    """A living shell process. All methods are for the event loop's thread."""

    def __init__(
        self, process: ShellProcess, keeper: ShellKeeper, *, config: dict[str, object], output_limit: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._keeper = keeper
        self._socket = process.control
        self._decoder = Decoder(output_limit + _FRAME_SLACK)
        self._outgoing: deque[memoryview] = deque()
        self._next_id = 0
        self._grouped = 0  #: how many at the head of `inflight` run as one; 0: the head alone
        self._reason: GristmillError | None = None
        self.inflight: deque[Request] = deque()
        self.head_since = self._loop.time()
        self.started = self.head_since
        self.ready = False
        self.dead = False
        self.retiring = False
        self.exit_status: int | None = None
        self.answered = 0
        self.info: dict[str, object] = {}
        self._gone = self._loop.create_future()
        self._loop.add_reader(self._socket, self._readable)
        self._loop.add_reader(process.exit_descriptor(), self._exited)
        body = msgspec.json.encode(config)
        self._write([pack_header(Kind.CONFIG, 0, len(body)), body])

    def adopt(self, keeper: ShellKeeper) -> None:
        """From now on `keeper` is told what the shell does."""
        self._keeper = keeper

    @property
    def reason(self) -> GristmillError | None:
        """Why it was ended, if it did not end by itself."""
        return self._reason

    @property
    def usable(self) -> bool:
        """Whether it takes requests."""
        return self.ready and not self.retiring and not self.dead and self._reason is None

    @property
    def pid(self) -> int:
        """Of the process that was started, as the server sees it."""
        return self._process.pid

    @property
    def console(self) -> int:
        """Descriptor of the file that holds what the shell printed."""
        return self._process.console

    def send(self, request: Request) -> None:
        """Put a request behind those in flight; its future gets the answer, or the keeper gets it back."""
        self._next_id = (self._next_id + 1) & 0xFFFFFFFF
        request.sent = self._loop.time()
        if not self.inflight:
            self.head_since = request.sent
        self.inflight.append(request)
        if request.descriptor is not None:
            try:
                socket.send_fds(self._process.descriptors, [b"x"], [request.descriptor])
            except OSError as error:
                self.kill(ShellDied(f"the shell took no descriptor: {error}"))
                return
        header = pack_header(
            request.kind,
            self._next_id,
            len(request.body),
            handle=request.handle,
            meta_length=len(request.meta),
        )
        self._write([header, request.meta, request.body] if request.meta else [header, request.body])

    def tell(self, kind: Kind, handle: int) -> None:
        """Send a frame that has no reply."""
        self._write([pack_header(kind, 0, 0, handle=handle)])

    def interrupt(self) -> None:
        """Ask the code that runs to stop, by SIGINT."""
        self._process.interrupt()

    def memory(self, most: int) -> int:
        """Resident bytes, children included; looked at closely only when it seems to be more than `most`."""
        used = self._process.memory()
        return used if used <= most else self._process.memory(exact=True)

    def kill(self, reason: GristmillError) -> None:
        """End it at once; what runs fails with `reason`. The keeper hears of it when the process is gone."""
        if self._reason is None:
            self._reason = reason
        self._process.kill()

    def close(self) -> None:
        """Let it end by itself, now that nothing is in flight; `gone` resolves when it has."""
        self.retiring = True
        if not self.dead:
            self._loop.remove_writer(self._socket)
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.kill(ShellDied("the shell had closed its socket"))
                return
            self._loop.call_later(_CLOSE_SECONDS, self._kill_unless_dead)

    async def gone(self) -> None:
        """Wait until the process has ended and everything of it is cleared away."""
        await asyncio.shield(self._gone)

    def overdue(self, now: float) -> GristmillError | None:
        """The error that what runs deserves for its length, or None."""
        if not self.inflight:
            return None
        limit = self.inflight[0].limit
        if limit is None or now - self.head_since <= limit:
            return None
        what = "loading the service" if self.inflight[0].kind is Kind.LOAD else "execution"
        return TimedOut(f"{what} took longer than the limit of {limit:g} s and was stopped")

    # What comes from the process

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            if not self.retiring and self._reason is None:
                # It closed its end: it is dying, and gets a moment to end with a status of its own.
                self._loop.call_later(_DYING_SECONDS, self._kill_unless_dead)
            return
        self._take(data)

    def _kill_unless_dead(self) -> None:
        if not self.dead:
            self.kill(ShellDied("the shell closed its socket and went on living"))

    def _take(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                if self._grouped > 1 and frame.kind == Kind.REPLY and frame.status == Status.BROKEN:
                    # Which of the group is to blame is not known: its death has each of them tried alone.
                    self._loop.remove_reader(self._socket)
                    self.kill(ShellDied("the shell could not go on"))
                    return
                self._handle(frame)
        except BrokenFrame as error:
            log.warning("shell_broke_frame", pid=self.pid, error=error.message)
            self._loop.remove_reader(self._socket)
            self.kill(ShellDied("the shell's answer was damaged, or over the output limit"))

    def _handle(self, frame: Frame) -> None:
        if frame.kind == Kind.REPLY:
            if not self.inflight:
                raise BrokenFrame("a reply that nobody asked for")
            request = self.inflight.popleft()
            self._grouped = max(0, self._grouped - 1)
            self.head_since = self._loop.time()
            self.answered += 1
            request.resolve(frame)
            if request.kind is Kind.LOAD and self.inflight:
                self.inflight[0].waited_for_load = int((self.head_since - request.sent) * 1e6)
            if frame.status == Status.BROKEN:
                self.kill(ShellDied("the shell could not go on"))
            self._keeper.on_reply(self, request)
        elif frame.kind == Kind.GROUP:
            self._grouped = min(frame.id, len(self.inflight))
        elif frame.kind == Kind.READY:
            self.info = msgspec.json.decode(frame.body, type=dict[str, object])
            if "error" in self.info:
                self.kill(ShellDied(str(self.info["error"])))
                return
            self.ready = True
            self._keeper.on_ready(self)
        else:
            raise BrokenFrame(f"a shell does not send frames of kind {frame.kind}")

    def _exited(self) -> None:
        status = self._process.reap()
        if status is None:
            return
        self._loop.remove_reader(self._process.exit_descriptor())
        self._drain()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self.dead = True
        self.exit_status = status
        if not self.ready:
            self.info.setdefault("error", self._last_words())
        reason = self._reason or ShellDied(f"the process that ran this call {_death(status)}")
        # Whatever the shell started goes with it.
        self._process.kill()
        running, waiting = self._split()
        for request in running:
            request.fail(reason)
        self._process.close()
        self._gone.set_result(None)
        self._keeper.on_death(self, waiting)

    def _last_words(self) -> str:
        """The end of what it printed, or a remark that it printed nothing: why it did not start."""
        size = os.fstat(self.console).st_size
        said = os.pread(self.console, _LAST_WORDS, max(0, size - _LAST_WORDS)).decode("utf-8", "replace")
        return said.strip() or "it said nothing"

    def _drain(self) -> None:
        """Replies that were on their way when the process ended still count."""
        while self._reason is None:
            try:
                data = self._socket.recv(_RECEIVE)
            except OSError:
                return
            if not data:
                return
            self._take(data)

    def _split(self) -> tuple[list[Request], list[Request]]:
        """What ran when the shell died, and what waited. A group is taken apart and tried singly."""
        requests = list(self.inflight)
        self.inflight.clear()
        if self._grouped > 1:
            for request in requests[: self._grouped]:
                request.alone = True
            return [], requests
        if requests and requests[0].kind is Kind.LOAD:
            for request in requests:
                if request.service is requests[0].service:
                    request.moves += 1
        return requests[:1], requests[1:]

    # What goes to the process

    def _write(self, parts: list[bytes]) -> None:
        if self.dead or self._reason is not None:
            return  # its death will give the request back
        if self._outgoing:
            self._outgoing.extend(memoryview(part) for part in parts if part)
            return
        try:
            sent = self._socket.sendmsg(parts)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return  # it is dying; `_exited` follows
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
            else:
                self._outgoing.append(memoryview(part)[sent:])
                sent = 0
        if self._outgoing:
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        while self._outgoing:
            part = self._outgoing[0]
            try:
                sent = self._socket.send(part)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._outgoing.clear()
                break
            if sent < len(part):
                self._outgoing[0] = part[sent:]
                return
            self._outgoing.popleft()
        self._loop.remove_writer(self._socket)


def _death(status: int) -> str:
    """How a process ended, in words; sandboxes report a signal as 128 + its number."""
    number = -status if status < 0 else status - 128
    if number > 0 and (status < 0 or status > 128):
        try:
            return f"was ended by {signal.Signals(number).name}"
        except ValueError:
            return f"ended with status {status}"
    return f"ended by itself with status {status}"


def over_memory(used: int, limit: int) -> LimitExceeded:
    """The error of a shell that grew past its limit."""
    mib = 1024 * 1024
    return LimitExceeded(
        f"memory: the code used {used // mib} MiB where {limit // mib} MiB are allowed, and was stopped"
    )
