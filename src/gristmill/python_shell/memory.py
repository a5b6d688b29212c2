"""Memory that comes back: what was unloaded leaves this process, for the allocator and for the system."""

from __future__ import annotations

import ctypes
import gc
import os
import typing
from typing import Any, Optional

__all__ = ["give_back", "resident", "settle"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


def _trimmer() -> Optional[Any]:
    """Glibc's `malloc_trim`, where that is the C library."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None


_trim = _trimmer()


def resident(pid: object = "self") -> int:
    """Bytes of memory that a process holds; 0 where that cannot be seen."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def settle() -> None:
    """After a load: what is here stays, and is not looked at again by every full collection."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """After an unload: collect what was frozen too, for a model in a cycle is garbage that nobody else sees.

    It looks at every object of the process, some 0.1 s where large libraries are loaded; the caller chooses a
    moment at which nobody waits.
    """
    for forget in getattr(
        typing, "_cleanups", ()
    ):  # generic types of user classes, and through these their globals
        forget()
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    if _trim is not None:
        _trim(0)
