"""Columns that come as arrays, of Arrow or of tensors, checked against those of a model."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from gristmill.errors import InvalidInput
from gristmill.realtime.description import INPUT, Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST_CELLS", "check_cells", "doubles", "first_missing", "in_order", "missing_error"]

#: Cells of one call: few bytes may stand for many cells, in Arrow as in tensors of truth values.
MOST_CELLS = 2**25

_MANY = 64
_KINDS = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "truth values", "O": "texts"}


def check_cells(rows: int, columns: int) -> None:
    """Raise InvalidInput where a call has more cells than one may have."""
    if rows * max(columns, 1) > MOST_CELLS:
        raise InvalidInput(
            f"{rows:,} rows of {columns} columns are too many for one call: send {MOST_CELLS:,} cells at most"
        )


def doubles(cells: Sequence[Any]) -> NDArray[np.float64]:
    """A list of numbers and nulls as an array, null as NaN."""
    if len(cells) >= _MANY:
        packed = np.empty(len(cells))
        with suppress(struct.error):  # a null
            struct.pack_into(f"{len(cells)}d", packed.data, 0, *cells)  # half the time that numpy takes
            return packed
    return np.array(cells, dtype=np.float64)


def in_order(
    columns: Sequence[Column], whole: set[str], arrays: Mapping[str, NDArray[Any]]
) -> list[Sequence[Any] | NDArray[Any]]:
    """The model's columns in its order, from arrays [rows] by name.

    Arrays hold numbers, NaN for null; truth values; or objects that are str or None. `whole`: columns that
    the graph wants as int64. Raises InvalidInput that names the column.
    """
    known = {column.name for column in columns}
    for name in arrays:
        if name not in known:
            raise InvalidInput(f"input {INPUT!r}: the model has no column {name[:60]!r}")
    for column in columns:
        if column.name not in arrays:
            raise InvalidInput(f"input {INPUT!r}: the column {column.name!r} is missing")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r}: {length}" for name, length in list(lengths.items())[:5])
        raise InvalidInput(f"input {INPUT!r}: the columns differ in length ({told})")
    return [_fitted(column, arrays[column.name], column.name in whole) for column in columns]


def first_missing(cells: Sequence[Any] | NDArray[Any]) -> int | None:
    """Number of the first row that is null, from 0."""
    if isinstance(cells, np.ndarray):
        if cells.dtype.kind != "f":
            return None
        found = np.isnan(cells)
        return int(found.argmax()) if found.any() else None
    return cells.index(None) if None in cells else None


def missing_error(column: str, row: int) -> InvalidInput:
    """What a null is answered with where the model cannot score it; `row` from 0."""
    return InvalidInput(
        f"input {INPUT!r}, column {column!r}: row {row + 1} is null, and the model cannot score missing "
        "values there"
    )


def _fitted(column: Column, array: NDArray[Any], whole: bool) -> Sequence[Any] | NDArray[Any]:
    kind = array.dtype.kind
    if column.type in {"numeric", "integer"} and kind in "fiub":
        return _integers(column, array) if whole else array
    if column.type == "logical" and kind in "fiub":
        if kind != "b" and not ((array == 0) | (array == 1) | (array != array)).all():  # noqa: PLR0124 - NaN
            raise _unfit(column, "numbers other than 0 and 1")
        return array
    if column.type in {"character", "factor"}:
        if kind == "O":
            return list(array)
        if kind == "f" and np.isnan(array).all():
            return [None] * len(array)
        if column.type == "factor" and kind in "iub":
            return [str(cell).upper() if kind == "b" else str(cell) for cell in array.tolist()]
    raise _unfit(column, _KINDS.get(kind, str(array.dtype)))


def _integers(column: Column, array: NDArray[Any]) -> NDArray[Any]:
    """For a tensor of int64, which holds neither fractions nor nulls."""
    missing = first_missing(array)
    if missing is not None:
        raise missing_error(column.name, missing)
    if array.dtype.kind == "f" and not ((array == np.floor(array)) & (np.abs(array) < 2.0**63)).all():
        raise _unfit(column, "numbers with fractions, or beyond 64 bits")
    if array.dtype.kind == "u" and len(array) and int(array.max()) >= 2**63:
        raise _unfit(column, "numbers beyond 64 bits")
    return array.astype(np.int64)


def _unfit(column: Column, got: str) -> InvalidInput:
    return InvalidInput(f"input {INPUT!r}, column {column.name!r}: expected {column.type}, and got {got}")
