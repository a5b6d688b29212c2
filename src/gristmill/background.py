"""Work that runs beside the requests: repeated or once, logged when it fails, and never ended by an error."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from gristmill.errors import GristmillError

__all__ = ["Background", "Repeated"]

log = structlog.get_logger()

#: The longest pause after failures in a row, seconds; work with a longer interval keeps its own.
_LONGEST_PAUSE = 10.0
#: Work that failed so often in a row, or one run of which takes so many seconds, is reported as failing.
_MANY_FAILURES, _LONG_RUN = 3, 60.0
#: The first pause is twice the interval, or twice this where that is longer, seconds.
_LEAST = 0.02
#: Of a traceback in the log, the innermost ones.
_MOST_FRAMES = 20


@dataclass(slots=True, kw_only=True, eq=False)
class Repeated:
    """One piece of repeated work and how it fares."""

    name: str
    every: float  #: seconds from the end of a run to the start of the next
    longest_pause: float = _LONGEST_PAUSE  #: seconds, after failures in a row
    wake: asyncio.Event = field(default_factory=asyncio.Event)  #: set it to have the next run start at once
    runs: int = 0
    failures: int = 0  #: in a row; 0 after a run that went well
    last_error: str = ""
    began: float | None = None  #: loop time at which the current run began, None between two
    task: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """End it, wherever it is, and wait until it has ended."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    def describe(self, now: float) -> dict[str, object]:
        """For `/status`: a status code and what lies behind it."""
        running = now - self.began if self.began is not None else 0.0
        failing = self.failures >= _MANY_FAILURES or running > _LONG_RUN
        code = "fail" if failing else "warn" if self.failures else "pass"
        details: dict[str, object] = {"runs": self.runs, "failuresInARow": self.failures}
        if self.failures:
            details["error"] = self.last_error
        if running > 1.0:
            details["runningSeconds"] = round(running, 1)
        return {"statusCode": code, "details": details, "components": {}}


class Background:
    """Supervises background work of one event loop.

    An exception of any class is logged and does not end the work: the next run starts after a pause that
    doubles with each failure in a row, up to 10 s, unless the work asks for less, or its interval.
    """

    def __init__(self) -> None:
        self._repeated: dict[str, Repeated] = {}
        self._once: set[asyncio.Task[Any]] = set()

    def repeat(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        every: float,
        at_once: bool = False,
        longest_pause: float = _LONGEST_PAUSE,
    ) -> Repeated:
        """Run `work` every `every` seconds, the first time after one interval, or `at_once`.

        After failures it pauses up to `longest_pause` seconds, or `every` if that is longer.

        Of several with the same name the last one is shown by `describe`; all of them run.
        """
        repeated = Repeated(name=name, every=every, longest_pause=longest_pause)
        if at_once:
            repeated.wake.set()
        self._repeated[name] = repeated
        task = asyncio.create_task(_repeat(repeated, work), name=name)
        repeated.task = task
        task.add_done_callback(lambda _: self._forget(repeated))
        return repeated

    def once(self, name: str, work: Coroutine[Any, Any, object]) -> asyncio.Task[None]:
        """Run `work` to its end, keep it from being collected, and log an exception that ends it."""
        task = asyncio.create_task(_logged(name, work), name=name)
        self._once.add(task)
        task.add_done_callback(self._once.discard)
        return task

    def describe(self) -> dict[str, dict[str, object]]:
        """Each piece of repeated work, by name, as a component of `/status`."""
        now = asyncio.get_running_loop().time()
        return {name: each.describe(now) for name, each in sorted(self._repeated.items())}

    async def close(self) -> None:
        """End everything that still runs."""
        tasks = [each.task for each in self._repeated.values() if each.task is not None]
        tasks += list(self._once)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, repeated: Repeated) -> None:
        if self._repeated.get(repeated.name) is repeated:
            del self._repeated[repeated.name]


async def _repeat(repeated: Repeated, work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await _pause(repeated)
        await _run(repeated, work)


async def _pause(repeated: Repeated) -> None:
    """Until the next run is due; `wake` shortens it, but not after a failure."""
    if repeated.failures:
        await asyncio.sleep(_pause_after(repeated))
    else:
        try:
            async with asyncio.timeout(repeated.every):
                await repeated.wake.wait()
        except TimeoutError:
            pass  # the usual case: nobody was in a hurry
    repeated.wake.clear()


def _pause_after(repeated: Repeated) -> float:
    doubled = max(repeated.every, _LEAST) * 2.0 ** min(repeated.failures, 30)
    return min(doubled, max(repeated.longest_pause, repeated.every))


async def _run(repeated: Repeated, work: Callable[[], Awaitable[object]]) -> None:
    repeated.began = asyncio.get_running_loop().time()
    try:
        await work()
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        _failed(repeated, "something that it waited for was cancelled")
    except GristmillError as error:
        _failed(repeated, error.message)
    except Exception as error:  # noqa: BLE001 - whatever it was, the work goes on
        _failed(repeated, repr(error), error)
    else:
        if repeated.failures:
            log.info("background_work_recovered", work=repeated.name, failures=repeated.failures)
        repeated.failures = 0
    finally:
        repeated.runs += 1
        repeated.began = None


def _failed(repeated: Repeated, why: str, error: Exception | None = None) -> None:
    repeated.failures += 1
    repeated.last_error = why[:500]
    pause = _pause_after(repeated)
    if error is None:
        log.warning("background_work_failed", work=repeated.name, error=why, next_try=pause)
    else:
        log.error("background_work_failed", work=repeated.name, next_try=pause, exception=_trace(error))


async def _logged(name: str, work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        log.warning("background_work_failed", work=name, error="something that it waited for was cancelled")
    except GristmillError as error:
        log.warning("background_work_failed", work=name, error=error.message)
    except Exception as error:  # noqa: BLE001 - there is nobody else to tell
        log.error("background_work_failed", work=name, exception=_trace(error))


def _trace(error: Exception) -> str:
    """A traceback in plain text, cheap to make whatever the log is set up to do with exceptions."""
    return "".join(traceback.format_exception(error, limit=-_MOST_FRAMES)).rstrip()


def _is_cancelled() -> bool:
    """Tells whether this task is cancelled; else a future that it waited for was."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
