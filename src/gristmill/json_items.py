"""Cut a JSON array into its items as its bytes arrive, without ever holding all of a large one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from gristmill.errors import InvalidInput, TooLarge
from gristmill.json_check import LargeCheck

__all__ = ["ArrayItems", "Part"]

#: A whole string, or a bracket, or the quote of a string that goes on in the next piece.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
_IN_STRING = re.compile(rb'["\\]')
_BLANKS = re.compile(rb"[ \t\r\n]*+")
#: Where a number, or true, false or null, ends.
_WORD_END = re.compile(rb"[,\]\s]")
_QUOTE, _BACKSLASH, _COMMA, _OPEN, _CLOSE = b'"\\,[]'
#: Of an item that is longer, what was looked at is handed on before the rest has come.
_LARGE = 64 * 1024
_check = msgspec.json.Decoder(msgspec.Raw).decode


class Part(NamedTuple):
    """Some bytes of an item, all of them if it is not large."""

    data: bytes
    ends: bool  #: whether they are its last ones


class _Next(Enum):
    """What the text may go on with."""

    ARRAY = auto()  #: the opening bracket
    FIRST = auto()  #: an item or the closing bracket
    ITEM = auto()  #: an item, or the rest of it
    COMMA = auto()  #: a comma or the closing bracket
    NOTHING = auto()


class ArrayItems:
    """Feed it pieces of a JSON array, of any length; it yields the bytes of each item that is complete.

    What it yields is valid JSON; the parts of an item of more than `large` bytes are, once it is complete.
    Raises InvalidInput where the text is no JSON array, and TooLarge for an item of more than `limit` bytes.
    """

    def __init__(self, limit: int, *, large: int = _LARGE) -> None:
        self._limit = limit
        self._large = large
        self._text = bytearray()  #: begins with what of the item under way was not handed on
        self._next = _Next.ARRAY
        self._first = 0  #: byte of the item under way, 0 if there is none
        self._gone = 0  #: how many of its bytes were handed on
        self._seen = 0  #: how much of the text of an item under way was looked at
        self._depth = 0  #: brackets that are open in it
        self._in_string = False
        self._check = LargeCheck()  #: of the large item under way
        self.count = 0  #: items so far

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the items that `data` completes; to be used where no item is large."""
        for part in self.parts(data):
            assert part.ends
            assert not self._gone
            yield part.data

    def parts(self, data: bytes) -> Iterator[Part]:
        """Yield what can be handed on: items that `data` completes, and parts of a large one."""
        self._text += data
        while self._first or self._skip_blanks():
            if self._next is _Next.FIRST and self._text[0] != _CLOSE:
                self._next = _Next.ITEM
            if self._next is not _Next.ITEM:
                self._take_sign()
                continue
            self._first = self._first or self._text[0]
            end = self._find_end()
            if self._gone + (end if end >= 0 else len(self._text)) > self._limit:
                raise TooLarge(f"item {self.count} has more than the permitted {self._limit:,} bytes")
            if end >= 0:
                yield self._cut(end)
            elif self._seen > self._large:
                yield self._hand_on()
            else:
                return

    def _hand_on(self) -> Part:
        part = Part(bytes(self._text[: self._seen]), False)
        del self._text[: self._seen]
        if not self._gone:
            self._check = LargeCheck()
        self._gone, self._seen = self._gone + self._seen, 0
        try:
            self._check.feed(part.data)
        except ValueError as error:
            raise self._invalid(error) from None
        return part

    def _invalid(self, error: Exception) -> InvalidInput:
        return InvalidInput(f"item {self.count} is not valid JSON: {error}")

    def finish(self) -> None:
        """Raise InvalidInput unless the array was complete."""
        if self._next is _Next.ARRAY:
            raise InvalidInput("the body is empty: send a JSON array with the inputs of each item")
        if self._next is not _Next.NOTHING:
            raise InvalidInput(f"the JSON array breaks off after {self.count} items")

    def _skip_blanks(self) -> bool:
        """Whether anything but blanks is there; an item under way begins with something else."""
        found = _BLANKS.match(self._text)
        assert found is not None
        end = found.end()
        del found  # it holds the text, which could not be cut
        if end:
            del self._text[:end]
        return bool(self._text)

    def _take_sign(self) -> None:
        sign = self._text[0]
        if self._next is _Next.NOTHING:
            raise InvalidInput("the body goes on after the end of the JSON array")
        if self._next is _Next.ARRAY:
            if sign != _OPEN:
                raise InvalidInput("the body is not a JSON array: send a list with the inputs of each item")
            self._next = _Next.FIRST
        elif sign == _CLOSE:
            self._next = _Next.NOTHING
        elif sign == _COMMA:
            self._next = _Next.ITEM
        else:
            raise InvalidInput(f"the JSON is malformed after item {self.count - 1}: a comma or ] is missing")
        del self._text[:1]

    def _cut(self, end: int) -> Part:
        part = Part(bytes(self._text[:end]), True)
        del self._text[:end]
        try:
            if self._gone:
                self._check.feed(part.data)
                self._check.finish()
            else:
                _check(part.data)
        except (ValueError, RecursionError) as error:  # msgspec's DecodeError is a ValueError
            raise self._invalid(error) from None
        self._next, self._first, self._gone, self._seen, self._depth = _Next.COMMA, 0, 0, 0, 0
        self.count += 1
        return part

    def _find_end(self) -> int:
        """Where the item under way ends; -1 if that is still to come."""
        if self._first in b'[{"':
            return self._find_closing()
        found = _WORD_END.search(self._text, self._seen)
        self._seen = len(self._text)
        return found.start() if found else -1

    def _find_closing(self) -> int:
        while self._seen < len(self._text):
            if self._in_string and not self._leave_string():
                return -1
            if not self._depth and self._seen:
                return self._seen
            end = self._leave_brackets()
            if end:
                return end
        return self._seen if self._seen and not self._depth and not self._in_string else -1

    def _leave_string(self) -> bool:
        """Go past the end of a string that began in an earlier piece; False if it is not there yet."""
        while found := _IN_STRING.search(self._text, self._seen):
            if self._text[found.start()] == _QUOTE:
                self._seen = found.end()
                self._in_string = False
                return True
            if found.end() == len(self._text):
                self._seen = found.start()  # what is escaped is still to come
                return False
            self._seen = found.end() + 1
        self._seen = len(self._text)
        return False

    def _leave_brackets(self) -> int:
        """Go past all that is there; where the outermost bracket ends, or a string outside of any, else 0."""
        depth = self._depth
        for token in _TOKEN.finditer(self._text, self._seen):
            sign = self._text[token.start()]
            if sign == _QUOTE:
                if token.end() - token.start() == 1:
                    self._in_string = True
                    self._depth, self._seen = depth, token.end()
                    return 0
            else:
                depth += 1 if sign in b"[{" else -1
            if not depth:
                return token.end()
        self._depth, self._seen = depth, len(self._text)
        return 0
