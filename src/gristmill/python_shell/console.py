"""Capture of what is printed: descriptors 1 and 2 are one file, which the server may read at any time."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from typing import TextIO

__all__ = ["Console"]

#: Our own copy of the console gets a number that programs do not close one by one.
_BEYOND = 100


class Console:
    """What one call prints, by user code, by libraries in C and by child processes alike."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = _kept_copy()
        about = os.fstat(1)
        self._size, self._file = about.st_size, about.st_ino
        self._streams = [_stream(1), _stream(2)]

    def begin(self) -> None:
        """Start a call with nothing printed, and with standard streams that work."""
        out, err = self._streams
        if out.closed or err.closed:
            out, err = self._streams = [_stream(1), _stream(2)]
        sys.stdout, sys.stderr = out, err
        if self._size:
            os.ftruncate(1, 0)
            self._size = 0

    def end(self) -> str:
        """What was printed since `begin`; cut, with a note, past the limit."""
        try:
            about = os.fstat(1)
        except OSError:
            about = self._restored()
        if about.st_ino != self._file:
            about = self._restored()
        self._size = size = about.st_size
        if not size:
            return ""
        text = os.pread(1, min(size, self._limit), 0).decode("utf-8", "replace")
        if size > self._limit:
            text += f"\n[console output cut here: {self._limit} of {size} bytes are shown]"
        return text

    def _restored(self) -> os.stat_result:
        """Put descriptors 1 and 2 back, which user code closed or turned elsewhere."""
        os.dup2(self._kept, 1)
        os.dup2(self._kept, 2)
        return os.fstat(1)


def _kept_copy() -> int:
    try:
        return fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, _BEYOND)
    except OSError:  # so many descriptors are not allowed
        return os.dup(1)


def _stream(descriptor: int) -> TextIO:
    """Unbuffered: a session's console is read while it runs, and no text is left over for the next call."""
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
