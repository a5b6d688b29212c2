"""What a shell may see of the file system where Landlock has to keep it from the rest."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["is_offered", "open_paths", "version"]

_CREATE_RULESET, _VERSION_FLAG = 444, 1


def is_offered() -> bool:
    """Whether the kernel has Landlock, and a container's own filter lets it through."""
    return version() > 0


def version() -> int:
    """Of the interface that the kernel offers; 0 or less where it offers none."""
    call = ctypes.CDLL(None).syscall
    call.restype = ctypes.c_long
    return int(call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG)))


def open_paths(hidden: Sequence[Path], needed: Iterable[Path]) -> list[str]:
    """The largest folders and files that hold nothing of what is `hidden`, and what is `needed` all the same.

    Rules only ever allow, so a folder is hidden by allowing its neighbours, and those of all folders on the
    way to it. Links are left out: where they lead is allowed, or not, for itself. What is made later beside a
    hidden folder is not seen.
    """
    shut = {path.resolve() for path in hidden}
    ways = {parent for path in shut for parent in path.parents}
    beside = [entry for way in sorted(ways - shut) for entry in _entries(way)]
    shown = [
        entry
        for entry in beside
        if entry not in ways and entry not in shut and not shut.intersection(entry.parents)
    ]
    return [str(path) for path in (*shown, *needed)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.is_symlink())
    except OSError:  # what the server cannot list, a shell need not see
        return []
