"""Removes folders of any size and any shape, whatever user code has left in them."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import secrets
import time
from itertools import count
from pathlib import Path

__all__ = ["OutOfTime", "remove_tree"]

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OutOfTime(Exception):
    """A removal has not ended in its time; what it has removed is gone, and it can be begun again."""


def remove_tree(folder: Path, *, seconds: float = math.inf) -> None:
    """Remove a folder with all that is in it, or a file; nothing when it is not there.

    Works in a few descriptors and kilobytes however many files there are and however deep they lie: a
    folder in a folder is first moved up to the top. No link is followed, no mounted file system entered:
    its mount point can be neither removed, which is tried first, nor moved. Raises the first OSError of
    what cannot be removed, when all the rest is gone; and OutOfTime, as may be when a process that still runs
    makes new files all the time.
    """
    try:
        top = _open(str(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        folder.unlink(missing_ok=True)
        return
    try:
        _Removal(top, time.monotonic() + seconds).run(folder)
    finally:
        os.close(top)


class _Removal:
    """One folder's removal."""

    def __init__(self, top: int, until: float) -> None:
        self._top = top
        self._until = until
        self._token = secrets.token_hex(8)  #: so that no name of a user's is in the way
        self._numbers = count()
        self._moved = self._removed = 0
        self._errors: list[OSError] = []  #: the first one of the last look

    def run(self, folder: Path) -> None:
        """Look through the folder again and again, as long as that removes something.

        Folders are moved into it meanwhile, and what still runs may make new files.
        """
        while True:
            before, self._errors = self._removed + self._moved, []
            self._empty(self._top)
            try:
                folder.rmdir()
            except FileNotFoundError:
                return
            except OSError as error:
                if self._removed + self._moved == before:
                    raise next(iter(self._errors), error) from None
            else:
                return

    def _empty(self, folder: int) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                if time.monotonic() > self._until:
                    raise OutOfTime
                try:
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.name, dir_fd=folder)
                    elif not _removed_empty(entry.name, folder):
                        self._take_apart(entry.name, folder)
                        continue
                    self._removed += 1
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if not self._errors:
                        self._errors.append(error)

    def _take_apart(self, name: str, folder: int) -> None:
        """Empty a folder in the top one, and remove it; one that lies deeper becomes one in the top."""
        if folder != self._top:
            self._move_up(name, folder)
            return
        inner = _open(name, dir_fd=folder)
        try:
            self._empty(inner)
        finally:
            os.close(inner)
        if _removed_empty(name, folder):
            self._removed += 1

    def _move_up(self, name: str, folder: int) -> None:
        above = f"{self._token}-{next(self._numbers)}"
        try:
            os.rename(name, above, src_dir_fd=folder, dst_dir_fd=self._top)
        except PermissionError:  # moving a folder changes it: that needs its owner's right to write
            os.chmod(name, 0o700, dir_fd=folder)
            os.rename(name, above, src_dir_fd=folder, dst_dir_fd=self._top)
        self._moved += 1


def _open(name: str, dir_fd: int | None = None) -> int:
    """A descriptor of a folder in which entries may be removed, whatever its mode was."""
    try:
        opened = os.open(name, _OPEN, dir_fd=dir_fd)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=dir_fd)
        opened = os.open(name, _OPEN, dir_fd=dir_fd)
    if os.geteuid() != 0:
        with contextlib.suppress(OSError):  # another user's: what can be removed will be
            os.fchmod(opened, 0o700)
    return opened


def _removed_empty(name: str, folder: int) -> bool:
    """Remove a folder if it is empty; False if it is not."""
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True
