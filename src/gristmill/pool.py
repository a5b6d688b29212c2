"""Interchangeable shells of one language and environment: choose one, grow, replace, retire."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gristmill.calls import Request
from gristmill.errors import Draining, GristmillError, Overloaded, ShellDied
from gristmill.frames import Kind
from gristmill.lanes import ALL, Lanes, Share, serves, share
from gristmill.launching import Limits, ShellLauncher
from gristmill.loading import Loaded, load_request
from gristmill.members import Member, RunTimes
from gristmill.services import Runtime, ServiceVersion
from gristmill.shell import Shell

__all__ = ["Pool", "PoolSettings"]

log = structlog.get_logger()

#: Work that may wait in a shell's socket: enough that it never idles, little enough that another can help.
_BACKLOG_SECONDS = 0.002
#: Calls of a batchable service that may wait in one shell's socket, to be run as one.
_BATCH_DEPTH = 128
_TICK_SECONDS = 0.1
#: Ticks from one look at the memory of a busy, or an idle, shell to the next.
_BUSY_TICKS, _IDLE_TICKS = 3, 20
_FIRST_BACKOFF, _LAST_BACKOFF, _MOST_MOVES = 0.1, 10.0, 2
#: Lanes from which nothing ran for so long get a tenth of a shell, however many direct calls there are.
_STARVED_SECONDS, _STARVED_SHARE = 0.1, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Sizes in shells, times in seconds."""

    initial: int = 2
    maximum: int = 4
    queue_length: int = 1000  #: calls that may wait for a shell
    queue_seconds: float = 30.0  #: how long one may wait
    grow_seconds: float = 0.25  #: a call that waited this long makes the pool grow
    idle_seconds: float = 300.0  #: after which a shell beyond `initial` is let go
    recycle_calls: int = 1_000_000  #: a shell is replaced after so many
    recycle_bytes: int = 2 << 30  #: or when it is idle and has grown past this


