"""Python values → JSON, each as its parameter's type asks."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any

from gristmill.client.errors import InvalidInput, invalid
from gristmill.client.types import PYTHON_TYPES, is_a, told
from gristmill.schema import Parameter, ParameterType

__all__ = ["encode", "encode_untyped"]

_PLAIN = frozenset((bool, int, str, type(None)))


def encode(parameter: Parameter, value: Any) -> Any:
    """What goes into the request for this input. Raises InvalidInput: the parameter, expected, got."""
    return _ENCODERS[parameter.type](parameter, value)


def encode_untyped(name: str, value: Any) -> Any:
    """The same where nothing is declared, in a session: scalars, vectors, matrices and frames."""
    if is_a(value, "pandas.DataFrame", "polars.DataFrame") or isinstance(value, dict):
        return _frame(Parameter(name, ParameterType.DATA_FRAME), value)
    parameter = Parameter(name, ParameterType.VECTOR)
    if _dimensions(value) == 2:
        return _matrix(parameter, value)
    return _cells(parameter, value) if _dimensions(value) == 1 else _cell(parameter, value)


def _dimensions(value: Any) -> int:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return len(shape)
    if isinstance(value, (list, tuple)):
        return 2 if value and isinstance(value[0], (list, tuple)) else 1
    return 1 if isinstance(value, (range, set)) or hasattr(value, "tolist") else 0


def _refuse(parameter: Parameter, value: Any) -> InvalidInput:
    return invalid(parameter.name, PYTHON_TYPES[parameter.type], told(value))


def _single(parameter: Parameter, value: Any) -> Any:
    """The one cell of a scalar, of numpy's scalars, or of anything that holds exactly one."""
    if type(value) in _PLAIN:
        return value
    if hasattr(value, "columns"):
        raise _refuse(parameter, value)
    if _dimensions(value) >= 1:
        cells = _cells(parameter, value)
        if len(cells) != 1:
            raise _refuse(parameter, value)
        return cells[0]
    return _cell(parameter, value)


def _logical(parameter: Parameter, value: Any) -> Any:
    cell = _single(parameter, value)
    if cell is None or isinstance(cell, bool):
        return cell
    raise _refuse(parameter, value)


def _integer(parameter: Parameter, value: Any) -> Any:
    cell = _single(parameter, value)
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if cell is None or (isinstance(cell, int) and not isinstance(cell, bool)):
        return cell
    raise _refuse(parameter, value)


def _numeric(parameter: Parameter, value: Any) -> Any:
    cell = _single(parameter, value)
    if cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool)):
        return _finite(parameter, cell)
    raise _refuse(parameter, value)


def _character(parameter: Parameter, value: Any) -> Any:
    cell = _single(parameter, value)
    if cell is None or isinstance(cell, str):
        return cell
    raise _refuse(parameter, value)


def _vector(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, dict) or hasattr(value, "columns"):
        raise _refuse(parameter, value)
    if _dimensions(value) == 0:
        return [_single(parameter, value)]
    if _dimensions(value) != 1 and 1 not in getattr(value, "shape", ()):
        raise _refuse(parameter, value)
    return _cells(parameter, value.ravel() if _dimensions(value) > 1 else value)


def _matrix(parameter: Parameter, value: Any) -> Any:
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if hasattr(value, "toarray"):
        value = value.toarray()
    if _dimensions(value) != 2:
        raise _refuse(parameter, value)
    return [_cells(parameter, row) for row in (value.tolist() if hasattr(value, "tolist") else value)]


def _frame(parameter: Parameter, value: Any) -> Any:
    if hasattr(value, "columns"):
        columns = {str(name): value[name] for name in value.columns}
        if len(columns) < len(value.columns):
            raise invalid(parameter.name, "columns with names of their own", "one name for several columns")
        return _columns(parameter, columns)
    if isinstance(value, dict):
        return _columns(parameter, value)
    if is_a(value, "pandas.Series"):  # one row
        return _columns(parameter, {str(name): [cell] for name, cell in value.items()})
    if isinstance(value, (list, tuple)) and all(isinstance(row, dict) for row in value):
        return [{str(k): _cell(parameter, cell) for k, cell in row.items()} for row in value]
    if hasattr(value, "T") and getattr(value, "shape", ())[1:] == (len(parameter.columns),):
        return _columns(parameter, dict(zip(parameter.columns, value.T)))
    raise _refuse(parameter, value)


def _columns(parameter: Parameter, columns: dict[Any, Any]) -> dict[str, list[Any]]:
    made = {}
    for name, column in columns.items():
        inside = Parameter(f"{parameter.name}, column {name}", parameter.type)
        made[str(name)] = _cells(inside, column) if _dimensions(column) == 1 else [_cell(inside, column)]
    return made


def _cells(parameter: Parameter, values: Any) -> list[Any]:
    """A one-dimensional value as a list that JSON takes; NaN, NaT and NA are None."""
    dtype: Any = getattr(values, "dtype", None)
    # The nullable types of pandas have a kind too, and values that are no numbers; numpy's have a byte order.
    kind = dtype.kind if hasattr(dtype, "byteorder") else None
    cells: list[Any]
    if kind in {"i", "u", "b"}:
        cells = values.tolist()
        return cells
    if kind == "f":
        cells = values.tolist()
        if not all(map(math.isfinite, cells)):
            cells = [_finite(parameter, cell) for cell in cells]
        return cells
    cells = list(values)
    if set(map(type, cells)) <= _PLAIN:
        return cells
    return [_cell(parameter, cell) for cell in cells]


def _cell(parameter: Parameter, value: Any) -> Any:
    """One value as bool, int, float, str or None."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return _finite(parameter, value)
    if is_a(value, "pandas.NAType", "pandas.NaTType") or type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, datetime.datetime):
        return _moment(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if hasattr(value, "dtype") and hasattr(value, "item"):  # a scalar of numpy
        if value.dtype.kind in "Mm":
            text = str(value)
            return None if text == "NaT" else text
        return _cell(parameter, value.item())
    if hasattr(value, "as_integer_ratio"):  # Decimal, Fraction
        return _finite(parameter, float(value))
    raise invalid(parameter.name, "numbers, texts, truth values or dates", told(value))


def _finite(parameter: Parameter, value: Any) -> Any:
    """A number, or None for NaN; infinite ones have no place in JSON."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            raise invalid(parameter.name, "finite numbers, as JSON has no others", "an infinite one")
        return float(value)
    return value


def _moment(value: datetime.datetime) -> str:
    """ISO 8601; with a zone it is told in UTC."""
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


_ENCODERS: dict[ParameterType, Callable[[Parameter, Any], Any]] = {
    ParameterType.LOGICAL: _logical,
    ParameterType.INTEGER: _integer,
    ParameterType.NUMERIC: _numeric,
    ParameterType.CHARACTER: _character,
    ParameterType.VECTOR: _vector,
    ParameterType.MATRIX: _matrix,
    ParameterType.DATA_FRAME: _frame,
}
