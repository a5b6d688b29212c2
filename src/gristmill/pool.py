"""Interchangeable shells of one language and environment: choose one, grow, replace, retire."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gristmill.calls import Request
from gristmill.errors import Draining, GristmillError, Overloaded, ShellDied, TimedOut
from gristmill.frames import Kind
from gristmill.launching import Limits, ShellLauncher
from gristmill.loading import Loaded, load_request
from gristmill.services import Runtime, ServiceVersion
from gristmill.shell import Shell, over_memory

__all__ = ["Pool", "PoolSettings"]

log = structlog.get_logger()

#: Work that may wait in a shell's socket: enough that it never idles, little enough that another can help.
_BACKLOG_SECONDS = 0.002
#: Calls of a batchable service that may wait in one shell's socket, to be run as one.
_BATCH_DEPTH = 128
_TICK_SECONDS = 0.1
#: Ticks from one look at the memory of a busy, or an idle, shell to the next.
_BUSY_TICKS, _IDLE_TICKS = 3, 20
_FIRST_BACKOFF, _LAST_BACKOFF = 0.1, 10.0
_MOST_MOVES = 2


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


class _Member:
    """A shell of this pool with what the pool knows of it."""

    __slots__ = ("idle_since", "loaded", "shell")

    def __init__(self, shell: Shell, loaded: Loaded, now: float) -> None:
        self.shell = shell
        self.loaded = loaded
        self.idle_since = now


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
        self._members: dict[Shell, _Member] = {}
        self._queue: deque[Request] = deque()
        self._run_seconds: dict[str, float] = {}  #: smoothed run time by digest
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
        self._run_seconds.pop(service.digest, None)
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
        while self._queue or any(shell.inflight for shell in self._members):  # noqa: ASYNC110 - many events
            await asyncio.sleep(_TICK_SECONDS)
        await self.close()

    async def close(self) -> None:
        """End all shells; those with work in flight are killed. Call when the server has drained."""
        self._closing = True
        if self._ticker is not None:
            self._ticker.cancel()
        for request in self._queue:
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
        """Counts for `/status` and metrics."""
        shells = list(self._members)
        return {
            "interpreter": self._launcher.runtimes[self.runtime],
            "language": next((s.info.get("language") for s in shells if s.ready), None),
            "shells": len(shells),
            "ready": sum(shell.ready for shell in shells),
            "busy": sum(bool(shell.inflight) for shell in shells),
            "queued": len(self._queue),
            "initial": self._settings.initial,
            "maximum": self._settings.maximum,
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
        if request.kind is Kind.CALL and request.service is not None:
            self._learn(request)
        if not shell.inflight:
            member.idle_since = self._loop.time()
            if shell.answered >= self._settings.recycle_calls:
                self._retire(shell)
        if self._queue:
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
            if request.moves >= _MOST_MOVES:
                request.fail(ShellDied("loading this service ended the process that tried, twice"))
            else:
                self._queue.appendleft(request)
        if not self._closing:
            self._fill()
            self._pump()

    # Choosing and sending

    def _choose(self, request: Request) -> _Member | None:
        """An idle shell that holds the service; any idle one; the least busy one with room; or None."""
        digest = request.service.digest if request.service else ""
        best, best_rank = None, (9, 0)
        for shell, member in self._members.items():
            if not shell.usable:
                continue
            depth = len(shell.inflight)
            if depth and not self._has_room(shell, member, request, digest):
                continue
            rank = ((0 if digest in member.loaded else 1) if not depth else 2, depth)
            if rank < best_rank:
                best, best_rank = member, rank
                if rank == (0, 0):
                    break
        return best

    def _has_room(self, shell: Shell, member: _Member, request: Request, digest: str) -> bool:
        """Whether a busy shell should get this request behind what it has."""
        last = shell.inflight[-1]
        if request.alone or last.alone or digest not in member.loaded or last.kind is Kind.OPERATION:
            return False
        depth = len(shell.inflight)
        if request.service is not None and request.service.batchable:
            return depth < _BATCH_DEPTH and last.service is request.service
        expected = self._run_seconds.get(digest)
        if expected is None:
            return False
        return sum(self._expected(waiting) for waiting in shell.inflight) < _BACKLOG_SECONDS

    def _expected(self, request: Request) -> float:
        if request.kind is Kind.CALL and request.service is not None:
            return self._run_seconds.get(request.service.digest, 1.0)
        return 1.0

    def _learn(self, request: Request) -> None:
        """Smooth the time that one call of the service kept its shell busy."""
        if request.service is None or not request.future.done() or request.future.cancelled():
            return
        if request.future.exception() is not None:
            return
        times = request.future.result().times
        spent = (times.decode + times.run + times.encode) / 1e6
        digest = request.service.digest
        known = self._run_seconds.get(digest)
        self._run_seconds[digest] = spent if known is None else known + 0.1 * (spent - known)

    def _send(self, member: _Member, request: Request) -> None:
        if request.service is not None:
            handle = member.loaded.find(request.service.digest)
            request.handle = self._load(member, request.service) if handle is None else handle
        member.shell.send(request)

    def _load(self, member: _Member, service: ServiceVersion) -> int:
        """Send LOAD ahead of the first call; the shell carries them out in order."""
        content = self._open_content(service.content) if service.content else None
        handle, dropped = member.loaded.add(service.digest)
        if dropped is not None:
            member.shell.tell(Kind.UNLOAD, dropped)
        member.shell.send(load_request(service, handle, content, limit=self._limits.load_seconds))
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
            try:
                self._send(member, request)
            except GristmillError as error:
                request.fail(error)

    # Watching over the members

    def _fill(self, at_least: int = 0) -> None:
        """Spawn shells up to the initial number, unless a crash loop asks for patience."""
        if self._closing or self._loop.time() < self._not_before:
            return
        while len(self._members) < max(self._settings.initial, at_least):
            if not self._spawn():
                return

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
        self._members[shell] = _Member(shell, Loaded(self._limits.services), self._loop.time())
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
            if self._queue and now - self._queue[0].submitted > self._settings.grow_seconds:
                self._grow()

    def _expire(self, now: float) -> None:
        """Fail what waited too long for a shell."""
        while self._queue and now - self._queue[0].submitted > self._settings.queue_seconds:
            request = self._queue.popleft()
            waited = self._settings.queue_seconds
            request.fail(Overloaded(f"no {self.runtime} shell became free within {waited:g} s"))

    def _check(self, member: _Member, now: float, *, memory: bool) -> None:
        shell = member.shell
        if shell.dead or shell.retiring:
            return
        if not shell.ready:
            if now - shell.started > self._limits.start_seconds:
                shell.kill(TimedOut("the shell did not start in time"))
            return
        late = shell.overdue(now)
        if late is not None:
            shell.kill(late)
        elif memory:
            self._check_memory(member, now)

    def _check_memory(self, member: _Member, now: float) -> None:
        shell, settings = member.shell, self._settings
        if shell.inflight:
            used = shell.memory(self._limits.memory_bytes)
            if used > self._limits.memory_bytes:
                shell.kill(over_memory(used, self._limits.memory_bytes))
        elif (
            now - member.idle_since > 1.0
            and shell.answered
            and shell.memory(settings.recycle_bytes) > settings.recycle_bytes
        ):
            self._retire(shell)
        elif now - member.idle_since > settings.idle_seconds and len(self._members) > settings.initial:
            shell.close()

    def _grow(self) -> None:
        starting = any(not member.shell.ready for member in self._members.values())
        if not starting and len(self._members) < self._settings.maximum:
            self._spawn()
