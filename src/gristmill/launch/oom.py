"""Tells whether the kernel has ended a process because memory ran out, by the counters that it keeps."""

from __future__ import annotations

from pathlib import Path

__all__ = ["OomKills"]

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_MACHINE = Path("/proc/vmstat")


class OomKills:
    """Counts the processes that the kernel ended for want of memory: of this container, else of the machine.

    Sources: `memory.events` (Control Group v2, Linux documentation), `oom_kill` in /proc/vmstat.
    """

    def __init__(self, files: tuple[Path, ...] | None = None) -> None:
        self._files = (*_of_cgroup(), _MACHINE) if files is None else files
        self._seen = self._count()

    def are_new(self) -> bool:
        """Tells whether there was one since the last question, or since the start."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        for file in self._files:
            try:
                words = file.read_text().split()
            except OSError:
                continue  # no cgroups of version 2, or it may not be read: the next one
            if "oom_kill" in words:
                return int(words[words.index("oom_kill") + 1])
        return 0


def _of_cgroup() -> list[Path]:
    try:
        text = _OWN_CGROUP.read_text()
    except OSError:
        return []
    paths = [line.removeprefix("0::").lstrip("/") for line in text.splitlines() if line.startswith("0::")]
    return [_CGROUPS / path / "memory.events" for path in paths]
