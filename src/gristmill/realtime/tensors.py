"""Tensors of the Open Inference Protocol, in JSON or as bytes, from and to numpy.

Binary data is little-endian, in row order; an element of BYTES is its length in four bytes, and UTF-8.
Source: the protocol's binary tensor data extension.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from gristmill.errors import InvalidInput
from gristmill.realtime.arrays import doubles

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DATATYPES", "from_binary", "from_json", "to_binary"]

#: What numpy calls each datatype of fixed size.
DATATYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_CELLS: dict[str, Any] = {"?": bool | None, "i": int | None, "u": int | None, "f": float | None}
_FLAT = {kind: msgspec.json.Decoder(list[cell]) for kind, cell in _CELLS.items()}  # type: ignore[valid-type]
_NESTED = {kind: msgspec.json.Decoder(list[list[cell]]) for kind, cell in _CELLS.items()}  # type: ignore[valid-type]
_TEXTS, _NESTED_TEXTS = msgspec.json.Decoder(list[str | None]), msgspec.json.Decoder(list[list[str | None]])


def from_json(name: str, datatype: str, shape: Sequence[int], data: bytes) -> NDArray[Any]:
    """A tensor of `shape` (one or two dimensions), from a flat list or one that is nested as the shape is.

    Null is NaN (None in BYTES), and turns whole numbers and truth values into FP64. Raises InvalidInput.
    """
    kind = _kind(name, datatype)
    cells: list[Any]
    try:
        cells = (_TEXTS if kind == "O" else _FLAT[kind]).decode(data)
    except msgspec.DecodeError as error:
        cells = _unnested(name, datatype, kind, shape, data, str(error))
    _check_count(name, shape, len(cells))
    if kind == "O":
        return _objects(cells).reshape(shape)
    if kind == "f" or None in cells:
        numbers = doubles(cells)
        if kind != "f" or datatype == "FP64":
            return numbers.reshape(shape)
        with np.errstate(over="ignore"):
            return numbers.astype(DATATYPES[datatype]).reshape(shape)
    try:
        found: NDArray[Any] = np.array(cells, dtype=DATATYPES[datatype])
    except OverflowError:
        raise InvalidInput(f"tensor {name[:60]!r}: a number is beyond {datatype}") from None
    return found.reshape(shape)


def _unnested(name: str, datatype: str, kind: str, shape: Sequence[int], data: bytes, why: str) -> list[Any]:
    try:
        rows: list[list[Any]] = (_NESTED_TEXTS if kind == "O" else _NESTED[kind]).decode(data)
    except msgspec.DecodeError:
        raise InvalidInput(f"tensor {name[:60]!r}: its data is no list of {datatype}: {why}") from None
    if len(shape) != 2 or len(rows) != shape[0] or any(len(row) != shape[1] for row in rows):
        raise InvalidInput(f"tensor {name[:60]!r}: its nested data has not the shape {list(shape)}")
    return list(chain.from_iterable(rows))


def from_binary(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> NDArray[Any]:
    """A tensor of `shape` over `data` itself, except for BYTES. Raises InvalidInput."""
    if _kind(name, datatype) == "O":
        texts = _split(name, data)
        _check_count(name, shape, len(texts))
        return _objects(texts).reshape(shape)
    dtype = np.dtype(DATATYPES[datatype])
    count = shape[0] * (shape[1] if len(shape) == 2 else 1)
    if len(data) != count * dtype.itemsize:
        raise InvalidInput(
            f"tensor {name[:60]!r}: {count} x {datatype} are {count * dtype.itemsize} bytes, and "
            f"binary_data_size is {len(data)}"
        )
    found: NDArray[Any]
    if datatype == "BOOL":
        found = np.frombuffer(data, dtype=np.uint8) != 0
    else:
        found = np.frombuffer(data, dtype=dtype)
    return found.reshape(shape)


def to_binary(name: str, datatype: str, values: Sequence[Any]) -> bytes:
    """The bytes of a column of an answer. Raises InvalidInput for a null that the datatype cannot hold."""
    if datatype == "BYTES":
        texts = [("" if value is None else value).encode() for value in values]
        return b"".join(part for text in texts for part in (struct.pack("<I", len(text)), text))
    if datatype != "FP64" and None in values:
        raise InvalidInput(f"output {name!r} has nulls, which {datatype} cannot hold: ask for it in JSON")
    return np.array(values, dtype=DATATYPES[datatype]).tobytes()


def _kind(name: str, datatype: str) -> str:
    """Of numpy; O for BYTES."""
    if datatype == "BYTES":
        return "O"
    if datatype not in DATATYPES:
        known = ", ".join([*DATATYPES, "BYTES"])
        raise InvalidInput(
            f"tensor {name[:60]!r}: {datatype[:20]!r} is no datatype of this server; there are {known}"
        )
    return DATATYPES[datatype].lstrip("<")[0]


def _objects(texts: Sequence[str | None]) -> NDArray[Any]:
    found = np.empty(len(texts), dtype=object)
    found[:] = texts
    return found


def _check_count(name: str, shape: Sequence[int], count: int) -> None:
    wanted = shape[0] * (shape[1] if len(shape) == 2 else 1)
    if count != wanted:
        raise InvalidInput(
            f"tensor {name[:60]!r}: the shape {list(shape)} has {wanted} elements, and {count} came"
        )


def _split(name: str, data: memoryview) -> list[str]:
    texts, place = [], 0
    while place < len(data):
        if place + 4 > len(data):
            raise InvalidInput(f"tensor {name[:60]!r}: its bytes end within the length of an element")
        (size,) = struct.unpack_from("<I", data, place)
        place += 4
        if place + size > len(data):
            raise InvalidInput(f"tensor {name[:60]!r}: its bytes end within an element")
        try:
            texts.append(str(data[place : place + size], "utf-8"))
        except UnicodeDecodeError:
            raise InvalidInput(f"tensor {name[:60]!r}: element {len(texts) + 1} is not UTF-8") from None
        place += size
    return texts
