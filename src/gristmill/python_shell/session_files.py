"""Files of a session's working directory, by plain relative names; no link leads out of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from types import TracebackType
from typing import List, Optional, Tuple, Type

from gristmill.errors import InvalidInput
from gristmill.python_shell.directories import scan
from gristmill.python_shell.runtime import Missing

__all__ = ["TemporaryPath", "copy_from", "copy_to", "delete", "get", "names", "put"]

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TemporaryPath:
    """A context that gives the path of an empty file in a new directory, and removes both."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def __enter__(self) -> str:
        path = os.path.join(self._directory, "content")
        with open(path, "xb"):
            return path

    def __exit__(
        self,
        _kind: Optional[Type[BaseException]],
        _error: Optional[BaseException],
        _traceback: Optional[TracebackType],
    ) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)


def copy_from(descriptor: int, path: str) -> None:
    """The content behind a descriptor, to a file."""
    with os.fdopen(os.dup(descriptor), "rb") as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)


def copy_to(path: str, descriptor: int) -> int:
    """A file's content, to a descriptor; the number of bytes."""
    with open(path, "rb") as source, os.fdopen(os.dup(descriptor), "wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)
        return source.tell()


def names(directory: str) -> List[str]:
    """Plain files in it, directories below included, sorted."""
    return sorted(name for name, mark in scan(directory).items() if stat.S_ISREG(mark[0]))


def put(directory: str, name: str, descriptor: int) -> None:
    """Write a file, over one of that name; directories on the way are made."""
    parent, last = _opened(directory, name, make=True)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(last, flags, 0o600, dir_fd=parent)
        _require_plain(file, name)
        with os.fdopen(file, "wb") as target, os.fdopen(os.dup(descriptor), "rb") as source:
            shutil.copyfileobj(source, target, _CHUNK)
    except OSError as error:
        raise InvalidInput(f"the file {name!r} cannot be written: {error.strerror}") from None
    finally:
        os.close(parent)


def get(directory: str, name: str, descriptor: int) -> int:
    """A file's content to a descriptor; the number of bytes. Raises Missing."""
    parent, last = _opened(directory, name)
    try:
        file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        _require_plain(file, name)
        with os.fdopen(file, "rb") as source, os.fdopen(os.dup(descriptor), "wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
            return source.tell()
    except OSError:
        raise _missing(name) from None
    finally:
        os.close(parent)


def delete(directory: str, name: str) -> None:
    """Remove a file (of a link, the link). Raises Missing."""
    parent, last = _opened(directory, name)
    try:
        os.unlink(last, dir_fd=parent)
    except OSError:
        raise _missing(name) from None
    finally:
        os.close(parent)


def _missing(name: str) -> Missing:
    return Missing(f"there is no file {name!r} in the working directory")


def _require_plain(descriptor: int, name: str) -> None:
    """Close what is no plain file, and refuse it."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _missing(name)


def _opened(directory: str, name: str, *, make: bool = False) -> Tuple[int, str]:
    """Descriptor of the directory that a name is in, reached without following links, and the last part."""
    parts = name.split("/")
    if "\0" in name or len(name) > 1000 or any(part in {"", ".", ".."} for part in parts):
        raise InvalidInput(f"{name[:80]!r} is not a plain relative file name")
    current = os.open(directory, _DIRECTORY)
    try:
        for part in parts[:-1]:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=current)
            below = os.open(part, _DIRECTORY, dir_fd=current)
            os.close(current)
            current = below
    except OSError as error:
        os.close(current)
        if make:
            raise InvalidInput(f"the file {name!r} cannot be written: {error.strerror}") from None
        raise _missing(name) from None
    return current, parts[-1]
