"""Values → bytes of R's serialization format (version 2, little-endian), read there in one call.

A request is one R list. An item of the format is a word of flags (type in the low byte, 0x100 object, 0x200
has attributes, 0x400 has a tag, levels from bit 12 on), then its data, then its attributes as a pairlist;
see "R Internals", section 1.8.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, Dict, List, Sequence, Tuple

from gristmill.errors import InvalidInput
from gristmill.schema import ArrayValue, Column, FrameValue, MatrixValue, Value

__all__ = ["HEADER", "NA_INTEGER", "NULL", "encode_inputs", "encode_value", "list_head", "strings", "vector"]

#: Format, its version, the R versions that write it and that can read it.
HEADER = b"B\n" + struct.pack("<iii", 2, 0x040202, 0x020300)
NULL = struct.pack("<i", 254)
NA_INTEGER = -(2**31)
NA_REAL: float = struct.unpack("<d", struct.pack("<Q", 0x7FF00000000007A2))[0]

_PAIR = struct.Struct("<ii")
_LOGICAL, _INTEGER, _REAL, _STRING, _LIST = 10, 13, 14, 16, 19
_ATTRIBUTES, _OBJECT = 0x200, 0x100
_NA_TEXT = _PAIR.pack(9, -1)
_ASCII, _UTF8 = 0x40009, 0x8009
_REMEMBERED = 512


class _Texts(Dict[Any, bytes]):
    """Text → CHARSXP, each computed once per vector."""

    def __missing__(self, text: str) -> bytes:
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise InvalidInput("text with half of a surrogate pair cannot be passed to R") from None
        if 0 in data:
            raise InvalidInput("text with a NUL character cannot be passed to R")
        made = self[text] = _PAIR.pack(_ASCII if len(data) == len(text) else _UTF8, len(data)) + data
        return made


def strings(values: Sequence[Any]) -> bytes:
    """A character vector; None is NA."""
    texts = _Texts({None: _NA_TEXT})
    return _PAIR.pack(_STRING, len(values)) + b"".join(map(texts.__getitem__, values))


def list_head(length: int, flags: int = 0) -> bytes:
    """Begin a list whose `length` items follow."""
    return _PAIR.pack(_LIST | flags, length)


def _attribute(name: str, value: bytes) -> bytes:
    data = name.encode()
    return struct.pack("<iiii", 0x402, 1, _ASCII, len(data)) + data + value


def _names(names: Sequence[str]) -> bytes:
    return _attribute("names", strings(names))


def _integers(values: List[Any]) -> bytes:
    if NA_INTEGER in values:  # R's integers do not reach this far down
        return _numerics(values)
    count = len(values)
    try:
        return struct.pack(f"2i{count}i", _INTEGER, count, *values)
    except struct.error:
        if None not in values:  # past 32 bits
            return _numerics(values)
    try:
        return struct.pack(f"2i{count}i", _INTEGER, count, *_filled(values, NA_INTEGER))
    except struct.error:
        return _numerics(values)


def _numerics(values: List[Any]) -> bytes:
    count = len(values)
    try:
        return struct.pack(f"2i{count}d", _REAL, count, *values)
    except (struct.error, OverflowError):  # a null, or too large
        try:
            return struct.pack(f"2i{count}d", _REAL, count, *_filled(values, NA_REAL))
        except (struct.error, OverflowError):
            raise InvalidInput("a number is too large for R") from None


def _whole(values: List[Any]) -> bytes:
    """Integers of which doubles cannot hold all: R has no type for them."""
    changed = next(each for each in values if each is not None and float(each) != each)
    raise InvalidInput(f"{changed} is past 2^53, and would become another number in R: send it as text")


def _whole_number(value: int) -> bytes:
    """An integer of any size."""
    if -NA_INTEGER > value > NA_INTEGER:
        return _PAIR.pack(_INTEGER, 1) + struct.pack("<i", value)
    try:
        made = float(value)
    except OverflowError:
        raise InvalidInput("a number is too large for R") from None
    return _numerics([value]) if made == value else _whole([value])


def _logicals(values: List[Any]) -> bytes:
    count = len(values)
    return struct.pack(f"2i{count}i", _LOGICAL, count, *_filled(values, NA_INTEGER))


def _filled(values: List[Any], missing: float) -> List[Any]:
    return [missing if each is None else each for each in values]


_VECTORS: Dict[str, Callable[[List[Any]], bytes]] = {
    "logical": _logicals,
    "integer": _integers,
    "numeric": _numerics,
    "whole": _whole,
    "character": strings,
}


def vector(column: Column) -> bytes:
    """An atomic vector."""
    return _VECTORS[column.kind](column.values)


def _matrix(value: MatrixValue) -> bytes:
    kind, values = value.column
    turned: List[Any] = []
    for j in range(value.cols):
        turned += values[j :: value.cols]
    data = _VECTORS[kind](turned)
    flags = _PAIR.unpack_from(data)[0] | _ATTRIBUTES
    shape = _VECTORS["integer"]([value.rows, value.cols])
    return struct.pack("<i", flags) + data[4:] + _attribute("dim", shape) + NULL


_FRAME_CLASS = _attribute("class", strings(["data.frame"]))
_frame_ends: Dict[Tuple[Tuple[str, ...], int], bytes] = {}


def _frame_end(names: Tuple[str, ...], rows: int) -> bytes:
    """Attributes of a data.frame; those of the last few hundred shapes are kept."""
    end = _frame_ends.get((names, rows))
    if end is None:
        row_names = struct.pack("<iiii", _INTEGER, 2, NA_INTEGER, -rows)
        end = _names(names) + _FRAME_CLASS + _attribute("row.names", row_names) + NULL
        if len(_frame_ends) >= _REMEMBERED:
            _frame_ends.clear()
        if len(end) < 1 << 16:
            _frame_ends[names, rows] = end
    return end


def _frame(value: FrameValue) -> bytes:
    parts = [list_head(len(value.columns), _OBJECT | _ATTRIBUTES)]
    try:
        parts += [_VECTORS[kind](values) for kind, values in value.columns]
    except InvalidInput:
        raise _in_column(value) from None
    parts.append(_frame_end(tuple(value.names), value.rows))
    return b"".join(parts)


def _in_column(value: FrameValue) -> InvalidInput:
    """Why a frame cannot be passed, with the name of its column."""
    for name, (kind, values) in zip(value.names, value.columns):
        try:
            _VECTORS[kind](values)
        except InvalidInput as error:  # noqa: PERF203 - on the way to an error
            return InvalidInput(f"column {name!r}: {error.message}")
    return InvalidInput("a frame that cannot be passed to R")


def _array(value: ArrayValue) -> bytes:
    names, data, rows = value
    size = 8 * rows
    parts = [list_head(len(names), _OBJECT | _ATTRIBUTES)]
    for start in range(0, len(names) * size, size) if size else [0] * len(names):
        parts.append(_PAIR.pack(_REAL, rows))
        parts.append(data[start : start + size])
    parts.append(_frame_end(names, rows))
    return b"".join(parts)


#: NA of the scalar types.
_NA: Dict[str, bytes] = {
    "logical": _logicals([None]),
    "integer": _integers([None]),
    "numeric": _numerics([None]),
    "character": strings([None]),
}


def encode_value(value: Value, type_: str = "") -> bytes:
    """One value; `type_` is its declared type, "" where there is none. Raises InvalidInput without a name."""
    if isinstance(value, FrameValue):
        return _frame(value)
    if isinstance(value, Column):
        return _VECTORS[value.kind](value.values)
    if isinstance(value, MatrixValue):
        return _matrix(value)
    if isinstance(value, ArrayValue):
        return _array(value)
    if value is None:
        return _NA.get(type_, _NA["logical"])
    if isinstance(value, str):
        return strings([value])
    if isinstance(value, bool):
        return _logicals([value])
    if type_ == "numeric" or isinstance(value, float):
        return _numerics([value])
    return _whole_number(value)


def encode_inputs(names: Sequence[str], types: Sequence[str], values: Sequence[Value]) -> bytes:
    """A named list of inputs. Raises InvalidInput that names the one that cannot be passed."""
    parts = [list_head(len(values), _ATTRIBUTES)]
    for name, type_, value in zip(names, types, values):
        try:
            parts.append(encode_value(value, type_))
        except InvalidInput as error:  # noqa: PERF203 - the error is to name the input
            raise InvalidInput(f"input {name!r}: {error.message}") from None
    parts.append(_list_end(tuple(names)))
    return b"".join(parts)


_list_ends: Dict[Tuple[str, ...], bytes] = {}


def _list_end(names: Tuple[str, ...]) -> bytes:
    """Attributes of a named list."""
    end = _list_ends.get(names)
    if end is None:
        if len(_list_ends) >= _REMEMBERED:
            _list_ends.clear()
        end = _list_ends[names] = _names(names) + NULL
    return end
