"""What /proc tells of processes: who descends from whom, whose they are, and how much memory they hold."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["by_user", "children", "of_user", "proportional", "resident", "resident_and_private", "tree"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


def children(pid: int, until: float = math.inf) -> Iterator[int]:
    """The processes that `pid` has started and not yet reaped, whichever of its threads started them.

    Raises TimeoutError past `until` on the monotonic clock: there may be any number of threads.
    """
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return  # it has ended
    for thread in threads:
        if time.monotonic() > until:
            raise TimeoutError
        try:
            text = Path(f"/proc/{pid}/task/{thread}/children").read_text()
        except OSError:
            continue  # that thread has ended
        yield from map(int, text.split())


def tree(pid: int, until: float = math.inf) -> Iterator[int]:
    """A process and all that descend from it, each once. Raises TimeoutError past `until`."""
    seen, waiting = {pid}, [pid]
    while waiting:
        parent = waiting.pop()
        yield parent
        found = set(children(parent, until)) - seen
        seen |= found
        waiting.extend(found)


def of_user(uid: int) -> list[int]:
    """The processes that run as `uid`, without those that have ended and wait to be reaped.

    Raises OSError when /proc cannot be read, for want of descriptors for instance.
    """
    with os.scandir("/proc") as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit() and _runs_as(entry, uid)]


def by_user() -> dict[int, set[int]]:
    """All processes, by the user that they run as."""
    found: dict[int, set[int]] = {}
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                try:
                    found.setdefault(entry.stat().st_uid, set()).add(int(entry.name))
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it has ended
    return found


def _runs_as(entry: os.DirEntry[str], uid: int) -> bool:
    try:
        if entry.stat().st_uid != uid:
            return False
        with os.scandir(f"{entry.path}/task") as threads:
            return any(map(_lives, threads))
    except (FileNotFoundError, ProcessLookupError):
        return False


def _lives(thread: os.DirEntry[str]) -> bool:
    """Whether a thread runs: a process whose first thread has ended may go on in others."""
    try:
        state = Path(thread.path, "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return False
    return state not in ("Z", "X")


def resident(pid: int) -> int:
    """Resident bytes; 0 when it has ended."""
    return resident_and_private(pid)[0]


def resident_and_private(pid: int) -> tuple[int, int]:
    """Resident bytes, and how many of them only forks can share; (0, 0) when it has ended."""
    try:
        pages, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
    except (OSError, ValueError):
        return 0, 0
    return pages * _PAGE, (pages - shared) * _PAGE


def proportional(pid: int) -> int:
    """Resident bytes, shared pages divided by their users (PSS); the kernel adds them up page by page."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
