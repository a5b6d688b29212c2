"""What a pool knows of each of its shells, and of how long services run."""

from __future__ import annotations

from gristmill.calls import Request
from gristmill.errors import GristmillError, ShellDied, TimedOut
from gristmill.frames import Kind
from gristmill.launching import Limits
from gristmill.loading import Loaded
from gristmill.shell import Shell, over_memory

__all__ = ["Member", "RunTimes"]

#: What nobody waits for any more is interrupted after so long, and its shell stopped so long after that.
_LEFT_SECONDS, _HEED_SECONDS = 1.0, 5.0
#: What a call is taken to cost in turns, in seconds of a shell, as long as its service has never run.
_UNKNOWN_COST = 0.1


class Member:
    """A shell of a pool with what the pool knows of it."""

    __slots__ = ("backlog", "bringing", "idle_since", "inflight", "interrupted", "loaded", "shell")

    def __init__(self, shell: Shell, loaded: Loaded, now: float) -> None:
        self.shell = shell
        self.loaded = loaded
        self.inflight = shell.inflight
        self.idle_since = now
        self.backlog = 0.0  #: seconds that what is in flight is expected to take
        self.bringing = False  #: a content is on its way to it: it is kept for the service that has it
        self.interrupted: float | None = None  #: when what runs was told to stop, loop time

    @property
    def is_idle(self) -> bool:
        """Tells whether it has nothing to do, nor will in a moment."""
        return not self.inflight and not self.bringing

    def send(self, request: Request, expected: float) -> None:
        """Put a request behind those in flight."""
        request.expected = expected
        self.backlog += expected
        self.shell.send(request)

    def answered(self, request: Request) -> None:
        """One of them is no longer in flight."""
        self.backlog = self.backlog - request.expected if self.inflight else 0.0
        self.interrupted = None

    def fault(self, now: float, limits: Limits, *, memory: bool) -> GristmillError | None:
        """Why the shell has to be stopped, if it has; its memory is looked at only on demand."""
        shell = self.shell
        if not shell.ready:
            late = now - shell.started > limits.start_seconds
            return TimedOut("the shell did not start in time") if late else None
        if not shell.inflight:
            return None
        overdue = shell.overdue(now)
        if overdue is not None:
            return overdue
        if self.interrupted is not None and now - self.interrupted > _HEED_SECONDS:
            return ShellDied(
                "nobody waits for the answer any more, and the code did not stop when it was told to"
            )
        used = shell.memory(limits.memory_bytes) if memory else 0
        return over_memory(used, limits.memory_bytes) if used > limits.memory_bytes else None

    def let_go_of_left(self, now: float, *, others_wait: bool) -> None:
        """Interrupt a run that nobody waits for any more where it holds up others; its shell lives on.

        Only where nothing is behind it in the shell: the signal must reach this run and no other. A run of
        several calls goes on, since others wait for it.
        """
        head = self.inflight[0]
        if (
            self.interrupted is not None
            or not head.future.cancelled()
            or now - self.shell.head_since < _LEFT_SECONDS
            or self.shell.runs_group
        ):
            return
        if others_wait or head.lane or len(self.inflight) > 1:
            self.interrupted = now
            if len(self.inflight) == 1:
                self.shell.interrupt()


class RunTimes:
    """How long one call of each service keeps its shell busy, smoothed, by the service's digest."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def of(self, digest: str) -> float | None:
        """Seconds; None if it was never seen."""
        return self._seconds.get(digest)

    def expected(self, request: Request) -> float:
        """Seconds that the request will take, as far as one can know."""
        if request.kind is Kind.CALL and request.service is not None:
            return self._seconds.get(request.service.digest, 1.0)
        return 1.0

    def cost(self, request: Request) -> float:
        """Seconds of a shell that the request takes, for whose turn it is."""
        return self._seconds.get(request.service.digest, _UNKNOWN_COST) if request.service else _UNKNOWN_COST

    def learn(self, request: Request) -> None:
        """Take a request that was answered into account."""
        if request.kind is not Kind.CALL or request.service is None:
            return
        if not request.future.done() or request.future.cancelled() or request.future.exception() is not None:
            return
        times = request.future.result().times
        spent = (times.decode + times.run + times.encode) / 1e6
        digest = request.service.digest
        known = self._seconds.get(digest)
        self._seconds[digest] = spent if known is None else known + 0.1 * (spent - known)

    def forget(self, digest: str) -> None:
        """The service is another one from now on."""
        self._seconds.pop(digest, None)
