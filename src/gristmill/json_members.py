"""Finds where the members of a JSON object lie, in a text of any size of which a window is read at a time.

For what shells answer, which is valid JSON: files of 100 MiB in it are found, and decoded, without a copy of
the whole, and without one long call that keeps every other thread waiting.
"""

from __future__ import annotations

import binascii
import os
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import msgspec

from gristmill.errors import GristmillError

__all__ = ["Damaged", "Span", "Text", "base64_of", "members"]

_WINDOW = 256 * 1024
#: Base64 digits that are decoded at a time; four are three bytes.
_DIGITS = 256 * 1024
_NO_BLANK = re.compile(rb"[^ \t\r\n]")
#: The next bracket outside of strings, or quote of a string that goes on in the next window.
_SIGN = re.compile(rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+["\[\]{}]', re.DOTALL)
_WORD_END = re.compile(rb"[,\]}\s]")
_QUOTE, _BACKSLASH = b'"\\'


class Damaged(GristmillError):
    """The text is no JSON object, or no base64."""


class Span(NamedTuple):
    """Where a value lies: its first byte, and the first one after it."""

    start: int
    end: int


class Text:
    """A text of which `read` gives up to so many bytes from an offset on. For one thread at a time."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self.read = read
        self._window, self._offset = b"", 0  #: what was read last, and where it begins

    @classmethod
    def of_bytes(cls, data: bytes) -> Text:
        """A text in memory."""
        return cls(lambda start, size: data[start : start + size])

    @classmethod
    def of_file(cls, file: BinaryIO) -> Text:
        """A file, whose position stays as it is."""
        descriptor = file.fileno()
        return cls(lambda start, size: os.pread(descriptor, size, start))

    def pieces(self, span: Span) -> Iterator[bytes]:
        """The bytes of `span`, a window at a time."""
        start = span.start
        while start < span.end:
            piece = self.read(start, min(_WINDOW, span.end - start))
            if not piece:
                raise Damaged("the text breaks off")
            yield piece
            start += len(piece)

    def find(self, sign: re.Pattern[bytes], start: int) -> tuple[int, int]:
        """Where the first of these signs is from `start` on, and which byte it is."""
        for window, position, offset in self._windows(start):
            found = sign.search(window, position)
            if found is not None:
                return offset + found.start(), window[found.start()]
        raise Damaged("the text breaks off")

    def skip_blanks(self, start: int) -> tuple[int, int]:
        """Where the first byte is that is no blank, and which one it is."""
        return self.find(_NO_BLANK, start)

    def string_end(self, start: int) -> int:
        """Where the string ends whose opening quote is just before `start`: after its closing quote."""
        while True:
            start, sign = self._quote_or_backslash(start)
            if sign == _QUOTE:
                return start + 1
            start += 2

    def _quote_or_backslash(self, start: int) -> tuple[int, int]:
        for window, position, offset in self._windows(start):
            quote = window.find(b'"', position)
            backslash = window.find(b"\\", position, quote if quote >= 0 else len(window))
            if backslash >= 0:
                return offset + backslash, _BACKSLASH
            if quote >= 0:
                return offset + quote, _QUOTE
        raise Damaged("the text breaks off")

    def value_end(self, start: int) -> int:
        """Where the value ends that begins at `start`."""
        first = self.read(start, 1)
        if first == b'"':
            return self.string_end(start + 1)
        if first not in {b"[", b"{"}:
            return self.find(_WORD_END, start)[0]
        depth, in_string = 0, False
        while True:
            start, depth, in_string = self._walk(start, depth)
            if in_string:
                start = self.string_end(start)
            elif not depth:
                return start

    def _walk(self, start: int, depth: int) -> tuple[int, int, bool]:
        """Go to the end of the window, to the last closing bracket, or into a string that goes on after it.

        Where that is, how many brackets are open there, and whether it is in a string.
        """
        window, position, offset = next(self._windows(start), (b"", 0, 0))
        if not window:
            raise Damaged("the text breaks off")
        while found := _SIGN.match(window, position):
            position = found.end()
            sign = window[position - 1]
            if sign == _QUOTE:
                return offset + position, depth, True
            depth += 1 if sign in b"[{" else -1
            if not depth:
                return offset + position, 0, False
        return offset + len(window), depth, False

    def _windows(self, start: int) -> Iterator[tuple[bytes, int, int]]:
        """Windows from `start` on: bytes, where to begin in them, and the offset of the first of them."""
        while True:
            if not self._offset <= start < self._offset + len(self._window):
                self._window, self._offset = self.read(start, _WINDOW), start
                if not self._window:
                    return
            yield self._window, start - self._offset, self._offset
            start = self._offset + len(self._window)


def members(text: Text, start: int = 0) -> Iterator[tuple[str, Span]]:
    """Name and place of each member of the object that begins at `start`. Raises GristmillError."""
    position, sign = text.skip_blanks(start)
    if sign != ord("{"):
        raise Damaged("the text is no JSON object")
    position, sign = text.skip_blanks(position + 1)
    while sign != ord("}"):
        if sign == ord(","):
            position, sign = text.skip_blanks(position + 1)
        if sign != _QUOTE:
            raise Damaged("the text is no JSON object")
        end = text.string_end(position + 1)
        name: str = msgspec.json.decode(b"".join(text.pieces(Span(position, end))), type=str)
        position, sign = text.skip_blanks(end)
        if sign != ord(":"):
            raise Damaged("the text is no JSON object")
        position, _ = text.skip_blanks(position + 1)
        end = text.value_end(position)
        yield name, Span(position, end)
        position, sign = text.skip_blanks(end)


def base64_of(text: Text, span: Span) -> Iterator[bytes]:
    """The bytes that a string at `span` stands for, in pieces. Raises GristmillError if it is no base64."""
    start, end = span.start + 1, span.end - 1
    while start < end:
        size = min(_DIGITS, end - start)
        try:
            yield binascii.a2b_base64(text.read(start, size), strict_mode=True)
        except binascii.Error:
            raise Damaged("it is no base64") from None
        start += size
