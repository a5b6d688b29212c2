"""Values for what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.serializing.registry import Context, converts
from gristmill.serializing.table import Table, Text, made

__all__ = ["imputed"]


def _is_null(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and np.isnan(value))


@converts("sklearn", "SimpleImputer")
def imputed(context: Context, model: Any, table: Table) -> Table:
    """One value for each column; columns that had none are left out, as in scikit-learn."""
    statistics = list(model.statistics_)
    kept = [place for place, value in enumerate(statistics) if value is None or not _is_null(value)]
    if len(kept) < len(table) and getattr(model, "keep_empty_features", False):
        raise context.refuse(model, "a column had no value at all when it was fitted")
    numbers = [place for place in kept if not isinstance(table[place], Text)]
    filled: dict[int, Any] = {}
    if numbers:
        cells = _filled(context, model, [table[place] for place in numbers], [statistics[p] for p in numbers])
        filled.update(zip(numbers, cells))
    for place in set(kept) - set(numbers):
        cell = table[place]
        if not isinstance(cell, Text) or not _is_null(model.missing_values):
            raise context.refuse(model, f"missing_values={model.missing_values!r} is a text")
        left = cell.name in context.inputs.nones and model.missing_values is not None
        left = left or statistics[place] is None
        filled[place] = cell if left or cell.fill is not None else Text(cell.name, str(statistics[place]))
    result = [filled[place] for place in kept]
    if getattr(model, "indicator_", None) is not None:
        result += missing(context, model.indicator_, table)
    return result


def _filled(context: Context, model: Any, cells: Table, statistics: list[Any]) -> Table:
    graph = context.graph
    value = context.numbers(model, cells)
    lost = _lost(context, model, value, cells)
    with_values = graph.add("Where", lost, graph.constant(np.array([statistics], np.float64)), value)
    return made(with_values, len(cells))


def _lost(context: Context, model: Any, value: str, cells: Table) -> str:
    """Which numbers are missing."""
    if _is_null(model.missing_values):
        return context.graph.add("IsNaN", value)
    context.inputs.refuse_missing(cells)
    return context.graph.add("Equal", value, context.graph.constant(float(model.missing_values)))


@converts("sklearn", "MissingIndicator")
def missing(context: Context, model: Any, table: Table) -> Table:
    """1 where a number is missing."""
    chosen = table if model.features == "all" else [table[place] for place in model.features_]
    if not chosen:
        return []
    if any(isinstance(cell, Text) for cell in chosen):
        raise context.refuse(model, "it marks missing texts; mark missing numbers only")
    value = context.numbers(model, chosen)
    return made(context.graph.cast(_lost(context, model, value, chosen)), len(chosen))
