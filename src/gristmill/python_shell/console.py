"""Capture of what is printed: descriptors 1 and 2 are one file, which the server may read at any time."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

__all__ = ["Console"]


class Console:
    """What one call prints, by user code, by libraries in C and by child processes alike."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = os.fstat(1).st_size
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
        self._size = size = os.fstat(1).st_size
        if not size:
            return ""
        text = os.pread(1, min(size, self._limit), 0).decode("utf-8", "replace")
        if size > self._limit:
            text += f"\n[console output cut here: {self._limit} of {size} bytes are shown]"
        return text


def _stream(descriptor: int) -> TextIO:
    """Unbuffered: a session's console is read while it runs, and no text is left over for the next call."""
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
