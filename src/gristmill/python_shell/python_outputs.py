"""What Python code leaves, to values that are ready for JSON, each of its declared type."""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import re
import sys
import uuid
from typing import Any, Callable, Dict, List

from gristmill.python_shell.runtime import UserError
from gristmill.schema import ParameterType

__all__ = ["converter", "inferred"]

_PLAIN = frozenset((float, int, bool, str, type(None)))


def converter(name: str, type_: ParameterType) -> Callable[[Any], object]:
    """The function that turns an output into JSON's types; it raises UserError naming the output."""
    make = _MAKERS[type_]
    where = f"output {name!r}"

    def convert(value: Any) -> object:
        return make(value, where)

    return convert


def inferred(value: Any, where: str) -> object:
    """A value without a declared type; of length 1 it is a scalar. Raises UserError."""
    try:
        made = _infer(value, where)
    except RecursionError:
        raise UserError(f"{where} is nested too deeply") from None
    return made[0] if type(made) is list and len(made) == 1 and type(made[0]) is not list else made


def _infer(value: Any, where: str) -> Any:
    if _is(value, "pandas", "DataFrame"):
        return _frame(value, where)
    if isinstance(value, dict):
        return {str(key): _infer(each, f"{where}[{key!r}]") for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        if set(map(type, value)) <= _PLAIN:
            return list(value)
        return [_infer(each, where) for each in value]
    if _is(value, "numpy", "ndarray") and value.ndim == 2:
        return _matrix(value, where)
    if _is_listlike(value):
        return _flat(value, where)
    return _cell(value, where)


def _is(value: Any, module: str, name: str) -> bool:
    """Whether a value is of a class of a module, which is not imported for the question's sake."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name, ()))


def _is_listlike(value: Any) -> bool:
    if isinstance(value, (list, tuple, range)) or _is(value, "numpy", "ndarray"):
        return True
    return (
        _is(value, "pandas", "Series")
        or _is(value, "pandas", "Index")
        or _is(value, "pandas", "Categorical")
        or (hasattr(value, "dtype") and hasattr(value, "__len__") and hasattr(value, "to_numpy"))
    )


def _scalar(value: Any, where: str) -> Any:
    """The one cell of a value."""
    if type(value) in _PLAIN:
        return value
    if _is_listlike(value) or _is(value, "pandas", "DataFrame"):
        cells = _flat(value, where)
        if len(cells) != 1:
            raise UserError(f"{where} is declared a scalar; the code made {len(cells)} values")
        return cells[0]
    return _cell(value, where)


def _logical(value: Any, where: str) -> object:
    cell = _scalar(value, where)
    if cell is None or cell is True or cell is False:
        return cell
    if isinstance(cell, (int, float)) and cell in (0, 1):
        return bool(cell)
    raise _mistyped(where, "logical", cell)


def _integer(value: Any, where: str) -> object:
    cell = _scalar(value, where)
    if cell is None or type(cell) is int:
        return cell
    if isinstance(cell, bool) or (isinstance(cell, float) and cell.is_integer()):
        return int(cell)
    if isinstance(cell, float) and math.isnan(cell):
        return None
    raise _mistyped(where, "integer", cell)


def _numeric(value: Any, where: str) -> object:
    cell = _scalar(value, where)
    if isinstance(cell, str):
        raise _mistyped(where, "numeric", cell)
    return int(cell) if isinstance(cell, bool) else cell


def _character(value: Any, where: str) -> object:
    cell = _scalar(value, where)
    return cell if cell is None or isinstance(cell, str) else str(cell)


def _vector(value: Any, where: str) -> object:
    return (
        _flat(value, where)
        if _is_listlike(value) or _is(value, "pandas", "DataFrame")
        else [_cell(value, where)]
    )


def _matrix(value: Any, where: str) -> object:
    if _is(value, "pandas", "DataFrame"):
        columns = list(_frame(value, where).values())
        return [list(row) for row in zip(*columns)]
    if hasattr(value, "toarray"):  # a sparse matrix of scipy
        value = value.toarray()
    if _is(value, "numpy", "ndarray"):
        if value.ndim != 2:
            raise UserError(
                f"{where} is declared a matrix; the code made an array of {value.ndim} dimensions"
            )
        cells = _array_cells(value, where)
        rows, cols = value.shape
        return [cells[i * cols : (i + 1) * cols] for i in range(rows)]
    if isinstance(value, (list, tuple)) and all(_is_listlike(row) for row in value):
        made = [_flat(row, where) for row in value]
        if len(set(map(len, made))) <= 1:
            return made
        raise UserError(f"{where} is declared a matrix; its rows are not equally long")
    raise _mistyped(where, "matrix", value)


def _frame(value: Any, where: str) -> Dict[str, List[Any]]:
    if _is(value, "pandas", "DataFrame"):
        pairs = [(name, value.iloc[:, i]) for i, name in enumerate(value.columns)]
    elif _is(value, "pandas", "Series"):
        pairs = [(value.name if value.name is not None else where.split("'")[1], value)]
    elif isinstance(value, dict):
        pairs = list(value.items())
    elif _is(value, "numpy", "ndarray") and value.dtype.names:
        pairs = [(name, value[name]) for name in value.dtype.names]
    elif isinstance(value, (list, tuple)) and value and all(isinstance(row, dict) for row in value):
        names = list(dict.fromkeys(name for row in value for name in row))
        pairs = [(name, [row.get(name) for row in value]) for name in names]
    else:
        raise UserError(
            f"{where} is declared a data.frame; the code made a {_kind(value)}. "
            "A pandas.DataFrame or a dict of equally long columns is one"
        )
    return _columns(pairs, where)


def _columns(pairs: List[Any], where: str) -> Dict[str, List[Any]]:
    frame: Dict[str, List[Any]] = {}
    for name, column in pairs:
        if str(name) in frame:
            raise UserError(f"{where} has two columns called {str(name)!r}")
        inside = f"{where}, column {str(name)!r}"
        frame[str(name)] = _flat(column, inside) if _is_listlike(column) else [_cell(column, inside)]
    if len(set(map(len, frame.values()))) > 1:
        lengths = ", ".join(f"{name!r} {len(column)}" for name, column in list(frame.items())[:8])
        raise UserError(f"{where} is declared a data.frame; its columns are not equally long: {lengths}")
    return frame


def _flat(value: Any, where: str) -> List[Any]:
    """A list-like value or frame as a list; of one column or row, its cells."""
    if _is(value, "numpy", "ndarray"):
        if value.ndim > 1 and value.size != max(value.shape):
            shape = " x ".join(map(str, value.shape))
            raise UserError(f"{where}: expected one dimension, the code made an array of {shape}")
        return _array_cells(value, where)
    if isinstance(value, (list, tuple, range)):
        return _cells(list(value), where)
    if _is(value, "pandas", "DataFrame"):
        if 1 not in value.shape:
            raise UserError(f"{where}: expected one dimension, the code made a frame of {value.shape} cells")
        return [cell for column in _frame(value, where).values() for cell in column]
    return _series_cells(value, where)


def _series_cells(value: Any, where: str) -> List[Any]:
    """A pandas Series, Index or array of any dtype."""
    import numpy as np

    if isinstance(value.dtype, np.dtype):
        return _array_cells(np.asarray(value), where)
    if hasattr(value, "astype") and str(value.dtype) == "category":
        value = value.astype(object)
    return _cells(list(value), where)


def _array_cells(array: Any, where: str) -> List[Any]:
    """All cells, row after row."""
    if hasattr(array, "mask"):  # what is masked becomes None
        return _cells(array.ravel().tolist(), where)
    if array.ndim != 1:
        import numpy as np

        array = np.asarray(array).ravel()  # a numpy.matrix stays one otherwise
    kind = array.dtype.kind
    if kind in "fiub":
        if array.dtype.itemsize > 8:  # long doubles would leave as numpy's own type
            array = array.astype(float)
        cells: List[Any] = array.tolist()
        return cells
    if kind == "U":
        return list(map(str, array.tolist()))
    return _cells(list(array), where)


def _cells(values: List[Any], where: str) -> List[Any]:
    if set(map(type, values)) <= _PLAIN:
        return values
    return [_cell(each, where) for each in values]


def _cell(value: Any, where: str) -> Any:
    """One value as bool, int, float, str or None."""
    if type(value) in _PLAIN:
        return value
    if _is_missing(value):  # before its base class: NaT is a datetime
        return None
    for kind, make in _CELLS:
        if isinstance(value, kind):
            return make(value)
    if _is(value, "numpy", "generic"):
        return _numpy_cell(value, where)
    if _is(value, "numpy", "ndarray") and value.size == 1:
        return _array_cells(value, where)[0]
    if _is(value, "pandas", "Period") or _is(value, "pandas", "Interval"):
        return str(value)
    raise UserError(f"{where}: cannot turn a {_kind(value)} into JSON")


def _is_missing(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NaT or value is getattr(pandas, "NA", pandas.NaT))


def _numpy_cell(value: Any, where: str) -> Any:
    kind = value.dtype.kind
    if kind in "fiub":
        return float(value) if kind == "f" else value.item()
    if kind == "U":
        return str(value)
    if kind in "Mm":
        import numpy as np

        if np.isnat(value):
            return None
        if kind == "M":
            return re.sub(r"\.?0+$", "", str(value)) if "." in str(value) else str(value)
        return float(value / np.timedelta64(1, "s"))
    raise UserError(f"{where}: cannot turn a {_kind(value)} into JSON")


def _moment(value: datetime.datetime) -> Any:
    """ISO-8601; with a zone it is told in UTC."""
    if value.tzinfo is None or value.utcoffset() is None:
        return value.isoformat()
    return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


_CELLS: List[Any] = [
    (int, int),
    (float, float),
    (str, str.__str__),
    (datetime.datetime, _moment),
    (datetime.date, datetime.date.isoformat),
    (datetime.time, datetime.time.isoformat),
    (datetime.timedelta, datetime.timedelta.total_seconds),
    (decimal.Decimal, float),
    (fractions.Fraction, float),
    (uuid.UUID, str),
]

_MAKERS: Dict[ParameterType, Callable[[Any, str], object]] = {
    ParameterType.LOGICAL: _logical,
    ParameterType.INTEGER: _integer,
    ParameterType.NUMERIC: _numeric,
    ParameterType.CHARACTER: _character,
    ParameterType.VECTOR: _vector,
    ParameterType.MATRIX: _matrix,
    ParameterType.DATA_FRAME: _frame,
}


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _mistyped(where: str, expected: str, value: Any) -> UserError:
    text = repr(value)
    shown = text if len(text) <= 40 else text[:37] + "..."
    return UserError(f"{where} is declared {expected}; the code made a {_kind(value)}: {shown}")
