"""JSON → Python values: pandas and numpy ones where these are installed, lists and dicts where not."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from gristmill.schema import ParameterType

__all__ = ["decode", "decode_untyped"]


def decode(type_: ParameterType, value: Any) -> Any:
    """An output as its declared type has it: bool, int, float, str, numpy.ndarray or pandas.DataFrame."""
    if value is None:
        return None
    if type_ is ParameterType.VECTOR:
        return _array(value if isinstance(value, list) else [value])
    if type_ is ParameterType.MATRIX:
        return _matrix(value)
    if type_ is ParameterType.DATA_FRAME:
        return _frame(value)
    if type_ is ParameterType.NUMERIC and isinstance(value, int):
        return float(value)
    return value


def decode_untyped(value: Any) -> Any:
    """A value of a session, typed by its shape: scalar, vector, matrix (nested arrays) or frame (object)."""
    if isinstance(value, list):
        nested = bool(value) and all(isinstance(row, list) for row in value)
        return _matrix(value) if nested else _array(value)
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        return _frame(value) if len({len(column) for column in value.values()}) == 1 else value
    return value


@functools.cache
def _library(name: str) -> Any:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _array(values: list[Any]) -> Any:
    numpy = _library("numpy")
    if numpy is None:
        return values
    kinds = set(map(type, values))
    if kinds <= {int, float, type(None)} and (kinds & {int, float} or not kinds):
        if type(None) in kinds:
            return numpy.array([float("nan") if cell is None else cell for cell in values])
        return numpy.array(values, dtype=None if kinds else float)
    return numpy.array(values, dtype=None if len(kinds) == 1 and kinds <= {bool, str} else object)


def _matrix(rows: Any) -> Any:
    numpy = _library("numpy")
    if numpy is None or not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return rows
    flat = [cell for row in rows for cell in row]
    return _array(flat).reshape(len(rows), -1 if flat else 0)


def _frame(columns: Any) -> Any:
    pandas = _library("pandas")
    return columns if pandas is None or not isinstance(columns, dict) else pandas.DataFrame(columns)
