"""The folders of a node: made, checked, held by one server, and cleaned of what a killed one left."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gristmill.blobs import DirectoryBlobs
from gristmill.errors import GristmillError

__all__ = ["fresh_staging", "make_data", "open_blobs", "sole_user_of", "temporary_files_in"]


def make_data(data: Path) -> Path:
    """The data directory; others may pass through it to a shell's scratch directory, and read nothing.

    Raises GristmillError that names it.
    """
    data = data.resolve()
    try:
        data.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(data, error) from error
    if not os.access(data, os.W_OK | os.X_OK):
        raise _unwritable(data, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return data


def _unwritable(data: Path, error: OSError) -> GristmillError:
    return GristmillError(
        f"state cannot be kept in {data}: {error.strerror}; user {os.geteuid()} must be able to write there, "
        "or choose another directory with --data"
    )


def open_blobs(folder: Path) -> DirectoryBlobs:
    """Raises GristmillError that names the folder."""
    try:
        return DirectoryBlobs(folder.resolve())
    except OSError as error:
        why = f"contents cannot be kept in {folder}: {error.strerror}; choose a folder with --blobs"
        raise GristmillError(why) from None


@contextlib.contextmanager
def sole_user_of(data: Path) -> Iterator[None]:
    """Hold the data directory for this server. Raises GristmillError when another one has it."""
    with (data / "server.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another server uses {data}: stop it, or choose another directory with --data"
            raise GristmillError(message) from None
        yield


def fresh_staging(data: Path) -> Path:
    """The folder of what is on its way in or out, without what a killed server left there.

    Raises GristmillError that names it.
    """
    staging = data / "staging"
    try:
        staging.mkdir(mode=0o700, exist_ok=True)
        for left in staging.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
    except OSError as error:
        raise _unwritable(staging, error) from error
    return staging


@contextlib.contextmanager
def temporary_files_in(staging: Path) -> Iterator[None]:
    """Have this process make all its temporary files in `staging`, those of libraries too, and not in /tmp.

    Parts of forms are among them, of any size: /tmp may be small, or memory. Shells have their own.
    """
    before = tempfile.tempdir
    tempfile.tempdir = str(staging)
    try:
        yield
    finally:
        tempfile.tempdir = before
