"""Shells as child processes of this server."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog

from gristmill.errors import RuntimeUnavailable
from gristmill.launch.cleaning import Cleaner
from gristmill.launch.isolation import (
    SHELL_PATH,
    Isolation,
    UserIds,
    masked_paths,
    needed_paths,
    sandbox,
)
from gristmill.launch.landlock import open_paths
from gristmill.launch.process import LocalShellProcess
from gristmill.launching import Limits
from gristmill.off_loop import Work, off_loop
from gristmill.services import Runtime

__all__ = ["LocalLauncher"]

log = structlog.get_logger()

#: Modules that a warm Python shell has imported before its first service.
_PRELOAD = ("numpy", "pandas")
#: Where others' files lie, and where container runtimes put secrets.
_SECRETS = (Path("/tmp"), Path("/run/secrets"))  # noqa: S108 - a shell has a directory of its own instead
#: Inode of the machine's own PID namespace, a constant of Linux: PROC_PID_INIT_INO.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC


class LocalLauncher:
    """Starts shells with a scrubbed environment, a scratch directory, limits and the isolation given.

    Sandboxed shells do not see `data` nor what else is `hidden`. Must be called from a thread that lives as
    long as the shells: they die with the thread that started them.
    """

    def __init__(
        self,
        *,
        data: Path,
        limits: Limits,
        isolation: Isolation,
        hidden: Sequence[Path] = (),
        python: str = sys.executable,
        r_program: str | None = None,
        threads: int = 1,
    ) -> None:
        self._data = data.resolve()
        self._limits = limits
        self._isolation = isolation
        self._hidden = (self._data, *(folder.resolve() for folder in hidden))
        self._threads = threads
        self._interpreters = {Runtime.PYTHON: python}
        r_program = r_program or shutil.which("R")
        if r_program:
            self._interpreters[Runtime.R] = r_program
        self._users = UserIds() if isolation.users else None
        self._scratch = self._data / "scratch"
        self._scratch.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._scratch.chmod(0o711)
        self._cleaner = Cleaner(self._trash())
        self._cleaner.remove_old(self._scratch)

    @property
    def runtimes(self) -> dict[Runtime, str]:
        """The languages that can be started, with the interpreter of each."""
        return dict(self._interpreters)

    def config(self, runtime: Runtime) -> dict[str, object]:
        """Body of the CONFIG frame."""
        settings: dict[str, object] = {
            "runtime": str(runtime),
            "output_limit": self._limits.output_bytes,
            "console_limit": self._limits.console_bytes,
            "max_services": self._limits.services,
        }
        if runtime is Runtime.PYTHON:
            settings["preload"] = list(_PRELOAD)
        else:
            settings["rscript"] = self._interpreters[runtime]
        return settings

    def launch(self, runtime: Runtime) -> LocalShellProcess:
        """Start one; returns before it is ready. Raises RuntimeUnavailable where the language is missing."""
        if runtime not in self._interpreters:
            raise RuntimeUnavailable(f"this server has no {runtime}: install it and start the server again")
        with contextlib.ExitStack() as undo:
            started = self._start(runtime, undo)
            undo.pop_all()
        return started

    def _start(self, runtime: Runtime, undo: contextlib.ExitStack) -> LocalShellProcess:
        """Start a shell; what undoes each step is in `undo`."""
        uid, scratch = self._make_place(undo)
        console = self._make_console(uid, undo)
        ours, theirs = _socket_pair(undo)
        ours_fd, theirs_fd = _socket_pair(undo)
        info_read, info_write = os.pipe()
        undo.callback(os.close, info_read)
        with theirs, theirs_fd, open(info_write, "wb", buffering=0):
            os.set_blocking(info_read, False)
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            process = self._spawn(runtime, scratch, uid, console, theirs, theirs_fd, info_write)
        undo.callback(_end_now, process)
        ours.setblocking(False)
        ours_fd.setblocking(False)
        return LocalShellProcess(
            process=process,
            control=ours,
            descriptors=ours_fd,
            console=console,
            info=info_read,
            sandboxed=self._isolation.bubblewrap is not None,
            uid=uid,
            release=lambda: self._clear(scratch, uid),
            end_user=self._cleaner.end,
        )

    async def close(self, seconds: float = 5.0) -> None:
        """Wait a while for what ended shells have left to be removed; the next start removes the rest.

        Call when all shells have ended.
        """
        if not await off_loop(Work.REMOVE, self._cleaner.wait, seconds):
            log.info("scratch_left_to_next_start", after_seconds=seconds)

    def _trash(self) -> Path:
        """Where folders wait for their removal: on the file system of the scratch directory."""
        mounted = self._scratch.stat().st_dev != self._data.stat().st_dev
        return self._scratch / ".trash" if mounted else self._data / "trash"

    def _give_back(self, uid: int | None) -> None:
        if self._users and uid is not None:
            self._users.give_back(uid)

    def _spawn(
        self,
        runtime: Runtime,
        scratch: Path,
        uid: int | None,
        console: int,
        control: socket.socket,
        descriptors: socket.socket,
        info: int,
    ) -> subprocess.Popen[bytes]:
        before, home = sandbox(
            self._isolation, hidden=self._hidden, scratch=scratch, uid=uid, needed=needed_paths(), info=info
        )
        start = {
            "control": control.fileno(),
            "descriptors": descriptors.fileno(),
            "limits": self._rlimits(uid),
            "die_with_parent": self._isolation.bubblewrap is None,
            "landlock": self._landlock(scratch),
        }
        # R's companion is of our own kind; only Python services run in an interpreter chosen for them.
        python = self._interpreters[Runtime.PYTHON] if runtime is Runtime.PYTHON else sys.executable
        # In a sandbox, the last step before the shell changes the user.
        before = before or _become(uid)
        command = [*before, python, "-m", "gristmill.python_shell.bootstrap", json.dumps(start)]
        forked = uid if not before else None
        return subprocess.Popen(  # noqa: S603 - our own words only
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd=scratch,
            env=self._environment(home, python),
            pass_fds=[control.fileno(), descriptors.fileno(), info],
            start_new_session=True,
            user=forked,
            group=forked,
            extra_groups=None if forked is None else [],
        )

    def _landlock(self, scratch: Path) -> dict[str, list[str]] | None:
        """What the shell may read, and where it may write; None where nothing is to keep it from more."""
        if not self._isolation.landlock:
            return None
        hidden = [*masked_paths(self._hidden), *_SECRETS]
        needed = [*needed_paths(), self._data / "shellpath"]
        return {"reads": open_paths(hidden, needed), "writes": [str(scratch)]}

    def _environment(self, home: str, python: str) -> dict[str, str]:
        threads = str(self._threads)
        environment = {
            "PATH": SHELL_PATH,
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "TZ": os.environ.get("TZ", "UTC"),
            "HOME": home,
            "TMPDIR": f"{home}/tmp",  # noqa: S108 - a directory of the shell's own
            "USER": "gristmill-shell",
            "LOGNAME": "gristmill-shell",
            # Else joblib tries shared memory, which a shell has not, and warns the service's caller of it.
            "JOBLIB_MULTIPROCESSING": "0",
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "PYTHONNOUSERSITE": "1",
            "PYTHONSAFEPATH": "1",
        }
        if python != sys.executable:
            environment["PYTHONPATH"] = str(self._package_path())
        return environment

    def _package_path(self) -> Path:
        """A directory that holds this package alone, for interpreters that do not have it."""
        folder = self._data / "shellpath"
        folder.mkdir(mode=0o755, exist_ok=True)
        link = folder / "gristmill"
        if not link.exists():
            link.symlink_to(Path(__file__).resolve().parents[1], target_is_directory=True)
        return folder

    def _rlimits(self, uid: int | None) -> dict[str, int]:
        limits = self._limits
        return {
            **_limit_of_processes(limits.processes, uid),
            # Address space is far more than what is resident; the watch on that is the exact limit.
            "AS": limits.memory_bytes * 2 + (4 << 30),
            "DATA": limits.memory_bytes + (1 << 30),
            "FSIZE": limits.file_bytes,
            "NOFILE": limits.open_files,
            "CORE": 0,
        }

    def _make_place(self, undo: contextlib.ExitStack) -> tuple[int | None, Path]:
        """A user id for a shell, where each has one, and its scratch directory."""
        uid = self._users.take() if self._users else None
        try:
            scratch = Path(tempfile.mkdtemp(prefix="shell-", dir=self._scratch))
        except BaseException:
            self._give_back(uid)
            raise
        undo.callback(self._abandon, scratch, uid)
        (scratch / "tmp").mkdir(mode=0o700)
        if uid is not None:
            os.chown(scratch / "tmp", uid, uid)
            os.chown(scratch, uid, uid)
        return uid, scratch

    def _abandon(self, scratch: Path, uid: int | None) -> None:
        """Undo the making of a place; at once, unless a process has left something in it already."""
        try:  # without descriptors, of which none may be left
            with contextlib.suppress(FileNotFoundError):
                (scratch / "tmp").rmdir()
            scratch.rmdir()
        except OSError:
            self._clear(scratch, uid)
        else:
            self._give_back(uid)

    def _clear(self, scratch: Path, uid: int | None) -> None:
        self._cleaner.clear(scratch, uid, lambda: self._give_back(uid))

    def _make_console(self, uid: int | None, undo: contextlib.ExitStack) -> int:
        console, path = tempfile.mkstemp(prefix="console-", dir=self._scratch)
        undo.callback(os.close, console)
        os.unlink(path)
        if uid is not None:
            os.fchown(console, uid, uid)
        fcntl.fcntl(console, fcntl.F_SETFL, os.O_APPEND)
        return console


def _socket_pair(undo: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair()
    for end in pair:
        undo.callback(end.close)
    return pair


def _end_now(process: subprocess.Popen[bytes]) -> None:
    """Undo the start of a process that has not yet run anything of a user's."""
    process.kill()
    process.wait()


