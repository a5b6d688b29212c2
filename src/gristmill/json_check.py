"""Checks that a JSON value of any size is valid, while it arrives, with some 100 KiB of it in memory.

No parser at hand works on pieces. But a value may be cut at any of its commas: the whole is valid if what
comes before is, with one more element and the brackets closed that are open there, and what comes after,
with them opened; and only then. So each part is given to the parser as a value of its own. A long string is
cut as well.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

__all__ = ["LargeCheck"]

#: A part is checked when it has more bytes; with so many times that, there must have been a place to cut.
_PART, _MOST_PARTS = 64 * 1024, 16
_DEEPEST = 1000
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN = rb'(?:[^",\[\]{}]++|' + _STRING + rb")*+"
#: As far as the last comma before the next bracket, or before the quote of a string that goes on later.
_COMMAS = re.compile(rb"(?:" + _PLAIN + rb",)*+", re.DOTALL)
_SIGN = re.compile(rb"(?P<commas>(?:" + _PLAIN + rb",)*+)" + _PLAIN + rb'["\[\]{}]', re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
#: What of a string is there in whole characters: no escape, pair of surrogates or UTF-8 sequence is torn.
_WHOLE = re.compile(
    rb"(?:[^\"\\\x80-\xff]++"
    rb"|\\[uU][dD][89abAB]..(?:\\u....|(?=[^\\]|\\[^u]))|\\u(?![dD][89abAB])....|\\[^u]"
    rb"|[\xc0-\xff][\x80-\xbf]*+(?=[^\x80-\xbf])|[\x80-\xbf])*+",
    re.DOTALL,
)
_check = msgspec.json.Decoder(msgspec.Raw).decode
_QUOTE, _COLON, _OBJECT = b'":{'


class _Place(NamedTuple):
    """Between two parts: the brackets that are open there, and the string that is under way, if any."""

    brackets: bytes = b""
    string: str = ""  #: `key`, `value`, or empty: then it is a comma, or the start

    def closed(self) -> bytes:
        """What makes a value of the part before; at a comma, one more element: there has to be one before."""
        comma = b',"":0' if self.brackets.endswith(b"{") else b",0"
        string = {"": comma, "value": b'"', "key": b'":0'}[self.string]
        return string + self.brackets[::-1].translate(bytes.maketrans(b"[{", b"]}"))

    def opened(self) -> bytes:
        """What makes a value of the part after."""
        if not self.brackets:
            return b'"' if self.string else b""
        outer = b"".join(b'{"":' if sign == _OBJECT else b"[" for sign in self.brackets[:-1])
        of_object = {"": b'{"":0,', "value": b'{"":"', "key": b'{"'}[self.string]
        of_array = b'["' if self.string else b"[0,"
        return outer + (of_object if self.brackets[-1] == _OBJECT else of_array)


class LargeCheck:
    """Feed it the bytes of one value; it raises ValueError as soon as they cannot become valid JSON."""

    def __init__(self) -> None:
        self._text = b""
        self._place = _Place()

    def feed(self, data: bytes) -> None:
        """Take some more."""
        for start in range(0, len(data), _PART):
            self._text += data[start : start + _PART]
            if len(self._text) > _PART:
                self._check_some()

    def _check_some(self) -> None:
        end, start, place = self._cut()
        if start:
            self._valid(self._text[:end] + place.closed())
            self._text, self._place = self._text[start:], place
        elif len(self._text) > _MOST_PARTS * _PART:
            raise ValueError(f"there is no comma in {len(self._text):,} bytes")

    def finish(self) -> None:
        """It has ended."""
        self._valid(self._text)

    def _valid(self, text: bytes) -> None:
        try:
            _check(self._place.opened() + text)
        except (msgspec.DecodeError, RecursionError) as error:
            # Where in the part it is says nothing to who sent the whole.
            raise ValueError(str(error).rpartition(" (byte ")[0] or str(error)) from None

    def _cut(self) -> tuple[int, int, _Place]:
        """Where the part ends and the next one begins (0: nowhere), and what is open there."""
        position, brackets = 0, bytearray(self._place.brackets)
        found = 0, 0, self._place
        if self._place.string:
            rest = _REST_OF_STRING.match(self._text)
            if rest is None:
                return self._in_string(0, self._place)
            position = rest.end()
        while sign := _SIGN.match(self._text, position):
            if sign.end("commas") > position:
                found = sign.end("commas") - 1, sign.end("commas"), _Place(bytes(brackets))
            before, position = position, sign.end()
            if self._text[position - 1] == _QUOTE:
                kind = "key" if self._is_key(before, position, brackets) else "value"
                return max(found, self._in_string(position, _Place(bytes(brackets), kind)))
            _follow(brackets, self._text[position - 1])
        last = _COMMAS.match(self._text, position)
        if last is not None and last.end() > position:
            return last.end() - 1, last.end(), _Place(bytes(brackets))
        return found

    def _is_key(self, start: int, position: int, brackets: bytearray) -> bool:
        """Whether the string whose quote is just before `position` is the name of a member."""
        before = self._text[start : position - 1].rstrip(b" \t\r\n")
        in_object = bool(brackets) and brackets[-1] == _OBJECT
        return in_object and not before.endswith(b":")

    def _in_string(self, start: int, place: _Place) -> tuple[int, int, _Place]:
        whole = _WHOLE.match(self._text, start)
        end = whole.end() if whole is not None else 0
        return (end, end, place) if end > start else (0, 0, place)


def _follow(brackets: bytearray, sign: int) -> None:
    if sign in b"[{":
        brackets.append(sign)
        if len(brackets) > _DEEPEST:
            raise ValueError("it is nested too deeply")
    elif not brackets:
        raise ValueError("a bracket is closed that was never opened")
    else:
        brackets.pop()
