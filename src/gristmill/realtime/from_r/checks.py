"""Sizes and ranges of what came: arrays that are what they have to be, or InvalidInput that names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gristmill.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["indices", "matrix", "refuse", "vector"]


def refuse(message: str) -> InvalidInput:
    """The error for a model that is not sound."""
    return InvalidInput(f"the model from R is not sound: {message}")


def vector(values: Sequence[float], what: str, length: int | None = None) -> NDArray[np.float64]:
    """Finite doubles [length]."""
    array = np.array(values, np.float64)
    if length is not None and len(array) != length:
        raise refuse(f"{what}: {len(array)} numbers where {length} belong")
    if not np.isfinite(array).all():
        raise refuse(f"{what}: a number is not finite")
    return array


def matrix(
    rows: Sequence[Sequence[float]], what: str, shape: tuple[int | None, int | None]
) -> NDArray[np.float64]:
    """Finite doubles of this shape; None is any length, but the same for all rows."""
    height, width = shape
    if height is not None and len(rows) != height:
        raise refuse(f"{what}: {len(rows)} rows where {height} belong")
    width = width if width is not None else len(rows[0]) if rows else 0
    if any(len(row) != width for row in rows):
        raise refuse(f"{what}: not all rows have {width} numbers")
    array = np.array(rows, np.float64).reshape(len(rows), width)
    if not np.isfinite(array).all():
        raise refuse(f"{what}: a number is not finite")
    return array


def indices(
    values: Sequence[int], what: str, *, below: int, length: int | None = None, lowest: int = 0
) -> NDArray[np.int64]:
    """Whole numbers from `lowest` to `below` - 1."""
    array = np.array(values, np.int64)
    if length is not None and len(array) != length:
        raise refuse(f"{what}: {len(array)} numbers where {length} belong")
    if len(array) and (array.min() < lowest or array.max() >= below):
        raise refuse(f"{what}: a number is not in {lowest}..{below - 1}")
    return array
