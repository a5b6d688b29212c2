"""The port towards whatever starts shells, and the limits that they are started with."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol

from gristmill.services import Runtime

__all__ = ["Limits", "ShellLauncher", "ShellProcess"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one shell may use. Seconds and bytes; each has a flag of `gristmill serve`."""

    execution_seconds: float = 60.0  #: one call's run
    load_seconds: float = 120.0  #: loading one service: its objects and its init code
    start_seconds: float = 60.0  #: from the start of the process to ready
    memory_bytes: int = 4096 * _MIB  #: resident, the shell and its children together
    output_bytes: int = 128 * _MIB  #: one answer
    console_bytes: int = 1 * _MIB  #: console output that one answer carries
    file_bytes: int = 1024 * _MIB  #: one file that user code writes
    processes: int = 64  #: processes and threads of one shell
    open_files: int = 1024
    services: int = 32  #: services that one shell keeps loaded


class ShellProcess(Protocol):
    """A started shell, before anything was said to it."""

    control: socket.socket  #: non-blocking stream of frames
    descriptors: socket.socket  #: takes file descriptors (SCM_RIGHTS)
    console: int  #: descriptor of the regular file that its stdout and stderr append to
    pid: int

    def exit_descriptor(self) -> int:
        """A descriptor that turns readable when the process has ended."""

    def reap(self) -> int | None:
        """The exit status (negative: the signal) of the ended process, or None while it runs."""

    def ran_out_of_memory(self) -> bool:
        """Of a process that was ended by SIGKILL: tells whether the kernel did it for want of memory."""

    def interrupt(self) -> None:
        """Send SIGINT to the shell itself."""

    def kill(self) -> None:
        """End the shell and everything that it started, at once; harmless when it has ended."""

    def memory(self, *, exact: bool = False) -> int:
        """Resident bytes of the shell and all that it started; 0 when it has ended.

        Unless `exact`, pages that forks share may count several times.
        """

    def close(self) -> None:
        """Release sockets, console and scratch directory; the process must have been reaped."""


class ShellLauncher(Protocol):
    """Starts shells somewhere: as child processes here, later on a cluster."""

    @property
    def runtimes(self) -> dict[Runtime, str]:
        """The languages that can be started, with the interpreter of each."""

    def launch(self, runtime: Runtime) -> ShellProcess:
        """Start one; returns before it is ready. Raises GristmillError that says what is missing."""

    def config(self, runtime: Runtime) -> dict[str, object]:
        """Body of the CONFIG frame for this runtime."""
