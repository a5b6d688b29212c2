"""A started child process, seen as a shell."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["LocalShellProcess"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


class LocalShellProcess:
    """Implements `gristmill.launching.ShellProcess` for a child process, sandboxed or not."""

    def __init__(
        self,
        *,
        process: subprocess.Popen[bytes],
        control: socket.socket,
        descriptors: socket.socket,
        console: int,
        info: int,
        sandboxed: bool,
        uid: int | None,
        release: Callable[[], None],
    ) -> None:
        self._process = process
        self.control = control
        self.descriptors = descriptors
        self.console = console
        self.pid = process.pid
        self._info = info
        self._sandboxed = sandboxed
        self._uid = uid
        self._release = release
        self._exit = os.pidfd_open(process.pid)
        self._closed = False
        self._inner: int | None = None

    def exit_descriptor(self) -> int:
        """A descriptor that turns readable when the process has ended."""
        return self._exit

    def reap(self) -> int | None:
        """The exit status (negative: the signal) of the ended process, or None while it runs."""
        return self._process.poll()

    def interrupt(self) -> None:
        """Send SIGINT to the shell itself, which under bubblewrap is a grandchild."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._inner_pid(), signal.SIGINT)

    def kill(self) -> None:
        """End the shell and everything that it started, at once; harmless when it has ended."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.kill()
        if self._uid is not None and not self._sandboxed:
            # User code may have left the process group; its user id it cannot leave.
            subprocess.run(
                ["/bin/sh", "-c", "kill -9 -1"],
                user=self._uid,
                group=self._uid,
                extra_groups=[],
                check=False,
                timeout=10,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def memory(self, *, exact: bool = False) -> int:
        """Resident bytes of the shell and all that it started; 0 when it has ended.

        Unless `exact`, pages that a parent shares with its forks count once for each.
        """
        read = _proportional if exact else _resident
        return sum(read(pid) for pid in _tree(self.pid))

    def close(self) -> None:
        """Release sockets, console and scratch directory; the process must have been reaped."""
        if self._closed:
            return
        self._closed = True
        self.control.close()
        self.descriptors.close()
        for descriptor in (self.console, self._exit, self._info):
            os.close(descriptor)
        self._release()

    def _inner_pid(self) -> int:
        """The shell's process id as the server sees it."""
        if not self._sandboxed:
            return self.pid
        if self._inner is None:
            told = json.loads(os.read(self._info, 4096))
            self._inner = next(_children(told["child-pid"]), told["child-pid"])
        return self._inner


def _children(pid: int) -> Iterator[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return  # it has ended
    yield from map(int, text.split())


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for child in _children(pid):
        yield from _tree(child)


def _proportional(pid: int) -> int:
    """PSS, which the kernel adds up page by page: slow."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
