"""Lends shells the content of services, so that none can change it; without copying where that is sound."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import BinaryIO

from gristmill.launch import landlock
from gristmill.launch.isolation import Isolation

__all__ = ["Lender"]

#: The same on all processors, as all that have come since 2019.
_OPEN_TREE, _MOUNT_SETATTR = 428, 442
_AT_FDCWD, _AT_EMPTY_PATH, _OPEN_TREE_CLONE, _MOUNT_ATTR_RDONLY = -100, 0x1000, 1, 1
#: The first version of Landlock that keeps a process from cutting a file by its path in /proc.
_TRUNCATE_VERSION = 3
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
#: Copies up to so many bytes in all are kept for the next shell that needs one.
_KEPT_BYTES = 256 << 20


class Lender:
    """Opens contents for shells; for any thread.

    A shell of the server's own user could open what it was lent a second time, for writing. So it is lent,
    whichever works first: the file as seen through a mount of its own that is read-only, which takes root;
    the file itself, if Landlock has closed to the shell whatever lies outside its folder; or a sealed copy.
    """

    def __init__(self, open_content: Callable[[str], BinaryIO], isolation: Isolation) -> None:
        self._open = open_content
        self._apart = isolation.users or (isolation.landlock and landlock.version() >= _TRUNCATE_VERSION)
        self._copies = _Copies()

    def lend(self, digest: str) -> int:
        """A descriptor at the content's start, the caller's to close. Raises NotFound, OSError.

        Takes some system calls; but where shells are not kept from the server's files by anything and the
        server is not root, as long as the copy takes.
        """
        with self._open(digest) as content:
            if self._apart:
                return os.dup(content.fileno())
            mounted = _through_read_only_mount(content.fileno())
            return self._copies.of(digest, content.fileno()) if mounted is None else mounted


def _through_read_only_mount(source: int) -> int | None:
    """The file again, but through a mount that is nowhere and read-only; None where that is not allowed."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    path = f"/proc/self/fd/{source}".encode()
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC)
    tree = int(call(_OPEN_TREE, ctypes.c_int(_AT_FDCWD), path, flags))
    if tree < 0:
        return None
    try:
        attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
        empty, size = ctypes.c_uint(_AT_EMPTY_PATH), ctypes.c_size_t(len(attributes))
        if call(_MOUNT_SETATTR, ctypes.c_int(tree), b"", empty, attributes, size) < 0:
            return None
        return os.open(f"/proc/self/fd/{tree}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(tree)


class _Copies:
    """Sealed copies in memory: nobody can change one, so all shells share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[int, int]] = OrderedDict()  #: digest → descriptor, bytes
        self._lock = threading.Lock()

    def of(self, digest: str, source: int) -> int:
        """A descriptor of a copy, with a position of its own."""
        with self._lock:
            if digest in self._kept:
                self._kept.move_to_end(digest)
                return _opened_again(self._kept[digest][0])
        with contextlib.ExitStack() as undo:
            copy = _sealed_copy(source)
            undo.callback(os.close, copy)
            opened = _opened_again(copy)
            size = os.fstat(copy).st_size
            if size <= _KEPT_BYTES:
                undo.pop_all()
                self._keep(digest, copy, size)
        return opened

    def _keep(self, digest: str, copy: int, size: int) -> None:
        with self._lock:
            known = self._kept.pop(digest, None)  # another thread was as quick
            if known is not None:
                os.close(known[0])
            self._kept[digest] = copy, size
            while sum(each for _, each in self._kept.values()) > _KEPT_BYTES:
                os.close(self._kept.popitem(last=False)[1][0])


def _opened_again(descriptor: int) -> int:
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)


def _sealed_copy(source: int) -> int:
    copy = os.memfd_create("content", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        size, offset = os.fstat(source).st_size, 0
        while offset < size:
            sent = os.sendfile(copy, source, offset, size - offset)
            if not sent:
                raise OSError(f"a content ended after {offset} of {size} bytes")
            offset += sent
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(copy)
        raise
    return copy
