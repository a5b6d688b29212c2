"""Runs blocking functions in threads, so that the event loop never waits for size.

There is a group of threads for each kind of work, so that one cannot fill the threads of another: reading
a small file does not wait behind writes of gigabytes, nor a shell's start behind the removal of a folder.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import ParamSpec, TypeVar

__all__ = ["Work", "busy", "off_loop"]

P = ParamSpec("P")
T = TypeVar("T")


class Work(Enum):
    """Kinds of work, each with its number of threads."""

    READ = 8  #: quick: opening files, reading or looking at small ones
    WRITE = 6  #: slow: copying, hashing and syncing contents of any size
    REMOVE = 2  #: slow and not urgent: deleting folders, sweeping
    COMPUTE = 3  #: processor time: encoding, decoding, compressing large values


_executors: dict[Work, ThreadPoolExecutor] = {}
_running: dict[Work, int] = dict.fromkeys(Work, 0)
_counting = threading.Lock()


async def off_loop(work: Work, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `function`, run in a thread for this kind of work; raises what it raises.

    A caller that is cancelled leaves a function that has begun to end on its own.
    """
    executor = _executors.get(work)
    if executor is None:
        name = f"gristmill-{work.name.lower()}"
        executor = _executors[work] = ThreadPoolExecutor(work.value, thread_name_prefix=name)
    _count(work, 1)
    future = executor.submit(function, *args, **kwargs)
    future.add_done_callback(lambda _: _count(work, -1))
    return await asyncio.wrap_future(future)


def _count(work: Work, change: int) -> None:
    with _counting:
        _running[work] += change


def busy() -> dict[str, int]:
    """How many functions of each kind run or wait for a thread, for `/status`."""
    return {work.name.lower(): count for work, count in _running.items()}
