"""A server as a child process: start it, see what it uses, stop it and all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from .home import Unavailable

__all__ = ["Server", "family", "free_port", "own_kb", "pss_kb"]

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Server:
    """A server in a process group of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.log_start = output.tell()
            try:
                self.process = subprocess.Popen(
                    command,
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(f"cannot start {command[0]}: {error}") from error

    def wait_until_ready(self, url: str, seconds: float = 90) -> None:
        """Return once `url` answers 200. Raises Unavailable with the end of the log."""
        deadline = time.monotonic() + seconds
        with httpx.Client(verify=False, timeout=5) as client:  # reading certificates would take CPU from it
            while time.monotonic() < deadline:
                if self.process.poll() is not None:
                    raise Unavailable(f"the server ended at once: {self.last_lines()}")
                with contextlib.suppress(httpx.TransportError):
                    if client.get(url).status_code == httpx.codes.OK:
                        return
                time.sleep(0.02)
        raise Unavailable(f"{url} was not ready within {seconds:.0f} s: {self.last_lines()}")

    def last_lines(self) -> str:
        lines = self.log.read_bytes()[self.log_start :].decode(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-3:]) or "it wrote nothing"

    def stop(self, seconds: float = 15) -> None:
        """End the process group: politely, then not. Children that left the group end, too."""
        family = {pid: _started(pid) for pid in self.family()}
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
                break
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and any(_started(pid) == at for pid, at in family.items()):
            time.sleep(0.02)
        for pid, at in family.items():
            if _started(pid) == at:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def family(self) -> list[int]:
        """The server's process and all that descend from it."""
        return family(self.process.pid)

    def pss_mb(self) -> float:
        """Memory of the whole family in MB: each shared page counted in equal parts by those who share it."""
        return sum(pss_kb(pid) for pid in self.family()) / 1024

    def pss_by_program(self) -> dict[str, float]:
        """The same, by program name, with the server's own process under `server`."""
        found: dict[str, float] = {}
        for pid in self.family():
            name = "server" if pid == self.process.pid else _program(pid)
            found[name] = found.get(name, 0.0) + pss_kb(pid) / 1024
        return found

    def cpu_seconds(self) -> float:
        """User and system time of the family so far, that of its ended children included."""
        family = set(self.family())
        return sum(sum(map(int, fields[11:15])) for pid, fields in _all_stats() if pid in family) / TICKS


def family(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for pid, fields in _all_stats():
        children.setdefault(int(fields[1]), []).append(pid)
    found, new = [], [root]
    while new:
        pid = new.pop()
        found.append(pid)
        new.extend(children.get(pid, ()))
    return found


def _all_stats() -> list[tuple[int, list[str]]]:
    """Every process with the fields of /proc/PID/stat from `state` on (proc(5), field 3)."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [(pid, fields) for pid in pids if (fields := _stat(pid))]


def _stat(pid: int) -> list[str]:
    """Empty if there is no such process."""
    try:
        text = Path("/proc", str(pid), "stat").read_text(errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def pss_kb(pid: int) -> int:
    """Memory of a process in KiB, each shared page counted in equal parts by those who share it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def own_kb(pid: int) -> int:
    """Memory of a process in KiB but for the files that it maps, whose share other programs change."""
    with contextlib.suppress(OSError):
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return 0


def _program(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "comm").read_text().strip()
    return "gone"


def _started(pid: int) -> str | None:
    """When a living process began, in ticks after boot (tells it from a later one with its number)."""
    fields = _stat(pid)
    return fields[19] if fields and fields[0] != "Z" else None
