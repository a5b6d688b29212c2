"""One shell: send it requests, match its replies, notice its death."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from gristmill.calls import Request
from gristmill.deaths import comes_from_others, in_words, signal_of
from gristmill.errors import CallEndedShell, GristmillError, LimitExceeded, ShellDied, TimedOut
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
        self._undelivered: set[int] = set()  #: ids of requests whose last byte may not have left
        self._none_runs = False  #: it said that it cannot go on: what is in flight has not begun
        self._unread = False  #: the process ended before it had read all that was sent
        self._next_id = 0
        self._grouped = 0  #: how many at the head of `inflight` run as one; 0: the head alone
        self._reason: GristmillError | None = None
        self.inflight: deque[Request] = deque()
        self.head_since = self._loop.time()
        self.started = self.head_since
        self.usable = False  #: takes requests
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
    def runs_group(self) -> bool:
        """Whether several requests are being run as one."""
        return self._grouped > 1

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
        self._next_id = request.id = (self._next_id + 1) & 0xFFFFFFFF
        header = pack_header(
            request.kind, request.id, len(request.body), handle=request.handle, meta_length=len(request.meta)
        )
        request.sent = self._loop.time()
        if not self.inflight:
            self.head_since = request.sent
        self.inflight.append(request)
        if request.descriptor is not None:
            try:
                socket.send_fds(self._process.descriptors, [b"x"], [request.descriptor])
            except OSError as error:
                self._undelivered.add(request.id)
                self.kill(ShellDied(f"the shell took no descriptor: {error}"))
                return
        parts = [header, request.meta, request.body] if request.meta else [header, request.body]
        if not self._write(parts):
            self._undelivered.add(request.id)

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
        """End it at once; what runs fails with `reason`. The keeper hears of it when the process is gone.

        What it still answers is not read: `reason` is for the request that runs now, and for no later one.
        """
        if self.dead:
            return
        self.usable = False
        if self._reason is None:
            self._reason = reason
            self._loop.remove_reader(self._socket)
        self._process.kill()

    def retire(self) -> None:
        """Take no further requests; those in flight are answered."""
        self.retiring = True
        self.usable = False

    def close(self) -> None:
        """Let it end by itself, now that nothing is in flight; `gone` resolves when it has."""
        self.retire()
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
            data, self._unread = b"", True  # of Unix sockets: it was closed with data in it that nobody read
        if not data:
            self._loop.remove_reader(self._socket)
            self.usable = False
            if not self.retiring and self._reason is None:
                # It closed its end: it is dying, and gets a moment to end with a status of its own.
                self._loop.call_later(_DYING_SECONDS, self._kill_unless_dead)
            return
        self._take(data)

    def _kill_unless_dead(self) -> None:
        if not self.dead:
            self.kill(
                CallEndedShell("the code closed its shell's connection to the server, and went on running")
            )

    def _take(self, data: bytes) -> None:
        """Carry out the frames that `data` completes; a shell that sends anything else is ended."""
        try:
            for frame in self._decoder.feed(data):
                if self._reason is not None:
                    return
                if self._grouped > 1 and frame.kind == Kind.REPLY and frame.status == Status.BROKEN:
                    # Which of the group is to blame is not known: its death has each of them tried alone.
                    self.kill(ShellDied("the shell could not go on"))
                    return
                self._handle(frame)
        except Exception as error:  # noqa: BLE001 - user code can write into its shell's socket, whatever it likes
            log.warning("shell_broke_frame", pid=self.pid, error=repr(error)[:300])
            self.kill(ShellDied("the shell's answer was damaged, or over the output limit"))

    def _handle(self, frame: Frame) -> None:
        if frame.kind == Kind.REPLY:
            self._handle_reply(frame)
        elif frame.kind == Kind.GROUP:
            if frame.id > len(self.inflight):
                raise BrokenFrame(f"a group of {frame.id} calls, where {len(self.inflight)} are in flight")
            self._grouped = frame.id
        elif frame.kind == Kind.READY and not self.ready:
            self.info = msgspec.json.decode(frame.body, type=dict[str, object])
            if "error" in self.info:
                self.kill(ShellDied(str(self.info["error"])))
                return
            self.ready = True
            self.usable = not self.retiring
            self._tell_keeper(self._keeper.on_ready)
        else:
            raise BrokenFrame(f"a shell does not send frames of kind {frame.kind} now")

    def _handle_reply(self, frame: Frame) -> None:
        """Give a reply to the request whose id it carries, which is the oldest one in flight."""
        if not self.inflight or self.inflight[0].id != frame.id:
            raise BrokenFrame(f"a reply to {frame.id}, which is not what runs")
        request = self.inflight.popleft()
        self._grouped = max(0, self._grouped - 1)
        self.head_since = self._loop.time()
        self.answered += 1
        request.resolve(frame)
        if request.kind is Kind.LOAD and self.inflight:
            self.inflight[0].waited_for_load = int((self.head_since - request.sent) * 1e6)
        if frame.status == Status.BROKEN:
            self._none_runs = True
            self.kill(ShellDied("the shell could not go on"))
        try:
            self._keeper.on_reply(self, request)
        except Exception:
            log.exception("keeper_failed", pid=self.pid, call="on_reply")

    def _tell_keeper(self, what: Callable[..., None], *about: object) -> None:
        """An error of the keeper's is logged: it is not the shell's, and must not keep it from going on."""
        try:
            what(self, *about)
        except Exception:
            log.exception("keeper_failed", pid=self.pid, call=what.__name__)

    def _exited(self) -> None:
        status = self._process.reap()
        if status is None:
            return
        self._loop.remove_reader(self._process.exit_descriptor())
        self._drain()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self.dead, self.usable = True, False
        self.exit_status = status
        if not self.ready:
            self.info.setdefault("error", self._last_words())
        reason = self._reason or self._cause(status)
        running, waiting = self._split(reason)
        try:
            # Whatever the shell started goes with it.
            self._process.kill()
            self._process.close()
        except Exception:
            log.exception("shell_not_cleared", pid=self.pid)
        for request in running:
            request.fail(reason)
        self._gone.set_result(None)
        self._tell_keeper(self._keeper.on_death, waiting)

    def _cause(self, status: int) -> ShellDied:
        """The error of the call that ran when the process ended without being told to."""
        how = f"the process that ran this call {in_words(status)}"
        if signal_of(status) is signal.SIGKILL and self._process.ran_out_of_memory():
            return LimitExceeded(f"memory: {how}, by the kernel, since the server's memory ran out")
        return ShellDied(how) if comes_from_others(status) else CallEndedShell(how)

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
            except ConnectionResetError:
                self._unread = True
                return
            except OSError:
                return
            if not data:
                return
            self._take(data)

    def _split(self, reason: GristmillError) -> tuple[list[Request], list[Request]]:
        """What ran when the shell died, and what waited. A group is taken apart and tried singly."""
        requests = list(self.inflight)
        self.inflight.clear()
        if self._grouped > 1:
            for request in requests[: self._grouped]:
                request.alone = True
            return [], requests
        if not requests or self._never_began(requests):
            return [], requests
        if requests[0].kind is Kind.LOAD:
            for request in requests:
                if request.service is requests[0].service:
                    request.moves += 1
                    request.cause = reason
        return requests[:1], requests[1:]

    def _never_began(self, requests: list[Request]) -> bool:
        """Tells whether the process ended before it had begun the oldest request, or had all of it."""
        unread = self._unread and len(requests) == 1
        return unread or self._none_runs or requests[0].id in self._undelivered

    # What goes to the process

    def _write(self, parts: list[bytes]) -> bool:
        """Send at once what the socket takes, and the rest later; tells whether all of it has left."""
        if self.dead or self._reason is not None:
            return False  # its death will give the request back
        if self._outgoing:
            self._outgoing.extend(memoryview(part) for part in parts if part)
            return False
        try:
            sent = self._socket.sendmsg(parts)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.usable = False  # it is dying; `_exited` follows
            return False
        for part in parts:
            if sent >= len(part):
                sent -= len(part)
            else:
                self._outgoing.append(memoryview(part)[sent:])
                sent = 0
        if self._outgoing:
            self._loop.add_writer(self._socket, self._writable)
            return False
        return True

    def _writable(self) -> None:
        while self._outgoing:
            part = self._outgoing[0]
            try:
                sent = self._socket.send(part)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.usable = False
                self._outgoing.clear()
                self._loop.remove_writer(self._socket)
                return
            if sent < len(part):
                self._outgoing[0] = part[sent:]
                return
            self._outgoing.popleft()
        self._undelivered.clear()
        self._loop.remove_writer(self._socket)


def over_memory(used: int, limit: int) -> LimitExceeded:
    """The error of a shell that grew past its limit."""
    mib = 1024 * 1024
    return LimitExceeded(
        f"memory: the code used {used // mib} MiB where {limit // mib} MiB are allowed, and was stopped"
    )
