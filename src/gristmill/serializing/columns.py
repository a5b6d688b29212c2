"""The sample: which columns a model takes, of which types, and its rows as JSON has them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gristmill.errors import InvalidInput

__all__ = ["arranged", "cells", "chosen_rows", "factors_of", "kinds_of", "nones_of"]

#: Rows that travel with a model.
_MOST_ROWS = 100


def arranged(sample: Any, wanted: list[str] | None) -> Any:
    """The sample as a pandas frame with the columns that the model names, in its order.

    Raises InvalidInput for a sample that is neither frame nor matrix, is empty, or lacks a column.
    """
    pandas = _pandas()
    if hasattr(sample, "to_pandas"):  # Polars, Arrow
        sample = sample.to_pandas()
    if not isinstance(sample, pandas.DataFrame):
        array = np.asarray(sample)
        if array.ndim != 2:
            raise InvalidInput(
                "the sample has to be a pandas frame or a matrix of rows, and it is "
                f"{type(sample).__name__} of {array.ndim} dimensions"
            )
        names = wanted or [f"x{place}" for place in range(array.shape[1])]
        if len(names) != array.shape[1]:
            raise InvalidInput(f"the model takes {len(names)} columns, and the sample has {array.shape[1]}")
        sample = pandas.DataFrame(array, columns=names).infer_objects()
    if not len(sample):
        raise InvalidInput("the sample has no rows: give some as the model was fitted on")
    names = [str(name) for name in sample.columns]
    if len(set(names)) < len(names):
        raise InvalidInput("two columns of the sample have the same name")
    lost = [name for name in wanted or [] if name not in names]
    if lost:
        raise InvalidInput(f"the model takes the column {lost[0]!r}, and the sample does not have it")
    frame = sample.set_axis(names, axis=1)
    frame = frame[wanted] if wanted else frame
    # Doubles are what the server computes with; single precision would be another model's input.
    narrow = [name for name, dtype in frame.dtypes.items() if str(dtype) in {"float16", "float32"}]
    return frame.astype(dict.fromkeys(narrow, "float64")).reset_index(drop=True)


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise InvalidInput(
            "serializing a model needs pandas, which is not installed: pip install gristmill[realtime]"
        ) from None
    return pd


def kinds_of(frame: Any) -> dict[str, str]:
    """Each column's type: numeric, integer, logical or character. Raises InvalidInput for others."""
    return {name: _kind(name, frame[name]) for name in frame.columns}


def factors_of(frame: Any) -> frozenset[str]:
    """Columns that are pandas categoricals."""
    return frozenset(name for name, dtype in frame.dtypes.items() if str(dtype) == "category")


def nones_of(frame: Any) -> frozenset[str]:
    """Columns whose nulls are None: scikit-learn tells it from NaN, and imputers of NaN leave it alone."""
    objects = [name for name, dtype in frame.dtypes.items() if str(dtype) == "object"]
    return frozenset(name for name in objects if any(value is None for value in frame[name]))


def _kind(name: str, column: Any) -> str:
    dtype = column.dtype
    if str(dtype) == "category":
        dtype = dtype.categories.dtype
    by_kind = {"f": "numeric", "i": "integer", "u": "integer", "b": "logical"}
    kind = getattr(dtype, "kind", "")
    if kind in by_kind:
        return by_kind[kind]
    found = {type(value) for value in column if not _is_null(value)}
    if found <= {str, np.str_}:
        return "character"
    if found <= {bool, np.bool_}:
        return "logical"
    if all(issubclass(each, (int, float, np.number)) for each in found):
        return "numeric"
    shown = " and ".join(sorted(each.__name__ for each in found))
    raise InvalidInput(
        f"column {name!r} of the sample holds {shown}: a realtime model takes numbers, truth values and texts"
    )


def _is_null(value: Any) -> bool:
    return (
        value is None
        or type(value).__name__ in {"NAType", "NaTType"}
        or (isinstance(value, (float, np.floating)) and np.isnan(value))
    )


def chosen_rows(frame: Any) -> Any:
    """Up to 100 rows from all over the sample, those with missing values among them."""
    if len(frame) <= _MOST_ROWS:
        return frame
    chosen = np.unique(np.linspace(0, len(frame) - 1, _MOST_ROWS).astype(int))
    lost = np.flatnonzero(frame.isna().any(axis=1).to_numpy())[: _MOST_ROWS // 4]
    if len(lost):
        chosen = np.unique(
            np.concatenate([chosen[:: 2 if len(lost) > 10 else 1][: _MOST_ROWS - len(lost)], lost])
        )
    return frame.iloc[chosen].reset_index(drop=True)


def cells(values: Any) -> list[Any]:
    """A column as JSON has it: NaN and other nulls are None."""
    return [_cell(value) for value in values]


def _cell(value: Any) -> Any:
    if _is_null(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else None
    return str(value)