class Pool:
    """Implements `ShellKeeper`. All methods are for the event loop's thread."""

    def __init__(
        self,
        runtime: Runtime,
        launcher: ShellLauncher,
        *,
        settings: PoolSettings,
        limits: Limits,
        open_content: Callable[[str], int],
        resident: ServiceVersion | None = None,
    ) -> None:
        self.runtime = runtime
        self._launcher = launcher
        self._settings = settings
        self._limits = limits
        self._open_content = open_content  #: digest → read-only descriptor, the pool's to close
        self._resident = resident  #: what each shell loads before its first call
        self._loop = asyncio.get_running_loop()
        self._members: dict[Shell, Member] = {}
        self._queue: deque[Request] = deque()
        self._lanes = Lanes()
        self._direct = -1e9  #: when a request that is in no lane came last
        self._times = RunTimes()
        self._failures = 0
        self._not_before = 0.0
        self._why = ""  #: of the last failure to start
        self._closing = False
        self._changed = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None

    # For the dispatcher

    def start(self) -> None:
        """Spawn the initial shells and begin to watch over them."""
        self._fill()
        self._ticker = asyncio.create_task(self._watch(), name=f"pool {self.runtime}")

    async def wait_ready(self, count: int = 1) -> None:
        """Return when `count` shells are ready. Raises ShellDied when the first ones cannot start."""
        while sum(member.shell.ready for member in self._members.values()) < count:
            if self._failures >= 3:
                raise ShellDied(f"no {self.runtime} shell starts: {self._why}")
            self._changed.clear()
            await self._changed.wait()

    def submit(self, request: Request) -> None:
        """Send the request to a shell, or queue it. Raises Overloaded when the queue is full."""
        if self._closing:
            raise Draining("the server is shutting down")
        request.submitted = self._loop.time()
        if request.lane:
            self._lanes.push(request)
            self._pump()
            if not self._members:
                self._fill(at_least=1)
            return
        self._direct = request.submitted
        member = self._choose(request) if not self._queue else None
        if member is not None:
            self._send(member, request)
            return
        if len(self._queue) >= self._settings.queue_length:
            raise Overloaded(f"all {self.runtime} shells are busy and {len(self._queue)} calls wait already")
        self._queue.append(request)
        if not self._members:
            self._fill(at_least=1)

    def forget(self, service: ServiceVersion) -> None:
        """Unload a service that was changed or deleted."""
        self._times.forget(service.digest)
        for member in self._members.values():
            handle = member.loaded.drop(service.digest)
            if handle is not None and not member.shell.dead:
                member.shell.tell(Kind.UNLOAD, handle)

    def take_fresh(self) -> Shell | None:
        """Give away an idle shell that never ran anything of a user's, and replace it; else None."""
        for shell, member in self._members.items():
            if shell.usable and not shell.inflight and not shell.answered and not member.loaded:
                del self._members[shell]
                self._loop.call_soon(self._fill)
                return shell
        return None

    @property
    def settled(self) -> bool:
        """Whether the initial shells are there, and hold what they are to hold from the start."""
        ready = [shell for shell in self._members if shell.ready and (shell.answered or not self._resident)]
        return len(ready) >= self._settings.initial

    async def retire(self) -> None:
        """Finish what was submitted, then close."""
        while self._queue or self._lanes or any(shell.inflight for shell in self._members):  # noqa: ASYNC110 - many events
            await asyncio.sleep(_TICK_SECONDS)
        await self.close()

    async def close(self) -> None:
        """End all shells; those with work in flight are killed. Call when the server has drained."""
        self._closing = True
        if self._ticker is not None:
            self._ticker.cancel()
        for request in [*self._queue, *self._lanes.clear()]:
            request.fail(Draining("the server is shutting down"))
        self._queue.clear()
        shells = list(self._members)
        for shell in shells:
            if shell.inflight or not shell.ready:
                shell.kill(Draining("the server is shutting down"))
            else:
                shell.close()
        await asyncio.gather(*(shell.gone() for shell in shells))

    def describe(self) -> dict[str, object]:
        """Counts for `/status` and metrics; `error` is of the last start, if that failed."""
        return {
            "interpreter": self._launcher.runtimes[self.runtime],
            "language": next((s.info.get("language") for s in self._members if s.ready), None),
            "shells": len(self._members),
            "ready": sum(shell.ready for shell in self._members),
            "busy": sum(bool(shell.inflight) for shell in self._members),
            "queued": len(self._queue),
            "queued_batch_items": len(self._lanes),
            "initial": self._settings.initial,
            "maximum": self._settings.maximum,
            "error": (self._why or "no reason is known") if self._failures else None,
        }

    # ShellKeeper

    def on_ready(self, shell: Shell) -> None:
        """A new shell: it helps with what waits."""
        self._failures = 0
        member = self._members[shell]
        member.idle_since = self._loop.time()
        self._changed.set()
        if self._resident is not None:
            self._load(member, self._resident)
        self._pump()

    def on_reply(self, shell: Shell, request: Request) -> None:
        """Learn how long the service takes, and send what waits."""
        member = self._members.get(shell)
        if member is None:
            return
        member.answered(request)
        self._times.learn(request)
        if not shell.inflight:
            member.idle_since = self._loop.time()
            if shell.answered >= self._settings.recycle_calls:
                self._retire(shell)
        if self._queue or self._lanes:
            self._pump()

    def on_death(self, shell: Shell, waiting: list[Request]) -> None:
        """Move what waited to other shells and replace the dead one; a crash loop backs off."""
        self._members.pop(shell, None)
        self._changed.set()
        if not shell.ready and not self._closing:
            self._failures += 1
            self._why = f"exit status {shell.exit_status}, {shell.info.get('error', 'no message')}"
            delay = min(_LAST_BACKOFF, _FIRST_BACKOFF * 2**self._failures)
            self._not_before = self._loop.time() + delay
            log.warning("shell_failed_to_start", runtime=self.runtime, why=self._why, next_try=delay)
        elif not shell.retiring:
            log.warning("shell_died", runtime=self.runtime, pid=shell.pid, exit_status=shell.exit_status)
        for request in reversed(waiting):
            if request.kind is not Kind.CALL or request.future.done():
                continue
            if self._closing:
                request.fail(Draining("the server is shutting down"))
            elif request.moves >= _MOST_MOVES:
                request.fail(ShellDied("loading this service ended the process that tried, twice"))
            elif request.lane:
                self._lanes.push_back(request)
            else:
                self._queue.appendleft(request)
        if not self._closing:
            self._fill()
            self._pump()

    # Choosing and sending

    def _choose(self, request: Request) -> Member | None:
        """An idle shell that holds the service; any idle one; the least busy one with room; or None."""
        digest = request.service.digest if request.service else ""
        allowed = self._share(digest) if request.lane else ALL
        best, best_rank = None, (9, 0)
        for shell, member in self._members.items():
            if not shell.usable:
                continue
            depth = len(shell.inflight)
            if depth:
                direct = request.lane and not serves(shell)
                if direct or not self._has_room(member, request, digest, allowed.part):
                    continue
            elif not allowed.idle:
                continue
            rank = ((0 if digest in member.loaded else 1) if not depth else 2, depth)
            if rank < best_rank:
                best, best_rank = member, rank
                if rank == (0, 0):
                    break
        return best

    def _share(self, digest: str) -> Share:
        """What a request of a lane may have now."""
        quiet = self._loop.time() - self._direct
        return share(self._members, quiet=quiet, expected=self._times.of(digest))

    def _has_room(self, member: Member, request: Request, digest: str, part: float) -> bool:
        """Whether a busy shell should get this request behind what it has."""
        shell, last = member.shell, member.shell.inflight[-1]
        if request.alone or last.alone or digest not in member.loaded or last.kind is Kind.OPERATION:
            return False
        depth = len(shell.inflight)
        if request.service is not None and request.service.batchable:
            return depth < _BATCH_DEPTH * part and last.service is request.service
        if self._times.of(digest) is None:
            return False
        return member.backlog < _BACKLOG_SECONDS * part

    def _send(self, member: Member, request: Request) -> None:
        if request.service is not None:
            handle = member.loaded.find(request.service.digest)
            request.handle = self._load(member, request.service) if handle is None else handle
        member.send(request, self._times.expected(request))

    def _load(self, member: Member, service: ServiceVersion) -> int:
        """Send LOAD ahead of the first call; the shell carries them out in order."""
        content = self._open_content(service.content) if service.content else None
        handle, dropped = member.loaded.add(service.digest)
        if dropped is not None:
            member.shell.tell(Kind.UNLOAD, dropped)
        member.send(load_request(service, handle, content, limit=self._limits.load_seconds), 1.0)
        return handle

    def _pump(self) -> None:
        """Send what waits, oldest first, as long as there is room."""
        while self._queue:
            request = self._queue[0]
            if request.future.done():  # the caller has left
                self._queue.popleft()
                continue
            member = self._choose(request)
            if member is None:
                return
            self._queue.popleft()
            self._try(member, request)
        while (request_of_lane := self._lanes.next()) is not None:
            member = self._choose(request_of_lane)
            if member is None:
                return
            self._try(member, self._lanes.pop())

    def _try(self, member: Member, request: Request) -> None:
        try:
            self._send(member, request)
        except GristmillError as error:
            request.fail(error)

    # Watching over the members

    def _fill(self, at_least: int = 0) -> None:
        """Spawn shells up to the initial number, unless a crash loop asks for patience."""
        if self._closing or self._loop.time() < self._not_before:
            return
        while len(self._members) < max(self._settings.initial, at_least) and self._spawn():
            continue

    def _spawn(self) -> bool:
        try:
            process = self._launcher.launch(self.runtime)
        except (GristmillError, OSError) as error:
            self._failures += 1
            self._why = str(error)
            self._not_before = self._loop.time() + _LAST_BACKOFF
            log.error("shell_not_started", runtime=self.runtime, error=str(error))
            return False
        config = self._launcher.config(self.runtime)
        shell = Shell(process, self, config=config, output_limit=self._limits.output_bytes)
        self._members[shell] = Member(shell, Loaded(self._limits.services), self._loop.time())
        return True

    def _retire(self, shell: Shell) -> None:
        """Let an idle shell end; its successor starts first."""
        shell.retiring = True
        self._spawn()
        shell.close()

    async def _watch(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            ticks += 1
            now = self._loop.time()
            self._expire(now)
            for member in list(self._members.values()):
                every = _BUSY_TICKS if member.shell.inflight else _IDLE_TICKS
                self._check(member, now, memory=ticks % every == 0)
            self._fill()
            self._feed_starved(now)
            waiting = min(self._queue[0].submitted if self._queue else now, self._lanes.oldest())
            if now - waiting > self._settings.grow_seconds:
                self._grow()

    def _feed_starved(self, now: float) -> None:
        """Let some of the lanes' requests wait among the direct calls if none of them runs."""
        if now - self._lanes.oldest() < _STARVED_SECONDS:
            return
        if any(map(serves, self._members)):
            return
        spent = 0.0
        while spent < _STARVED_SHARE * _TICK_SECONDS and (request := self._lanes.next()) is not None:
            self._lanes.pop()
            spent += self._times.expected(request)
            request.lane = ""
            self._queue.append(request)
        self._pump()

    def _expire(self, now: float) -> None:
        """Fail what waited too long for a shell."""
        while self._queue and now - self._queue[0].submitted > self._settings.queue_seconds:
            request = self._queue.popleft()
            waited = self._settings.queue_seconds
            request.fail(Overloaded(f"no {self.runtime} shell became free within {waited:g} s"))

    def _check(self, member: Member, now: float, *, memory: bool) -> None:
        shell = member.shell
        if shell.dead or shell.retiring:
            return
        reason = member.fault(now, self._limits, memory=memory)
        if reason is not None:
            shell.kill(reason)
        elif memory and shell.ready and not shell.inflight:
            self._check_idle(member, now)

    def _check_idle(self, member: Member, now: float) -> None:
        shell, settings, idle = member.shell, self._settings, now - member.idle_since
        if idle > 1.0 and shell.answered and shell.memory(settings.recycle_bytes) > settings.recycle_bytes:
            self._retire(shell)
        elif idle > settings.idle_seconds and len(self._members) > settings.initial:
            shell.close()

    def _grow(self) -> None:
        starting = any(not member.shell.ready for member in self._members.values())
        if not starting and len(self._members) < self._settings.maximum:
            self._spawn()
