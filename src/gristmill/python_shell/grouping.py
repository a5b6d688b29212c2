"""Batching without a timer: calls of a row-wise service that already wait are run as one.

Inputs of one kind are joined by rows, integers among numbers becoming numbers; outputs are split again. Where
that does not work out, None says so and the calls run singly.
"""

from __future__ import annotations

from array import array
from itertools import chain
from typing import Any, List, Optional, Sequence

from gristmill.schema import ArrayValue, Column, FrameValue, MatrixValue, Parameter, ParameterType, Value

__all__ = ["MAX_CALLS", "MAX_ROWS", "alike", "count_rows", "join", "row_wise", "split"]

MAX_CALLS = 256
MAX_ROWS = 10_000
_ROW_WISE = {ParameterType.DATA_FRAME, ParameterType.MATRIX, ParameterType.VECTOR}
_NUMBERS = {"integer", "numeric"}


def row_wise(inputs: Sequence[Parameter], outputs: Sequence[Parameter]) -> bool:
    """Whether every input and output has rows (elements, for a vector)."""
    return bool(inputs and outputs) and all(each.type in _ROW_WISE for each in chain(inputs, outputs))


def count_rows(values: Sequence[Value]) -> int:
    """Rows of one call; -1 if its inputs disagree."""
    counts = {_rows(value) for value in values}
    return counts.pop() if len(counts) == 1 else -1


def _rows(value: Any) -> int:
    return len(value.values) if type(value) is Column else int(value.rows)


def alike(first: Sequence[Value], other: Sequence[Value]) -> bool:
    """Whether two calls can be joined: the same columns, of the same kinds."""
    return all(map(_alike, first, other))


def _alike(first: Any, other: Any) -> bool:
    kind = type(first)
    if kind is not type(other):
        return False
    if kind is ArrayValue:
        return True
    if kind is FrameValue:
        return first.names == other.names and all(map(_same_kind, first.columns, other.columns))
    if kind is MatrixValue:
        return first.cols == other.cols and _same_kind(first.column, other.column)
    return _same_kind(first, other)


def _same_kind(first: Column, other: Column) -> bool:
    return first.kind == other.kind or {first.kind, other.kind} == _NUMBERS


def join(calls: Sequence[Sequence[Value]]) -> List[Value]:
    """The inputs of all calls as those of one; they are `alike`."""
    return [_join(values) for values in zip(*calls)]


def _join(values: Sequence[Any]) -> Value:
    first = values[0]
    if type(first) is Column:
        return _join_columns(values)
    rows = sum(value.rows for value in values)
    if type(first) is MatrixValue:
        return MatrixValue(rows, first.cols, _join_columns([value.column for value in values]))
    if type(first) is ArrayValue:
        return _join_arrays(values, rows)
    parts = zip(*[value.columns for value in values])
    return FrameValue(first.names, [_join_columns(part) for part in parts], rows)


def _join_arrays(values: Sequence[ArrayValue], rows: int) -> ArrayValue:
    """Each call's memory is column after column, and so is that of all."""
    names = values[0].names
    pieces = [memoryview(value.data) for value in values]
    sizes = [8 * value.rows for value in values]
    if set(sizes) == {8}:
        doubles = array("d", b"".join(pieces))
        return ArrayValue(names, b"".join([doubles[i :: len(names)] for i in range(len(names))]), rows)
    data = b"".join(
        [piece[i * size : (i + 1) * size] for i in range(len(names)) for piece, size in zip(pieces, sizes)]
    )
    return ArrayValue(names, data, rows)


def _join_columns(columns: Sequence[Column]) -> Column:
    kinds = {column.kind for column in columns}
    kind = kinds.pop() if len(kinds) == 1 else "numeric"
    return Column(kind, list(chain.from_iterable([column.values for column in columns])))


def split(outputs: Sequence[object], counts: Sequence[int]) -> Optional[List[List[object]]]:
    """Outputs of each call, of the outputs of all; None if one has not as many rows as went in."""
    rows = sum(counts)
    parts = [_split(output, counts, rows) for output in outputs]
    if None in parts:
        return None
    return [list(each) for each in zip(*parts)]


def _split(output: Any, counts: Sequence[int], rows: int) -> Optional[List[object]]:
    if type(output) is list:
        return _slices(output, counts) if len(output) == rows else None
    if type(output) is dict and output and all(len(column) == rows for column in output.values()):
        columns = [_slices(column, counts) for column in output.values()]
        return [dict(zip(output, each)) for each in zip(*columns)]
    return None


def _slices(values: List[Any], counts: Sequence[int]) -> List[object]:
    slices: List[object] = []
    start = 0
    for count in counts:
        slices.append(values[start : start + count])
        start += count
    return slices
