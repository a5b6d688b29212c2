"""Bytes of R's serialization format → Python lists, ready for JSON.

R reduces its answers to plain vectors (see r_shell/values.R), so that only these come: logical, integer,
double and character vectors, lists, NULL, and the attributes `names`, `levels` (a factor) and `class`
(integer64).
"""

from __future__ import annotations

import struct
from array import array
from typing import Any, Dict, List, NamedTuple, Optional

__all__ = ["Named", "decode"]

_WORD = struct.Struct("<i")
_PAIR = struct.Struct("<ii")
_HEADER_SIZE = 14
_NA_INTEGER = -(2**31)
_NA_INTEGER64 = -(2**63)
_TRUTH = {0: False, 1: True, _NA_INTEGER: None}


class Named(NamedTuple):
    """A list of R; `names` is None where it has none."""

    items: List[Any]
    names: Optional[List[str]]


class _Reader:
    """Reads one item after another; `at` is the offset of the next."""

    __slots__ = ("at", "data", "symbols")

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at + _HEADER_SIZE
        self.symbols: List[str] = []

    def item(self) -> Any:
        flags = _WORD.unpack_from(self.data, self.at)[0]
        kind = flags & 0xFF
        if kind == 254:
            self.at += 4
            return None
        length = _WORD.unpack_from(self.data, self.at + 4)[0]
        self.at += 8
        if kind == 14:
            value: Any = self._array("d", 8 * length)
        elif kind == 19:
            value = [self.item() for _ in range(length)]
        elif kind in {13, 10}:
            value = self._array("i", 4 * length)
        elif kind == 16:
            return self._texts(length, flags)
        else:
            raise ValueError(f"R sent an item of type {kind}")
        attributes = self._attributes() if flags & 0x200 else None
        return _finish(kind, value, attributes)

    def _array(self, code: str, size: int) -> array[Any]:
        values = array(code)
        end = self.at + size
        values.frombytes(self.data[self.at : end])
        self.at = end
        return values

    def _texts(self, length: int, flags: int) -> List[Optional[str]]:
        data, at = self.data, self.at
        unpack = _PAIR.unpack_from
        texts: List[Optional[str]] = []
        for _ in range(length):
            size = unpack(data, at)[1]
            at += 8
            if size < 0:
                texts.append(None)
            else:
                texts.append(data[at : at + size].decode())
                at += size
        self.at = at
        if flags & 0x200:
            self._attributes()
        return texts

    def _attributes(self) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        while True:
            kind = _WORD.unpack_from(self.data, self.at)[0] & 0xFF
            self.at += 4
            if kind == 254:
                return found
            name = self._symbol()
            found[name] = self.item()

    def _symbol(self) -> str:
        flags: int = _WORD.unpack_from(self.data, self.at)[0]
        self.at += 4
        if flags & 0xFF == 255:
            return self.symbols[(flags >> 8) - 1]
        size = _PAIR.unpack_from(self.data, self.at)[1]
        self.at += 8
        name: str = self.data[self.at : self.at + size].decode()
        self.at += size
        self.symbols.append(name)
        return name


def _finish(kind: int, value: Any, attributes: Optional[Dict[str, Any]]) -> Any:
    if kind == 14:
        if attributes and "class" in attributes:
            whole = array("q", value.tobytes()).tolist()
            return [None if each == _NA_INTEGER64 else each for each in whole]
        return value.tolist()
    if kind == 19:
        return Named(value, attributes.get("names") if attributes else None)
    values = value.tolist()
    if kind == 10:
        return [_TRUTH[each] for each in values]
    if attributes and "levels" in attributes:
        levels = [None, *attributes["levels"]]
        return [levels[each] if each > 0 else None for each in values]
    if _NA_INTEGER in value:
        return [None if each == _NA_INTEGER else each for each in values]
    return values


def decode(data: bytes, at: int = 0) -> List[Any]:
    """Items of the list that R serialized, from offset `at` on: lists, None, and `Named` for lists.

    Raises ValueError (UnicodeDecodeError is one) or struct.error where it is no such list.
    """
    answer = _Reader(data, at).item()
    if not isinstance(answer, Named):
        raise ValueError("R's answer is no list")
    return answer.items
