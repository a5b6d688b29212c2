"""Decoded answers of R → outputs as the declared type, or R's own form, wants them."""

from __future__ import annotations

import math
from typing import Any, List

from gristmill.python_shell.r_decode import Named

__all__ = ["by_form", "by_type"]


def by_type(value: Any, type_: str) -> object:
    """`value` as r_shell/values.R made it for the declared type."""
    if type_ == "vector":
        return value
    if type_ == "data.frame":
        return dict(zip(value.names or (), value.items))
    if type_ == "matrix":
        return _rows(value)
    if type_ == "integer" and isinstance(value[0], float):
        return int(value[0]) if math.isfinite(value[0]) else None
    return value[0]


def _rows(value: Named) -> List[List[object]]:
    (rows, cols), values = value.items
    return [values[i * cols : (i + 1) * cols] for i in range(rows)]


def by_form(value: Named) -> object:
    """A tagged value: list(form, value)."""
    (form,), content = value.items
    if form == "null":
        return None
    if form == "list":
        items = [by_form(each) for each in content.items]
        return items if content.names is None else dict(zip(content.names, items))
    return by_type(content, {"frame": "data.frame"}.get(form, form))
