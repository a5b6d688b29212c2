"""Errors of disks and file systems, made into answers: what is full, what cannot be read or written now.

`OSError` says little to a caller, and is otherwise taken for a defect of the server. Code that keeps state in
files runs under `storing`; what slips through is caught at the HTTP edge, by `explained`.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from gristmill.errors import GristmillError
from gristmill.ports import StateUnavailable, StorageFull

__all__ = [
    "Room",
    "explained",
    "folder_of",
    "full",
    "is_full",
    "look",
    "seconds_since_full",
    "storing",
    "unavailable",
]

log = structlog.get_logger("gristmill.disk")

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
#: What a disk, a network file system or a lack of descriptors makes of a call that is right. Anything else,
#: such as EINVAL or EBADF, is a defect of the caller.
_TROUBLE = frozenset(
    getattr(errno, name)
    for name in (
        "EIO", "EROFS", "ESTALE", "EMFILE", "ENFILE", "ENODEV", "ENXIO", "EHOSTDOWN", "EREMOTEIO",
        "ESHUTDOWN", "ENOLCK", "EUCLEAN", "EFBIG", "ENOMEDIUM",
    )
)  # fmt: skip
_MIB = 2**20
#: When a disk was last found full, by device number; monotonic seconds.
_found_full: dict[int, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much room the disk of a folder has; bytes."""

    folder: Path
    device: int
    free: int
    total: int
    files_left: int | None  #: how many more files fit, None where that is not counted

    @property
    def low(self) -> bool:
        """Less than 1 GiB or a twentieth is free; of a disk under 4 GiB, less than a quarter."""
        return self.free < max(min(1024 * _MIB, self.total // 4), self.total // 20)

    @property
    def exhausted(self) -> bool:
        """Less than 64 MiB, or a sixteenth of a small disk, is free; or no file can be made."""
        return self.free < min(64 * _MIB, self.total // 16) or self.files_left == 0


def look(folder: Path) -> Room:
    """The room of the disk that `folder` is on. Raises OSError; it may take long where a network is."""
    found = os.statvfs(folder)
    return Room(
        folder=folder,
        device=os.stat(folder).st_dev,
        free=found.f_bavail * found.f_frsize,
        total=found.f_blocks * found.f_frsize,
        files_left=found.f_favail if found.f_files else None,
    )


def is_full(error: BaseException) -> bool:
    """Tells whether an error says that a disk, or a quota on it, has no room left."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def seconds_since_full(device: int) -> float | None:
    """How long ago a write to this device found no room, or None if none did."""
    found = _found_full.get(device)
    return None if found is None else time.monotonic() - found


def full(folder: Path | None, what: str = "") -> StorageFull:
    """The error for a write that found no room in `folder`; remembered for `/status`."""
    if folder is None:
        return StorageFull("a disk of the server is full: make room on it, or ask its administrator to")
    where = f"the disk of {folder}"
    try:
        room = look(folder)
    except OSError:
        left = ""
    else:
        _found_full[room.device] = time.monotonic()
        left = f" ({room.free / _MIB:,.1f} of {room.total / _MIB:,.0f} MiB free)"
        if room.files_left == 0:
            left += ", with no room for another file"
    log.error("disk_full", folder=str(folder), left=left)
    kept = f"{what} cannot be stored" if what else "nothing can be stored there"
    return StorageFull(f"{where} is full{left}, and {kept}: make room on it")


def unavailable(folder: Path | str | None, error: OSError, what: str = "") -> StateUnavailable:
    """The error for a read or write that `folder` does not take now."""
    why = error.strerror or os.strerror(error.errno or 0)
    log.error("disk_failed", folder=str(folder), what=what, reason=why)
    where = f"in {folder}" if folder is not None else "on a disk of the server"
    return StateUnavailable(
        f"{what or 'a file'} {where} cannot be read or written now: {why}; try again shortly", retry_after=2
    )


@contextmanager
def storing(folder: Path | None, what: str = "") -> Iterator[None]:
    """Make every OSError of the block a StorageFull or StateUnavailable that names `folder` and `what`.

    Those of connections pass: a peer that leaves is no matter of the disk's.
    """
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        if error.errno is None:  # as asyncio's own TimeoutError: no system call has failed
            raise
        raise (full(folder, what) if is_full(error) else unavailable(folder, error, what)) from error


def folder_of(file: IO[bytes]) -> Path | None:
    """The folder of an open file, also of one without a name; None for what is in memory."""
    try:
        target = os.readlink(f"/proc/self/fd/{file.fileno()}")
    except OSError:
        return None
    return Path(target).parent if target.startswith("/") else None


def explained(error: BaseException) -> GristmillError | None:
    """The answer to an error of a disk that nobody has translated; None for any other error.

    The folder is told where the error names a file.
    """
    if isinstance(error, TimeoutError | ConnectionError) or not isinstance(error, OSError):
        return None
    name = error.filename if isinstance(error.filename, str) else None
    folder = Path(name).parent if name else None
    if is_full(error):
        return full(folder)
    return unavailable(folder, error) if error.errno in _TROUBLE else None
