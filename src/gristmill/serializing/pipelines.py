"""What puts steps of scikit-learn together: pipelines, columns apart, unions, and searches for parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.serializing.functions import apply_function
from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.table import Table, made

__all__ = ["pipeline"]


@converts("sklearn", "Pipeline")
def pipeline(context: Context, model: Any, table: Table) -> Any:
    """One step after the other; the last may be a predictor."""
    result: Any = table
    for name, step in model.steps:
        if step is not None and step != "passthrough" and not hasattr(step, "fit_resample"):
            with context.step(name):
                result = context.convert(step, result)
    return result


@converts("sklearn", "ColumnTransformer")
def columns_apart(context: Context, model: Any, table: Table) -> Table:
    """Steps for some columns each; what they make lies side by side."""
    result: Table = []
    for name, step, columns in model.transformers_:
        if isinstance(step, str) and step == "drop":
            continue
        chosen = [table[place] for place in _places(context, model, columns, len(table))]
        if isinstance(step, str) or not chosen:  # passthrough
            result += chosen
            continue
        with context.step(name):
            result += context.convert(step, chosen)
    return result


def _places(context: Context, model: Any, columns: Any, width: int) -> list[int]:
    """Numbers of the columns that a selection means."""
    if isinstance(columns, (str, int, np.integer)):
        columns = [columns]
    if isinstance(columns, slice) and any(isinstance(end, str) for end in (columns.start, columns.stop)):
        names = list(model.feature_names_in_)
        start = 0 if columns.start is None else names.index(columns.start)
        stop = width if columns.stop is None else names.index(columns.stop) + 1
        return list(range(start, stop))[:: columns.step or 1]
    if isinstance(columns, slice):
        return list(range(width))[columns]
    if callable(columns):
        raise context.refuse(model, "columns are selected by a function that was not run")
    given = np.asarray(columns)
    if given.dtype.kind == "b":
        return [int(place) for place in np.flatnonzero(given)]
    if given.dtype.kind in "iu":
        return [int(place) % width for place in given]
    names = list(getattr(model, "feature_names_in_", ()))
    return [names.index(str(name)) for name in columns]


@converts("sklearn", "FeatureUnion")
def union(context: Context, model: Any, table: Table) -> Table:
    """Several steps on the same columns, side by side."""
    result: Table = []
    for name, step in model.transformer_list:
        if isinstance(step, str) and step == "drop":
            continue
        with context.step(name):
            one = table if isinstance(step, str) else context.convert(step, table)
        weight = (model.transformer_weights or {}).get(name, 1.0)
        if weight != 1.0:
            value = context.graph.add("Mul", context.numbers(model, one), context.graph.constant(weight))
            one = made(value, len(one), [cell.origins for cell in one])
        result += one
    return result


@converts("sklearn", "GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")
def search(context: Context, model: Any, table: Table) -> Any:
    """The best model that was found."""
    return context.convert(model.best_estimator_, table)


@converts("sklearn", "FunctionTransformer")
def function(context: Context, model: Any, table: Table) -> Table:
    """One of numpy's functions that have an exact counterpart."""
    # Of HistGradientBoosting: a check of its numbers, and nothing else.
    checks = getattr(getattr(model.func, "func", None), "__name__", "") == "check_array"
    if model.func is None or checks:
        return table
    if model.kw_args:
        raise context.refuse(model, "its function takes more arguments")
    value = apply_function(context.graph, model.func, context.numbers(model, table))
    if value is None:
        name = getattr(model.func, "__name__", repr(model.func))
        raise context.refuse(model, f"there is no native counterpart of the function {name!r}")
    return made(value, len(table), [cell.origins for cell in table])


@converts("sklearn", "TransformedTargetRegressor")
def transformed_target(context: Context, model: Any, table: Table) -> Prediction:
    """A regressor whose answers go through a function or the inverse of a scaler."""
    inner: Prediction = context.convert(model.regressor_, table)
    back = model.transformer_
    if type(back).__name__ == "FunctionTransformer":
        inverse = back.inverse_func
        scores = inner.scores if inverse is None else apply_function(context.graph, inverse, inner.scores)
        if scores is None:
            name = getattr(inverse, "__name__", repr(inverse))
            raise context.refuse(model, f"there is no native counterpart of the function {name!r}")
    elif type(back).__name__ == "StandardScaler":
        graph, scores = context.graph, inner.scores
        if back.with_std:
            scores = graph.add("Mul", scores, graph.constant(back.scale_.reshape(1, -1)))
        if back.with_mean:
            scores = graph.add("Add", scores, graph.constant(back.mean_.reshape(1, -1)))
    else:
        raise context.refuse(model, f"the inverse of {type(back).__name__} has no native counterpart")
    return Prediction("regression", scores, inner.width)
