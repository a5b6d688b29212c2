"""Interchangeable shells of one language and environment: who runs a request, and what waits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog

from gristmill.background import Background, Repeated
from gristmill.call_queue import CallQueue, has_left
from gristmill.calls import Request
from gristmill.choosing import choose
from gristmill.contents import Contents
from gristmill.crew import Crew, PoolSettings
from gristmill.errors import Draining, GristmillError, Overloaded, ShellDied
from gristmill.fair_queue import FairQueue
from gristmill.frames import Kind
from gristmill.lanes import ALL, Allowance, Share, serves, share
from gristmill.launching import Limits, ShellLauncher
from gristmill.loading import Lethal, load_request
from gristmill.members import Member, RunTimes
from gristmill.services import Runtime, ServiceVersion
from gristmill.shell import Shell

__all__ = ["Pool", "PoolSettings"]

log = structlog.get_logger()

_TICK_SECONDS = 0.1
#: Ticks from one look at the memory of a busy, or an idle, shell to the next; and at how many are idle.
_BUSY_TICKS, _IDLE_TICKS, _SHRINK_TICKS = 3, 20, 10
_MOST_MOVES = 2
#: Lanes from which nothing ran for so long get a tenth of a shell.
_STARVED_SECONDS = 0.1


class Pool:
    """Implements `ShellKeeper`. All methods are for the event loop's thread.

    Every request that `submit` took is answered once: what is taken out of a queue is sent to a shell, put
    back, or failed, in one place each.
    """

    def __init__(
        self,
        runtime: Runtime,
        launcher: ShellLauncher,
        *,
        settings: PoolSettings,
        limits: Limits,
        open_content: Callable[[str], int],
        resident: ServiceVersion | None = None,
        background: Background | None = None,
    ) -> None:
        self.runtime = runtime
        self._launcher = launcher
        self._settings = settings
        self._limits = limits
        self._contents = Contents(open_content)
        self._resident = resident  #: what each shell loads before its first call
        self._loop = asyncio.get_running_loop()
        self._background = background or Background()
        self._name = f"{runtime} for {resident.name} {resident.version}" if resident else str(runtime)
        self._crew = Crew(self._start_shell, name=self._name, settings=settings, limits=limits)
        self._members = self._crew.members
        self._times = RunTimes()
        self._queue = CallQueue(
            cost=self._times.cost,
            most=settings.queue_length,
            most_bytes=settings.queue_bytes,
            name=self._name,
        )
        self._lanes = FairQueue(cost=self._times.cost)
        self._allowance = Allowance(self._loop.time())
        self._direct = -1e9  #: when a request that is in no lane came last
        self._bringing: set[asyncio.Task[None]] = set()
        self._lethal = Lethal()
        self._content_error = ""  #: why the resident could not be loaded the last time
        self._closing = False
        self._ticks = 0
        self._ticker: Repeated | None = None

    # For the dispatcher

    def start(self) -> None:
        """Spawn the initial shells and begin to watch over them."""
        self._crew.fill()
        self._ticker = self._background.repeat(f"pool {self._name}", self._tick, every=_TICK_SECONDS)

    async def wait_ready(self, count: int = 1) -> None:
        """Return when `count` shells are ready. Raises ShellDied when the first ones cannot start."""
        await self._crew.wait_ready(count)

    def submit(self, request: Request) -> None:
        """Send the request to a shell, or queue it.

        Raises Overloaded when the queue is full; as TooManyCalls where the caller's own calls fill it.
        """
        if self._closing:
            raise Draining("the server is shutting down")
        request.submitted = self._loop.time()
        if self._lethal.found and (deadly := self._lethal.find(request, request.submitted)) is not None:
            request.fail(deadly)
            return
        if request.lane:
            self._lanes.push(request)
            self._pump()
        else:
            self._direct = request.submitted
            member = self._choose(request) if not self._queue.count else None
            if member is not None:
                self._place(member, request)
                return
            self._queue.push(request)
        if not self._members:
            self._crew.fill(at_least=1)

    def forget(self, service: ServiceVersion) -> None:
        """Unload a service that was changed or deleted."""
        self._times.forget(service.digest)
        self._lethal.forget(service)
        for member in self._crew:
            handle = member.loaded.drop(service.digest)
            if handle is not None and not member.shell.dead:
                member.shell.tell(Kind.UNLOAD, handle)

    def take_fresh(self) -> Shell | None:
        """Give away an idle shell that never ran anything of a user's, and replace it; else None."""
        return self._crew.take(_is_fresh)

    @property
    def settled(self) -> bool:
        """Whether the initial shells are there, and hold what they are to hold from the start."""
        ready = [m for m in self._crew if m.shell.ready and (m.shell.answered or not self._resident)]
        return len(ready) >= self._settings.initial

    async def retire(self) -> None:
        """Finish what was submitted, then close."""
        while self._queue or self._lanes or not all(member.is_idle for member in self._crew):  # noqa: ASYNC110 - many events
            await asyncio.sleep(_TICK_SECONDS)
        await self.close()

    async def close(self) -> None:
        """End all shells; those with work in flight are killed. Call when the server has drained."""
        self._closing = self._crew.closing = True
        if self._ticker is not None:
            await self._ticker.stop()
        for request in [*self._queue.clear(), *self._lanes.clear()]:
            request.fail(Draining("the server is shutting down"))
        for task in list(self._bringing):
            task.cancel()
        await asyncio.gather(*self._bringing, return_exceptions=True)
        shells = list(self._members)
        for shell in shells:
            if shell.inflight or not shell.ready:
                shell.kill(Draining("the server is shutting down"))
            else:
                shell.close()
        await asyncio.gather(*(shell.gone() for shell in shells))

    def describe(self) -> dict[str, object]:
        """Counts for `/status` and metrics; with `error` while shells do not start, or cannot load."""
        error = self._crew.why if self._crew.failures else self._content_error
        return {
            "interpreter": self._launcher.runtimes[self.runtime],
            "language": next((s.info.get("language") for s in self._members if s.ready), None),
            "shells": len(self._members),
            "ready": sum(shell.ready for shell in self._members),
            "busy": sum(bool(shell.inflight) for shell in self._members),
            "queued": len(self._queue),
            "queued_bytes": self._queue.bytes,
            "queued_batch_items": len(self._lanes),
            "initial": self._settings.initial,
            "maximum": self._settings.maximum,
            "error": error or None,
        }

    # ShellKeeper

    def on_ready(self, shell: Shell) -> None:
        """A new shell: it helps with what waits."""
        member = self._crew.got_ready(shell)
        if self._resident is not None:
            self._load_resident(member, self._resident)
        self._pump()

    def on_reply(self, shell: Shell, request: Request) -> None:
        """Learn how long the service takes, and send what waits."""
        member = self._members.get(shell)
        if member is None:
            return
        member.answered(request)
        self._times.learn(request)
        if request.kind is Kind.LOAD:
            self._loaded(member, request)
        if not shell.inflight:
            member.idle_since = self._loop.time()
            self._crew.let_go(member)
        if shell.answered >= self._settings.recycle_calls:
            self._crew.replace(member)
        if self._queue.count or self._lanes.count:
            self._pump()

    def _loaded(self, member: Member, load: Request) -> None:
        """See whether a service was loaded, which it was not where its code or objects failed."""
        if load.future.cancelled() or load.service is None:
            return
        error = load.future.exception()
        if error is not None:
            member.loaded.drop(load.service.digest)  # the shell does not know its handle
        if load.service is self._resident:
            failed = error is not None or not load.future.result().ok
            self._content_error = f"{self._name} is not loaded: each call says why" if failed else ""

    def on_death(self, shell: Shell, waiting: list[Request]) -> None:
        """Move what waited to other shells and replace the dead one; a crash loop backs off."""
        self._crew.died(shell)
        for request in reversed(waiting):
            self._put_back(request)
        if not self._closing:
            self._crew.fill()
            self._pump()

    def _put_back(self, request: Request) -> None:
        """Queue what a shell gave back, before all others; or fail it."""
        if request.kind is Kind.LOAD:
            request.fail(ShellDied("the shell ended before it had loaded the service"))
        elif request.future.done():
            return
        elif self._closing:
            request.fail(Draining("the server is shutting down"))
        elif request.moves >= _MOST_MOVES:
            request.fail(self._lethal.note(request, self._loop.time()))
        else:
            (self._lanes if request.lane else self._queue).push_back(request)

    # Choosing and sending

    def _choose(self, request: Request) -> Member | None:
        """The shell that gets the request now, or None."""
        allowed = self._share(request) if request.lane else ALL
        return choose(self._members.values(), request, allowed=allowed, times=self._times)

    def _share(self, request: Request) -> Share:
        """What a request of a lane may have now."""
        quiet = self._loop.time() - self._direct
        expected = self._times.of(request.service.digest) if request.service else None
        return share(self._members, quiet=quiet, expected=expected)

    def _pump(self) -> None:
        """Send what waits, whose turn it is, as long as there is room; lanes only when no call waits."""
        for queue in (self._queue, self._lanes):
            while (request := queue.next()) is not None:
                member = self._choose(request)
                if member is None:
                    return
                self._place(member, queue.pop())

    def _place(self, member: Member, request: Request) -> None:
        """Send a request that is in no queue; whatever keeps it from being sent is its answer."""
        try:
            self._send(member, request)
        except Exception as error:  # noqa: BLE001 - the caller's answer, of whatever class it is
            request.fail(_unforeseen(error))

    def _send(self, member: Member, request: Request) -> None:
        service = request.service
        if service is not None:
            handle = member.loaded.find(service.digest)
            if handle is None and service.content is not None:
                self._bring(member, service, request)
                return
            request.handle = self._load(member, service, None) if handle is None else handle
        member.send(request, self._times.expected(request))

    def _load(self, member: Member, service: ServiceVersion, content: int | None) -> int:
        """Send LOAD ahead of the first call; the shell carries them out in order. Closes `content`."""
        load = load_request(service, 0, content, limit=self._limits.load_seconds)
        load.handle, dropped = member.loaded.add(service.digest)
        if dropped is not None:
            member.shell.tell(Kind.UNLOAD, dropped)
        member.send(load, 1.0)
        return load.handle

    # Contents on their way to a shell

    def _load_resident(self, member: Member, service: ServiceVersion) -> None:
        if service.content is None:
            self._load(member, service, None)
        else:
            self._bring(member, service, None)

    def _bring(self, member: Member, service: ServiceVersion, request: Request | None) -> None:
        """Open the content of a service off the loop, while the shell is kept for it; then load and send."""
        member.bringing = True
        work = self._open_and_load(member, service, request)
        task = self._background.once("bring a content", work)
        self._bringing.add(task)
        task.add_done_callback(self._bringing.discard)

    async def _open_and_load(self, member: Member, service: ServiceVersion, request: Request | None) -> None:
        assert service.content is not None
        try:
            content = await self._contents.open(service.content)
            self._deliver(member, service, content, request)
            self._content_error = ""
        except Exception as error:  # noqa: BLE001 - the caller's answer, of whatever class it is
            self._content_error = str(error)
            if request is not None:
                request.fail(_unforeseen(error))
        except asyncio.CancelledError:
            if request is not None:
                request.fail(Draining("the server is shutting down"))
            raise
        finally:
            member.bringing = False
            if not self._closing:
                self._crew.let_go(member)
                self._pump()

    def _deliver(
        self, member: Member, service: ServiceVersion, content: int, request: Request | None
    ) -> None:
        """Load the service on the shell that was kept for it, if it still lives, and send the request."""
        if not member.shell.usable:
            os.close(content)
            if request is not None:
                self._put_back(request)
            return
        handle = self._load(member, service, content)
        if request is not None and not request.future.done():
            request.handle = handle
            member.send(request, self._times.expected(request))

    # Watching

    def _start_shell(self) -> Shell:
        process = self._launcher.launch(self.runtime)
        try:
            config = self._launcher.config(self.runtime)
            return Shell(process, self, config=config, output_limit=self._limits.output_bytes)
        except BaseException:
            process.kill()
            process.close()
            raise

    async def _tick(self) -> None:
        """What is to be looked at again and again; it also sends what an error kept from being sent."""
        self._ticks += 1
        now = self._loop.time()
        self._drop_late(now)
        waits = bool(self._queue or self._lanes)
        for member in list(self._crew):
            every = _BUSY_TICKS if member.inflight else _IDLE_TICKS
            self._crew.check(member, memory=self._ticks % every == 0, others_wait=waits)
        self._crew.fill()
        if self._ticks % _SHRINK_TICKS == 0:
            self._crew.shrink()
        self._feed_starved(now)
        self._pump()
        if now - min(self._queue.oldest(), self._lanes.oldest()) > self._settings.grow_seconds:
            self._crew.grow()

    def _drop_late(self, now: float) -> None:
        """Fail what waited too long for a shell, and forget those whose caller has left."""
        if not (self._queue or self._lanes):
            return
        self._lanes.remove(has_left)
        limit = self._settings.queue_seconds
        why = f"no {self._name} shell became free within {limit:g} s"
        if self._crew.failing:
            why = f"{why}: none starts, {self._crew.why}"
        for request in self._queue.remove(lambda each: has_left(each) or now - each.submitted > limit):
            request.fail(Overloaded(why))

    def _feed_starved(self, now: float) -> None:
        """Let some of the lanes' requests go before direct calls if none of them runs."""
        self._allowance.grant(now)
        if now - self._lanes.oldest() < _STARVED_SECONDS or any(map(serves, self._members)):
            return
        while self._allowance.is_left and (request := self._lanes.next()) is not None:
            self._lanes.pop()
            self._allowance.spend(self._times.cost(request))
            request.lane = ""
            self._queue.push_back(request)


def _is_fresh(member: Member) -> bool:
    return member.shell.usable and member.is_idle and not member.shell.answered and not member.loaded


def _unforeseen(error: Exception) -> GristmillError:
    """The error as a caller may see it; what nobody foresaw is logged."""
    if isinstance(error, GristmillError):
        return error
    log.error("request_not_sent", exc_info=error)
    return ShellDied("the request could not be sent to a shell; it has been logged, try again shortly")
