"""The items of a batch as one file: written once as they come, then read by index.

    items     each item's JSON, one right after another
    offsets   count + 1 unsigned 64-bit integers: where each item begins, and where the last one ends
    trailer   count (unsigned 64-bit) and the 8 bytes of `MAGIC`

all little-endian. A batch of 100,000 items costs its reader 800 kB of memory, however large the items are.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from array import array
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from gristmill.errors import GristmillError

__all__ = ["InputReader", "InputWriter"]

MAGIC = b"GMBATCH1"
_TRAILER = struct.Struct("<Q8s")


class InputWriter:
    """Appends items to a file; `finish` makes it readable by `InputReader`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets = array("Q", [0])
        self._size = 0

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def add(self, item: bytes) -> None:
        """Append one item."""
        self.write([self.join([(item, True)])])

    def join(self, parts: Sequence[tuple[bytes, bool]]) -> bytes:
        """Note where items end, and return the bytes of `parts`, which are to be written in this order.

        An item is bytes with True, or several parts of which the last has True.
        """
        for data, ends in parts:
            self._size += len(data)
            if ends:
                self._offsets.append(self._size)
        return b"".join([data for data, _ in parts])

    def write(self, joined: Iterable[bytes]) -> None:
        """Write what `join` returned; may be done in a thread."""
        self._file.writelines(joined)

    def finish(self) -> None:
        """Write the offsets, and rewind."""
        self._file.write(_bytes_of(self._offsets))
        self._file.write(_TRAILER.pack(len(self), MAGIC))
        self._file.flush()
        self._file.seek(0)


class InputReader:
    """Reads items by index, from any thread; closes the file with `close`.

    Raises GristmillError if the file is not of this form, and to who reads after it was closed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._using = threading.Lock()
        self._reading = 0  #: threads that are at it: the descriptor stays open for them
        self._closed = False
        self._descriptor = file.fileno()
        size = os.fstat(self._descriptor).st_size
        count, magic = _TRAILER.unpack(self._read(size - _TRAILER.size, _TRAILER.size))
        start = size - _TRAILER.size - 8 * (count + 1)
        if magic != MAGIC or start < 0:
            raise GristmillError("the stored inputs of the batch are damaged")
        self._offsets = _array_of(self._read(start, 8 * (count + 1)))
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def size(self, index: int) -> int:
        """Bytes of an item."""
        return self._offsets[index + 1] - self._offsets[index]

    def item(self, index: int) -> bytes:
        """The JSON of an item."""
        return self._read(self._offsets[index], self.size(index))

    def close(self) -> None:
        """Let go of the file, once nobody reads it any more."""
        with self._using:
            self._closed = True
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._closed and not self._reading:
            self._file.close()

    def _read(self, offset: int, size: int) -> bytes:
        with self._using:
            if self._closed:
                raise GristmillError("the inputs of the batch were closed: it is not run here any more")
            self._reading += 1
        try:
            return self._read_all(offset, size)
        finally:
            with self._using:
                self._reading -= 1
                self._close_if_idle()

    def _read_all(self, offset: int, size: int) -> bytes:
        parts = []
        while size > 0 and offset >= 0:
            part = os.pread(self._descriptor, size, offset)
            if not part:
                break
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        if size or offset < 0:
            raise GristmillError("the stored inputs of the batch are damaged")
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _bytes_of(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _array_of(data: bytes) -> array[int]:
    numbers = array("Q", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
