"""A started child process, seen as a shell."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable

from gristmill.launch import proc
from gristmill.launch.ending import end_user
from gristmill.launch.gauge import Gauge
from gristmill.launch.oom import OomKills

__all__ = ["LocalShellProcess"]

#: How long listing what a shell has started may keep the loop.
_LIST_SECONDS = 0.005
_tree, _resident = proc.tree, proc.resident


def _end_in_thread(uid: int) -> None:
    threading.Thread(target=end_user, args=(uid,), name="gristmill-end", daemon=True).start()


#: One for all shells: a kill is told to the first of them that asks after it.
_oom_kills = OomKills()


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
        end_user: Callable[[int], None] = _end_in_thread,
    ) -> None:
        """`info`, which does not block, is where bubblewrap tells of its child.

        `release` clears away what is left when it has ended; `end_user` has a user's processes ended.
        """
        self._process = process
        self.control = control
        self.descriptors = descriptors
        self.console = console
        self.pid = process.pid
        self._info = info
        self._sandboxed = sandboxed
        self._uid = uid
        self._release = release
        self._end_user = end_user
        # In a PID namespace whoever loses his parent gets one that is in the tree.
        self._gauge = Gauge(process.pid, None if sandboxed else uid)
        self._closed = False
        self._inner: int | None = None
        self._exit = os.pidfd_open(process.pid)  # last: when it fails, nothing is this object's

    def exit_descriptor(self) -> int:
        """A descriptor that turns readable when the process has ended."""
        return self._exit

    def reap(self) -> int | None:
        """The exit status (negative: the signal) of the ended process, or None while it runs."""
        return self._process.poll()

    def ran_out_of_memory(self) -> bool:
        """Tells whether the kernel has ended a process for want of memory since that was last asked."""
        return _oom_kills.are_new()

    def interrupt(self) -> None:
        """Send SIGINT to the shell itself, which under bubblewrap is a grandchild."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._inner_pid(), signal.SIGINT)

    def kill(self) -> None:
        """End the shell at once, and what it started as soon as a thread gets to it.

        Harmless when it has ended. Neither waits nor forks: the server may be large.
        """
        if self._closed:
            return  # its user id may be another shell's by now
        if self._process.poll() is None:
            started = self._descendants()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.kill()
            for pid in started:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        if self._uid is not None:
            # User code may have left the process group; its user id it cannot leave.
            self._end_user(self._uid)

    def _descendants(self) -> list[int]:
        """What the shell started, where neither user id nor PID namespace tells; what can be listed soon."""
        found: list[int] = []
        if self._uid is None and not self._sandboxed:
            with contextlib.suppress(TimeoutError):
                for pid in proc.tree(self.pid, time.monotonic() + _LIST_SECONDS):
                    found.append(pid)  # noqa: PERF402 - what was listed in time counts
        return found

    def memory(self, *, exact: bool = False) -> int:
        """Resident bytes of the shell and all that it started; 0 when it has ended.

        Unless `exact`, pages that a parent shares with its forks count once for each. Never keeps the loop:
        see `Gauge.read`.
        """
        return self._gauge.read(exact=exact)

    def close(self) -> None:
        """Release sockets, console and scratch directory; what takes long is done in threads.

        The process has ended, or is ended now.
        """
        if self._closed:
            return
        if self._process.poll() is None:
            self.kill()
            self._process.wait()
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
            try:
                child = int(json.loads(os.read(self._info, 4096))["child-pid"])
            except (BlockingIOError, ValueError) as error:
                raise ProcessLookupError("bubblewrap has not started the shell") from error
            self._inner = next(proc.children(child), child)
        return self._inner
