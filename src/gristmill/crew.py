"""The shells of one pool: how many there are, who is replaced and when, and what a crash loop costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from gristmill.errors import ShellDied
from gristmill.launching import Limits
from gristmill.loading import Loaded
from gristmill.members import Member
from gristmill.shell import Shell

__all__ = ["Crew", "PoolSettings"]

log = structlog.get_logger()

_FIRST_BACKOFF, _LAST_BACKOFF = 0.1, 10.0
#: Failures to start, one after another, with which a pool counts as failing.
_MANY_FAILURES = 3
#: A shell that is idle for so long may be looked at for its memory, and let go or replaced.
_IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Sizes in shells and bytes, times in seconds."""

    initial: int = 2
    maximum: int = 4
    queue_length: int = 1000  #: calls that may wait for a shell
    queue_bytes: int = 512 << 20  #: bodies of these calls together
    queue_seconds: float = 30.0  #: how long one may wait
    grow_seconds: float = 0.25  #: a call that waited this long makes the pool grow
    idle_seconds: float = 300.0  #: after which a shell beyond `initial` is let go
    recycle_calls: int = 1_000_000  #: a shell is replaced after so many
    recycle_bytes: int = 2 << 30  #: or when it is idle and has grown past this


class Crew:
    """Keeps a pool at its size. All methods are for the event loop's thread.

    Shells that stay are those that are neither retiring nor about to be replaced. There are never fewer of
    them than `initial` but for a crash, and while a replacement starts its predecessor goes on serving.
    """

    def __init__(
        self, start: Callable[[], Shell], *, name: str, settings: PoolSettings, limits: Limits
    ) -> None:
        self._start = start  #: the process of a shell; may raise anything
        self._name = name
        self._settings = settings
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self.members: dict[Shell, Member] = {}
        self._predecessor: dict[Shell, Shell] = {}  #: by the shell that is starting to take its place
        self._not_before = 0.0
        self.failures = 0  #: to start, in a row
        self.why = ""  #: of the last failure
        self.closing = False
        self.changed = asyncio.Event()  #: a shell got ready or ended

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    @property
    def failing(self) -> bool:
        """Tells whether shells do not start, and calls may wait in vain."""
        return self.failures >= _MANY_FAILURES

    @property
    def ready(self) -> int:
        """How many shells are ready."""
        return sum(shell.ready for shell in self.members)

    async def wait_ready(self, count: int) -> None:
        """Return when `count` shells are ready. Raises ShellDied when the first ones cannot start."""
        while self.ready < count:
            if self.failing:
                raise ShellDied(f"no {self._name} shell starts: {self.why}")
            self.changed.clear()
            await self.changed.wait()

    # How many

    def _staying(self) -> list[Member]:
        leaving = set(self._predecessor.values())
        return [m for shell, m in self.members.items() if not shell.retiring and shell not in leaving]

    def fill(self, at_least: int = 0) -> None:
        """Start shells up to the initial number, unless a crash loop asks for patience."""
        while len(self._staying()) < max(self._settings.initial, at_least) and self._spawn() is not None:
            continue

    def grow(self) -> None:
        """Start one more, unless one is starting already."""
        starting = any(not shell.ready for shell in self.members)
        if not starting and len(self._staying()) < self._settings.maximum:
            self._spawn()

    def _spawn(self) -> Shell | None:
        if self.closing or self._loop.time() < self._not_before:
            return None
        try:
            shell = self._start()
        except Exception as error:  # noqa: BLE001 - whatever the system refused, it is tried again later
            self._failed(str(error))
            return None
        self.members[shell] = Member(shell, Loaded(self._limits.services), self._loop.time())
        return shell

    def _failed(self, why: str) -> None:
        self.failures += 1
        self.why = why
        delay = min(_LAST_BACKOFF, _FIRST_BACKOFF * 2 ** min(self.failures, 20))
        self._not_before = self._loop.time() + delay
        log.warning("shell_failed_to_start", pool=self._name, why=why, next_try=delay)

    def shrink(self) -> None:
        """Let those go that are beyond the initial number and idle for long, least loaded first."""
        spare = len(self._staying()) - self._settings.initial
        if spare <= 0:
            return
        since = self._loop.time() - self._settings.idle_seconds
        idle = [m for m in self._staying() if m.is_idle and m.idle_since <= since]
        for member in sorted(idle, key=lambda m: (len(m.loaded), m.idle_since))[:spare]:
            member.shell.close()

    # What becomes of them

    def got_ready(self, shell: Shell) -> Member:
        """A new one takes requests; the one whose place it takes, takes none any more."""
        self.failures = 0
        member = self.members[shell]
        member.idle_since = self._loop.time()
        self.changed.set()
        old = self._predecessor.pop(shell, None)
        if old is not None and old in self.members:
            old.retire()
            self.let_go(self.members[old])
        return member

    def let_go(self, member: Member) -> None:
        """End a retiring shell once nothing of it is in flight."""
        if member.shell.retiring and member.is_idle:
            member.shell.close()

    def replace(self, member: Member) -> None:
        """Start a successor, and let the shell go when that one is ready; one at a time in a pool."""
        if self._predecessor or member.shell.retiring:
            return
        successor = self._spawn()
        if successor is not None:
            self._predecessor[successor] = member.shell

    def died(self, shell: Shell) -> None:
        """Strike it off; one that ended before it was ready has the next start wait."""
        self.members.pop(shell, None)
        self._predecessor.pop(shell, None)
        self.changed.set()
        if not shell.ready and not self.closing:
            self._failed(f"exit status {shell.exit_status}, {shell.info.get('error', 'no message')}")
        elif not shell.retiring:
            log.warning("shell_died", pool=self._name, pid=shell.pid, exit_status=shell.exit_status)

    def take(self, wanted: Callable[[Member], bool]) -> Shell | None:
        """Give one away for good, which the pool then replaces; None if there is none that is `wanted`."""
        for shell, member in self.members.items():
            if wanted(member):
                del self.members[shell]
                self._loop.call_soon(self.fill)
                return shell
        return None

    def check(self, member: Member, *, memory: bool, others_wait: bool) -> None:
        """Stop one that runs for too long or has grown too large; replace an idle one that has grown."""
        shell = member.shell
        if shell.dead or shell.reason is not None:
            return
        now = self._loop.time()
        reason = member.fault(now, self._limits, memory=memory)
        if reason is not None:
            shell.kill(reason)
        elif member.inflight:
            member.let_go_of_left(now, others_wait=others_wait)
        elif memory and shell.usable and shell.answered and now - member.idle_since > _IDLE_SECONDS:
            most = self._settings.recycle_bytes
            if shell.memory(most) > most:
                self.replace(member)
