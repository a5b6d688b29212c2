"""Blobs as files of one directory, named by their SHA-256.

    blobs/<64 hex digits>   content, mode 0400
    blobs/tmp/              what is being written
    blobs/lock              held shared by who adds, exclusively by who removes
    blobs/database          id of the database that refers to the content

Several servers may share the directory, over NFS for instance, if they share their database.

A blob appears under its name only once its bytes are on the disk; `put` returns only once the name is, too.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from gristmill.disk import storing
from gristmill.errors import InvalidInput, NotFound, TooLarge
from gristmill.off_loop import Work, off_loop
from gristmill.ports import Blob, StateUnavailable

__all__ = ["DirectoryBlobs"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 2**20


class DirectoryBlobs:
    """`BlobStore` in a directory of the servers' own, which is created with mode 0700."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path / "tmp"
        for directory in (path, self._temporary):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(path)
        os.close(os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        _sync_directory(path)
        _sync_directory(path.parent)

    def claim(self, database: str) -> None:
        """Make the directory that of a database, by its id. Raises InvalidInput if it is another's.

        A sweep removes what its own database does not refer to.
        """
        mark = self._path / "database"
        with storing(self._path, "the name of the database"), self._locked(fcntl.LOCK_EX):
            try:
                found = mark.read_text().strip()
            except FileNotFoundError:
                found = database
                with mark.open("w") as file:
                    file.write(f"{database}\n")
                    file.flush()
                    os.fsync(file.fileno())
                _sync_directory(self._path)
        if found != database:
            raise InvalidInput(
                f"{self._path} holds the contents of another database ({found}), and each would remove the "
                "other's: choose another folder with --blobs, or the database that it belongs to"
            )

    async def put(self, source: BinaryIO, *, limit: int | None = None) -> Blob:
        """Copied and hashed in a thread, in pieces of 1 MiB."""
        return await off_loop(Work.WRITE, self._put, source, limit)

    async def open(self, digest: str) -> BinaryIO:
        """A plain file: its descriptor may be sent to a shell, which cannot write through it."""
        return await off_loop(Work.READ, self.open_now, digest)

    async def sweep(self, references: Callable[[], Awaitable[set[str]]], *, grace: float) -> int:
        """Also removes what a killed `put` left behind."""
        before = time.time() - grace
        candidates = await off_loop(Work.REMOVE, self._older, before)
        if not candidates:
            return 0
        unwanted = candidates - await references()
        return await off_loop(Work.REMOVE, self._remove, unwanted, before)

    def _put(self, source: BinaryIO, limit: int | None) -> Blob:
        """What `source` raises is its own; only what befalls the store is told as the store's."""
        with self._storing():
            descriptor, name = tempfile.mkstemp(dir=self._temporary)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as target:
                blob = self._copy(source, target, limit)
                with self._storing():
                    os.fchmod(descriptor, 0o400)
                    os.fsync(descriptor)
            with self._storing():
                self._keep(name, blob.digest)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return blob

    def _copy(self, source: BinaryIO, target: io.FileIO, limit: int | None) -> Blob:
        digest = hashlib.sha256()
        size = 0
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if limit is not None and size > limit:
                raise TooLarge(f"the content is over the permitted {limit} bytes")
            digest.update(chunk)
            rest = memoryview(chunk)
            with self._storing():
                while rest:
                    rest = rest[target.write(rest) :]
        return Blob(digest.hexdigest(), size)

    def _storing(self) -> AbstractContextManager[None]:
        return storing(self._path, "content")

    def _keep(self, temporary: str, digest: str) -> None:
        """Replaces what is there already by the same bytes, whose age then starts anew."""
        with self._locked(fcntl.LOCK_SH):
            os.rename(temporary, self._path / digest)
        _sync_directory(self._path)

    def open_now(self, digest: str) -> BinaryIO:
        """As `open`, for a caller who cannot wait: one system call."""
        if not _DIGEST.fullmatch(digest):
            raise NotFound(f"{digest[:64]!r} names no content")
        with self._storing():
            try:
                return self._open_again(self._path / digest)
            except FileNotFoundError:
                if (self._path / "lock").exists():
                    raise NotFound(f"content {digest} is missing") from None
        raise StateUnavailable(f"the folder of contents, {self._path}, is not there: is its disk mounted?")

    @staticmethod
    def _open_again(path: Path) -> BinaryIO:
        """Twice where it is stale: NFS says so once of a file that another server has put anew."""
        try:
            return path.open("rb")
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        return path.open("rb")

    def _older(self, before: float) -> set[str]:
        with storing(self._path, "contents"):
            return self._older_now(before)

    def _older_now(self, before: float) -> set[str]:
        for entry in os.scandir(self._temporary):
            if _modified(entry.path) < before:
                Path(entry.path).unlink(missing_ok=True)
        with os.scandir(self._path) as entries:
            return {e.name for e in entries if _DIGEST.fullmatch(e.name) and _modified(e.path) < before}

    def _remove(self, digests: set[str], before: float) -> int:
        removed = 0
        for digest in digests:
            path = self._path / digest
            with (
                storing(self._path, "contents"),
                self._locked(fcntl.LOCK_EX),
            ):  # one by one: who adds does not wait for all of them
                if _modified_now(path) < before:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        # NFS gives an exclusive lock only to who may write.
        with open(self._path / "lock", "r+b") as lock:
            fcntl.flock(lock, kind)  # released as the file is closed
            yield


def _close_to_others(path: Path) -> None:
    """A folder that was there already may be open to shells, which run as other users."""
    found = path.stat()
    if found.st_uid == os.geteuid() and found.st_mode & 0o007:
        path.chmod(found.st_mode & 0o7770)


def _modified(path: str | Path) -> float:
    """When the file was written, epoch seconds; infinity if it is gone."""
    try:
        return os.stat(path, follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return float("inf")


def _modified_now(path: Path) -> float:
    """As `_modified`, and asked of the file's server: NFS answers `stat` from memory, but not `open`."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return float("inf")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
