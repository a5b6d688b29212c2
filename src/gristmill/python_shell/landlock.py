"""Shut this process out of files by Landlock, for as long as it and its children live.

Needs no rights and no namespaces, so it works in containers too. Numbers and layouts are those of
Linux's `include/uapi/linux/landlock.h`, of the interface's versions 1 to 6.
"""

from __future__ import annotations

import ctypes
import os
import stat
from typing import Any, Iterable

__all__ = ["restrict", "version"]

#: The same on all processors.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
#: How many rights on files each version of the interface knows. Those on ioctls, from 5 on, are left alone.
_RIGHTS = {1: 13, 2: 14}
_MOST_RIGHTS = 15
#: From 6 on: no signals to processes outside, no connections to their abstract sockets.
_SCOPES = 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """Of the interface that the kernel offers here; 0 where it offers none."""
    number = _system()(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    return max(0, int(number))


def restrict(reads: Iterable[str], writes: Iterable[str]) -> None:
    """Leave this thread `reads` to read and execute, `writes` to do anything with, and no other file.

    Whatever lies below a path goes with it; what does not exist is passed over. Files that are open stay so.
    Processes outside cannot be looked into, neither by ptrace nor by /proc. PR_SET_NO_NEW_PRIVS has to be
    set before. Raises OSError.
    """
    offered = version()
    everything = (1 << _RIGHTS.get(offered, _MOST_RIGHTS)) - 1
    scoped = _SCOPES if offered >= 6 else 0
    asked = _Ruleset(everything, 0, scoped)
    size = 24 if scoped else 8
    ruleset = _call(_CREATE_RULESET, ctypes.byref(asked), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in reads:
            _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
        # Devices such as /dev/null are written to; none can be made.
        _allow(ruleset, "/dev", (_READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE) & everything)
        for path in writes:
            _allow(ruleset, path, everything)
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE
        rule = _Beneath(rights, opened)
        _call(
            _ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(opened)


def _call(*arguments: object) -> int:
    result = int(_system()(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "Landlock: " + os.strerror(number))
    return result


def _system() -> Any:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    return call