@functools.cache
def _setpriv() -> str | None:
    return shutil.which("setpriv", path=SHELL_PATH)


def _become(uid: int | None) -> list[str]:
    """Words before a command that have it run as `uid`.

    With Popen's `user=` instead, Python does not use vfork but copies the page tables of the whole server,
    which takes 20 ms a GiB; so that is for where there is no setpriv.
    """
    program = _setpriv()
    if uid is None or program is None:
        return []
    return [program, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


def _limit_of_processes(most: int, uid: int | None) -> dict[str, int]:
    """NPROC for a shell of the user `uid`, or of the server's own.

    Without an id of its own, in a container, it gets none: the kernel counts all containers' processes of the
    user, and we see only ours. There the container's own limit holds.
    """
    if uid is not None:
        return {"NPROC": most}
    return {} if _in_container() else {"NPROC": most + _processes_of_this_user()}


def _in_container() -> bool:
    """Whether there are processes that we cannot see."""
    return os.stat("/proc/self/ns/pid").st_ino != _FIRST_PID_NAMESPACE


def _processes_of_this_user() -> int:
    """How many processes and threads the server's own user has: the limit is counted per user."""
    me = os.geteuid()
    if me == 0:
        return 0  # not enforced for root
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid == me:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
            except OSError:
                continue  # it has ended meanwhile
    return count
