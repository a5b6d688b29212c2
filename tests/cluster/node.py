"""The node: this machine again, with network, mounts and processes of its own, all of which end with it.

Whatever is started on it dies with its first process, and that dies with this one, even by SIGKILL; iptables
rules, bridges and mounts go with the namespaces. Only folders and cgroups are left to take away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster import network as cable
from tests.cluster.network import Network

__all__ = ["CGROUPS", "Node", "NodeFailed"]

NAMESPACES = ("--net", "--mount", "--pid", "--uts", "--ipc")
CGROUPS = Path("/sys/fs/cgroup")
HERE = Path(__file__).parent


class NodeFailed(RuntimeError):
    """A program of the node did not start, or is gone."""


class Node:
    """A context manager; `work` is a folder of its own on a real disk, which is deleted at the end."""

    def __init__(self, work: Path, network: Network) -> None:
        self.work = work
        self.network = network
        self.name = "gristmill-node"
        self.cgroup = f"gristmill-cluster-{network.number}"
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._first: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def __enter__(self) -> Node:
        try:
            self._make_cgroups()
            self._first = self._popen(
                "node",
                [
                    *("setpriv", "--pdeathsig", "KILL", "--"),
                    *("unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--"),
                    *("sh", str(HERE / "node.sh"), str(self.work), self.name),
                ],
            )
            self.wait_for("its namespaces", (self.work / "ready").exists)
            self._pid = _child_of(self._first.pid)
            cable.connect(self.network, self._pid)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process on the node and take away what is left of it."""
        if self._first is not None:
            if self._pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)  # not reaped yet by its parent: the number is its own
                self._first.wait()
            self._first.kill()
            self._first.wait()
            for process in self._started.values():
                process.wait()
        cable.disconnect(self.network)
        self._remove_cgroups()
        shutil.rmtree(self.work, ignore_errors=True)

    def command(self, *command: str) -> list[str]:
        """`command` as it is run on the node."""
        return ["nsenter", "--target", str(self._pid), *NAMESPACES, "--", *command]

    def run(self, *command: str, timeout: float = 120) -> str:
        """Run it there; what it prints. CalledProcessError, with its errors, when it fails."""
        done = subprocess.run(
            self.command(*command), check=True, capture_output=True, text=True, timeout=timeout
        )
        return done.stdout

    def start(self, name: str, *command: str) -> None:
        """Start a program that stays; it writes to log/`name`.log of the folder."""
        self._started[name] = self._popen(name, self.command(*command))

    def log_of(self, name: str) -> Path:
        """Where `name` writes."""
        folder = self.work / "programs"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.log"

    def check(self) -> None:
        """Raise NodeFailed, with the end of its log, when a program is gone."""
        for name, process in self._started.items():
            if process.poll() is not None:
                end = self.log_of(name).read_text(errors="replace").splitlines()[-15:]
                raise NodeFailed(f"{name} ended with status {process.returncode}:\n" + "\n".join(end))
        if self._first is not None and self._first.poll() is not None:
            raise NodeFailed("the node is gone")

    def wait_for(self, what: str, answers: Callable[[], bool], seconds: float = 60) -> None:
        """Until `answers()` is true: these programs tell nobody when they are ready."""
        end = time.monotonic() + seconds
        while not answers():
            self.check()
            if time.monotonic() > end:
                raise NodeFailed(
                    f"no sign of {what} within {seconds:g} s; the logs are in {self.work}/programs"
                )
            time.sleep(0.1)

    def _popen(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log_of(name).open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us alone, who end it in order
            )

    def _make_cgroups(self) -> None:
        for controller in _controllers():
            folder = controller / self.cgroup
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (folder / name).exists():
                    (folder / name).write_text((controller / name).read_text())

    def _remove_cgroups(self) -> None:
        for controller in _controllers():
            top = controller / self.cgroup
            for folder in sorted(top.glob("**/"), key=lambda path: -len(path.parts)):
                _remove_when_empty(folder)


def _controllers() -> Sequence[Path]:
    return [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _remove_when_empty(folder: Path, seconds: float = 10) -> None:
    """The kernel lets go of a group a moment after its last process has died."""
    end = time.monotonic() + seconds
    while folder.exists():
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _child_of(parent: int) -> int:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(parent):
                return int(stat.parent.name)
    raise NodeFailed("the node ended at once")
