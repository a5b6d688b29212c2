"""Runs functions in the threads of realtime scoring, and keeps long reading out of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError as NotRun
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from gristmill.errors import Overloaded
from gristmill.off_loop import Work, off_loop

__all__ = ["TooLong", "in_thread", "made_off_loop", "no_thread", "portable", "spare_loop"]

#: So that nothing collects them before they are done.
_undoing: set[asyncio.Future[object]] = set()
P = ParamSpec("P")
T = TypeVar("T")


class TooLong(Exception):
    """Going on would hold the event loop: do the same again in a thread."""


def spare_loop(size: int, most: int) -> None:
    """Raise TooLong where more than `most` is about to be worked on in a thread that runs an event loop."""
    if size > most:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise TooLong


async def in_thread(executor: Executor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `function`, run in a thread of `executor`; raises what it raises, as `portable` has it.

    Raises Overloaded where no thread can be had. Of a caller that is cancelled, nothing begins any more.
    """

    def run() -> T:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            told = portable(error)
            if told is error:
                raise
            raise told from error

    try:
        running = executor.submit(run)
    except RuntimeError as error:  # shut down, or the system gives no further thread
        raise no_thread() from error
    try:
        return await asyncio.wrap_future(running)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            raise no_thread() from None  # the executor was shut down before its turn
        raise


async def made_off_loop(work: Work, make: Callable[[], T], undo: Callable[[T], object]) -> T:
    """As `off_loop` with `make`; if the caller leaves meanwhile, `undo` gets what was made, in a thread."""
    making = asyncio.ensure_future(off_loop(work, make))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:

        def unmake(made: asyncio.Future[T]) -> None:
            if not made.cancelled() and made.exception() is None:
                undoing = asyncio.ensure_future(off_loop(Work.REMOVE, undo, made.result()))
                _undoing.add(undoing)
                undoing.add_done_callback(_undoing.discard)

        making.add_done_callback(unmake)
        raise


def no_thread() -> Overloaded:
    """What a call is answered with that no thread takes."""
    return Overloaded("no thread is free to score these rows; try again in a moment", retry_after=1.0)


def portable(error: BaseException) -> Exception:
    """The error; a RuntimeError that names it where a future cannot hold it or it would end the loop."""
    if isinstance(error, Exception) and not isinstance(error, (StopIteration, NotRun)):
        return error
    return RuntimeError(f"scoring ended with {error!r}")
