"""What a node stands on, failing at random: files, disk, database, shells. Put in at its ports."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.util import await_only

from gristmill.blobs import DirectoryBlobs
from gristmill.launch.local import LocalLauncher
from gristmill.launching import ShellProcess
from gristmill.services import Runtime

__all__ = ["Chaos", "FaultyBlobs", "FaultyLauncher", "break_database"]

#: Of a hundred operations, how many fail in each way.
OPEN, PUT, LAUNCH = 2.0, 5.0, 10.0
BEFORE_COMMIT, AFTER_COMMIT, QUERY, HANG = 0.7, 0.7, 0.2, 0.1
HANG_SECONDS = 1.0
#: Seconds between two shells that are killed.
KILL_EVERY = (0.5, 4.0)


class Chaos:
    """Dice with a seed, off at first, and a count of what they broke. For the loop and its threads."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.on = False
        self.done: Counter[str] = Counter()

    def strikes(self, percent: float, what: str) -> bool:
        """Decide one operation; a hit is counted as `what`."""
        hit = self.on and self._random.random() * 100 < percent
        if hit:
            self.done[what] += 1
        return hit

    def error(self, what: str, *numbers: int) -> OSError:
        """One of these errors of the system."""
        number = self._random.choice(numbers)
        self.done[f"{what}: {errno.errorcode[number]}"] += 1
        return OSError(number, os.strerror(number))

    def pause(self, least: float, most: float) -> float:
        return self._random.uniform(least, most)

    def pick(self, among: list[int]) -> int:
        return self._random.choice(among)


class _Through:
    """Hands on to what it wraps all that it does not know itself."""

    def __init__(self, wrapped: Any, chaos: Chaos) -> None:
        self._wrapped = wrapped
        self._chaos = chaos

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


class FaultyBlobs(_Through):
    """Contents that cannot be opened now and then, on a disk that is full or failing now and then."""

    _wrapped: DirectoryBlobs

    def _fail_open(self) -> None:
        if self._chaos.strikes(OPEN, "open"):
            raise self._chaos.error("open", errno.EMFILE, errno.ESTALE, errno.EIO)

    def open_now(self, digest: str) -> BinaryIO:
        self._fail_open()
        return self._wrapped.open_now(digest)

    async def open(self, digest: str) -> BinaryIO:
        self._fail_open()
        return await self._wrapped.open(digest)

    async def put(self, source: BinaryIO, **options: Any) -> Any:
        if self._chaos.strikes(PUT, "put"):
            source = _Breaking(source, self._chaos)  # type: ignore[assignment]
        return await self._wrapped.put(source, **options)


class _Breaking(_Through):
    """A source of content during whose copying the disk fails."""

    def read(self, size: int = -1) -> bytes:
        raise self._chaos.error("put", errno.ENOSPC, errno.EIO, errno.EMFILE, errno.ESTALE)


class FaultyLauncher(_Through):
    """Shells that do not start now and then, and that are killed at random; without R unless it is wanted."""

    _wrapped: LocalLauncher

    def __init__(self, wrapped: LocalLauncher, chaos: Chaos, *, with_r: bool) -> None:
        super().__init__(wrapped, chaos)
        self._with_r = with_r
        self._launched: dict[int, Runtime] = {}

    @property
    def runtimes(self) -> dict[Runtime, str]:
        found = self._wrapped.runtimes
        return found if self._with_r else {r: found[r] for r in found if r is not Runtime.R}

    def launch(self, runtime: Runtime, *given: Any, **options: Any) -> ShellProcess:
        if self._chaos.strikes(LAUNCH, "launch"):
            raise self._chaos.error("launch", errno.EAGAIN, errno.EMFILE, errno.ENOMEM, errno.ENOSPC)
        process = self._wrapped.launch(runtime, *given, **options)
        self._launched[process.pid] = runtime
        return process

    def shells(self) -> dict[int, Runtime]:
        """The shells, by process id, that are children of this process and have not ended."""
        self._launched = {pid: runtime for pid, runtime in self._launched.items() if _is_child(pid)}
        return self._launched

    async def kill_some(self) -> None:
        """Kill one shell after another, for ever."""
        while True:
            await asyncio.sleep(self._chaos.pause(*KILL_EVERY))
            living = list(self.shells())
            if living and self._chaos.strikes(100, "shell killed"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._chaos.pick(living), signal.SIGKILL)


def _is_child(pid: int) -> bool:
    """Whether `pid` is a living child of this process, and not another's process that has the number now."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return False
    state, parent = text[text.rindex(")") + 2 :].split()[:2]
    return int(parent) == os.getpid() and state != "Z"


def break_database(chaos: Chaos) -> None:
    """Have the drivers of all databases of this process fail, and hang, now and then.

    Before a COMMIT nothing is kept; after one all is, and only the answer is lost.
    """
    broken: set[int] = set()

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def query(*_: Any) -> None:
        if chaos.strikes(HANG, "database: hangs for a second"):
            await_only(asyncio.sleep(HANG_SECONDS))
        if chaos.strikes(QUERY, "database: query fails"):
            raise _lost("query")

    @sa.event.listens_for(sa.Engine, "engine_connect")
    def connected(connection: sa.Connection) -> None:
        dialect = connection.dialect
        if id(dialect) not in broken:
            broken.add(id(dialect))
            dialect.do_commit = _breaking(chaos, dialect.do_commit)  # type: ignore[assignment, method-assign]


def _breaking(chaos: Chaos, commit: Callable[[Any], None]) -> Callable[[Any], None]:
    def do_commit(connection: Any) -> None:
        if chaos.strikes(BEFORE_COMMIT, "database: COMMIT fails"):
            raise _lost("COMMIT, which was not carried out")
        commit(connection)
        if chaos.strikes(AFTER_COMMIT, "database: answer to COMMIT is lost"):
            raise _lost("COMMIT, which was carried out")

    return do_commit


def _lost(statement: str) -> sa.exc.OperationalError:
    return sa.exc.OperationalError(statement, {}, ConnectionError("the connection was lost"))
