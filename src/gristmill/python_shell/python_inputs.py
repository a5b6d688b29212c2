"""Values to what Python code gets: numpy arrays and pandas frames, or lists and dicts without those."""

from __future__ import annotations

import importlib.util
from typing import Any, Callable, Dict, List, Optional

from gristmill.errors import InvalidInput
from gristmill.schema import ArrayValue, Column, FrameValue, MatrixValue, Value

__all__ = ["named", "to_python"]

_NULL = type(None)
_HAVE_NUMPY = importlib.util.find_spec("numpy") is not None
_HAVE_PANDAS = importlib.util.find_spec("pandas") is not None


def named(name: str, error: InvalidInput) -> InvalidInput:
    """The error of an input, with the input's name."""
    return InvalidInput(f"input {name!r}: {error.message}")


def to_python(value: Value) -> Any:
    """What user code gets. Raises InvalidInput for numbers past what an array of doubles can hold."""
    convert: Optional[Callable[[Any], Any]] = _CONVERT.get(type(value))
    return value if convert is None else convert(value)


def _vector(column: Column) -> Any:
    if not _HAVE_NUMPY:
        return column.values
    import numpy as np

    kind, values = column
    if kind in {"numeric", "integer"}:
        return _numbers(values)
    if kind == "whole":
        return _whole(values)
    if kind == "character":
        plain = None not in values and "\0" not in "".join(values)  # numpy's own strings lose a last NUL
        return np.array(values, dtype=None if plain and values else object)
    present = set(map(type, values))
    if bool not in present:
        return np.full(len(values), np.nan)
    return np.array(values, dtype=object if _NULL in present else bool)


def _numbers(values: List[Any]) -> Any:
    """int64 if all are integers that fit, else float64 with NaN for None."""
    import numpy as np

    try:
        array = np.array(values)
        if array.dtype.kind in "fiu":
            return array
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise InvalidInput("a number is past the range of doubles") from None


def _whole(values: List[Any]) -> Any:
    """Integers that doubles would change: as such, or refused."""
    import numpy as np

    try:
        array = np.array(values)
    except OverflowError:
        array = np.empty(0)
    if array.dtype.kind in "iu":
        return array
    why = "beside a null" if None in values else "past 64 bits"
    raise InvalidInput(
        f"a whole number past 2^53 {why} has no place in an array of numbers: send such numbers as text"
    )


def _matrix(matrix: MatrixValue) -> Any:
    rows, cols, column = matrix
    if not _HAVE_NUMPY:
        values = column.values
        return [values[i * cols : (i + 1) * cols] for i in range(rows)]
    return _vector(column).reshape(rows, cols)


def _array(array: ArrayValue) -> Any:
    """Rows by columns; the memory is that of the columns one after another, and the code may write to it."""
    if not _HAVE_NUMPY:
        return [list(row) for row in zip(*array.columns)]
    import numpy as np

    if not array.rows:
        return np.empty((0, len(array.names)))
    return np.frombuffer(bytearray(array.data)).reshape(len(array.names), array.rows).T


def _frame(frame: FrameValue) -> Any:
    names, columns, rows = frame
    if not _HAVE_PANDAS:
        return {name: _vector(column) for name, column in zip(names, columns)}
    import numpy as np
    import pandas as pd

    if not names:
        return pd.DataFrame(index=pd.RangeIndex(rows))
    lists = [column.values for column in columns]
    if rows and _one_block(columns):  # a fifth of the price of a dict of columns
        return pd.DataFrame(np.array(lists, dtype=np.float64).T, columns=_index(names), copy=False)
    try:
        arrays = [_vector(column) for column in columns]
    except InvalidInput:
        raise _in_column(names, columns) from None
    from_arrays = getattr(pd.DataFrame, "_from_arrays", None)
    if from_arrays is not None and all(each.dtype.kind in "fib" for each in arrays):
        return from_arrays(arrays, columns=_index(names), index=pd.RangeIndex(rows), verify_integrity=False)
    made = {
        name: np.array(column.values, dtype=object) if column.kind == "character" else array
        for name, column, array in zip(names, columns, arrays)
    }
    return pd.DataFrame(made, copy=False)


def _in_column(names: List[str], columns: List[Column]) -> InvalidInput:
    """Why a frame cannot be had, with the name of its column."""
    for name, column in zip(names, columns):
        try:
            _vector(column)
        except InvalidInput as error:  # noqa: PERF203 - on the way to an error
            return InvalidInput(f"column {name!r}: {error.message}")
    return InvalidInput("a frame that Python cannot have")


def _one_block(columns: List[Column]) -> bool:
    """Whether all columns are of doubles; one that begins with an integer or a null may need its own type."""
    return all(column.kind == "numeric" and type(column.values[0]) is float for column in columns)


_indexes: Dict[Any, Any] = {}


def _index(names: List[str]) -> Any:
    """Column labels, made once; a view, since code may set the name of an index."""
    import pandas as pd

    key = tuple(names)
    index = _indexes.get(key)
    if index is None:
        if len(_indexes) >= 256:
            _indexes.clear()
        index = _indexes[key] = pd.Index(names)
    return index.view()


_CONVERT: Dict[type, Callable[[Any], Any]] = {
    Column: _vector,
    MatrixValue: _matrix,
    ArrayValue: _array,
    FrameValue: _frame,
}
