"""What is done after a shell has ended, in threads: end what it left running, remove what it left on disk."""

from __future__ import annotations

import functools
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from gristmill.launch.ending import end_user
from gristmill.launch.removal import OutOfTime, remove_tree

__all__ = ["Cleaner", "Worker"]

log = structlog.get_logger()

#: From one attempt to end a user's processes to the next, where some cannot be ended, seconds.
_RETRY_SECONDS = 15.0
#: After which a removal that takes long lets others go first.
_TURN_SECONDS = 10.0


class Worker:
    """A thread that carries out one job after another, and that no exit of the server waits for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0  #: jobs that have not ended
        self._idle = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def put(self, job: Callable[[], object]) -> None:
        """Have a job done after those put before; returns at once. What it raises is logged."""
        with self._lock:
            self._open += 1
            self._jobs.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until all jobs are done; False when they take longer."""
        with self._lock:
            return self._idle.wait_for(lambda: self._open == 0, seconds)

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:
                log.exception("cleaning_failed", worker=self._name)
            with self._lock:
                self._open -= 1
                if not self._open:
                    self._idle.notify_all()


class Cleaner:
    """Ends processes and removes folders, without keeping the event loop.

    A folder to be removed is first renamed into the trash, which only the server can enter. What is still
    in there when the server ends is removed after its next start.
    """

    def __init__(self, trash: Path) -> None:
        self._trash = trash
        trash.mkdir(mode=0o700, exist_ok=True)
        trash.chmod(0o700)
        # The first thread's jobs end quickly; a removal may take minutes.
        self._ender, self._remover = Worker("gristmill-end"), Worker("gristmill-remove")
        self._stuck: list[tuple[Path, int, Callable[[], None]]] = []
        self._retry_at = 0.0

    def remove_old(self, folder: Path) -> None:
        """Have all that lies in `folder` removed, and what an earlier server left in the trash."""
        for left in self._trash.iterdir():
            self._remover.put(functools.partial(self._finish, left, _nothing))
        for left in folder.iterdir():
            if left != self._trash:
                self._remover.put(functools.partial(self._finish, self._discard(left), _nothing))

    def end(self, uid: int) -> None:
        """Have all processes of a user id ended."""
        self._ender.put(functools.partial(self._end, uid))

    def clear(self, folder: Path, uid: int | None, done: Callable[[], None]) -> None:
        """Have what is left of a shell cleared away; `done` is called in a thread when nothing is.

        Its processes end first, so that none makes files while they are removed, and none has the user id
        when it is given to another shell.
        """
        folder = self._discard(folder)
        if uid is None:
            self._remover.put(functools.partial(self._finish, folder, done))
        else:
            self._ender.put(functools.partial(self._end_first, folder, uid, done))

    def wait(self, seconds: float) -> bool:
        """Wait at shutdown for what is under way; False when it takes longer: the next start removes it."""
        deadline = time.monotonic() + seconds
        done = self._ender.wait(seconds)
        return self._remover.wait(max(0.0, deadline - time.monotonic())) and done

    def _discard(self, folder: Path) -> Path:
        """Its place in the trash, or where it is if it cannot be moved."""
        away = self._trash / secrets.token_hex(8)
        try:
            os.rename(folder, away)
        except OSError as error:
            log.warning("scratch_not_moved", path=str(folder), error=str(error))
            return folder
        return away

    def _end(self, uid: int) -> bool:
        self._retry_stuck()
        ended = end_user(uid)
        if not ended:
            log.warning("processes_stay", uid=uid)
        return ended

    def _end_first(self, folder: Path, uid: int, done: Callable[[], None]) -> None:
        if self._end(uid):
            self._remover.put(functools.partial(self._finish, folder, done))
        else:
            self._stuck.append((folder, uid, done))

    def _retry_stuck(self) -> None:
        """Try once more to end what could not be: its user id is not given back before."""
        if not self._stuck or time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        waiting, self._stuck = self._stuck, []
        for folder, uid, done in waiting:
            if end_user(uid, seconds=0.1):
                self._remover.put(functools.partial(self._finish, folder, done))
            else:
                self._stuck.append((folder, uid, done))

    def _finish(self, folder: Path, done: Callable[[], None]) -> None:
        try:
            remove_tree(folder, seconds=_TURN_SECONDS)
        except OutOfTime:
            self._remover.put(functools.partial(self._finish, folder, done))
            return
        except OSError as error:  # in the trash nobody finds it, and the next start tries again
            log.warning("scratch_stays", path=str(folder), error=str(error))
        done()


def _nothing() -> None:
    """For what nobody waits for."""
