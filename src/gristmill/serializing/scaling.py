"""Transformers of numbers: scalers, selections, polynomials and projections."""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.serializing.registry import Context, converts
from gristmill.serializing.table import Table, made

__all__ = ["standard"]


def _kept(value: str, table: Table) -> Table:
    """Columns that stand for those of the table, NaN for NaN."""
    return made(value, len(table), [cell.origins for cell in table])


def _row(numbers: Any) -> Any:
    return np.asarray(numbers, np.float64).reshape(1, -1)


@converts("sklearn", "StandardScaler")
def standard(context: Context, model: Any, table: Table) -> Table:
    """(x - mean) / scale."""
    return _shifted(context, model, table, model.mean_ if model.with_mean else None, model.scale_)


@converts("sklearn", "RobustScaler")
def robust(context: Context, model: Any, table: Table) -> Table:
    """(x - median) / scale."""
    return _shifted(context, model, table, model.center_, model.scale_)


@converts("sklearn", "MaxAbsScaler")
def largest(context: Context, model: Any, table: Table) -> Table:
    """Divided by the scale."""
    if getattr(model, "clip", False):
        raise context.refuse(model, "clip is set")
    return _shifted(context, model, table, None, model.scale_)


def _shifted(context: Context, model: Any, table: Table, center: Any, scale: Any) -> Table:
    graph, value = context.graph, context.numbers(model, table)
    if center is not None:
        value = graph.add("Sub", value, graph.constant(_row(center)))
    if scale is not None:
        value = graph.add("Div", value, graph.constant(_row(scale)))
    return _kept(value, table)


@converts("sklearn", "MinMaxScaler")
def between(context: Context, model: Any, table: Table) -> Table:
    """X * scale + min."""
    graph = context.graph
    value = graph.add("Mul", context.numbers(model, table), graph.constant(_row(model.scale_)))
    value = graph.add("Add", value, graph.constant(_row(model.min_)))
    if model.clip:
        low, high = (graph.constant(float(end)) for end in model.feature_range)
        clipped = graph.add("Min", graph.add("Max", value, low), high)
        value = graph.add("Where", graph.add("IsNaN", value), value, clipped)
    return _kept(value, table)


@converts("sklearn", "Normalizer")
def normalized(context: Context, model: Any, table: Table) -> Table:
    """Rows divided by their length."""
    graph, value = context.graph, context.finite(model, table)
    operator = {"l1": "ReduceL1", "l2": "ReduceL2", "max": "ReduceMax"}[model.norm]
    inner = graph.add("Abs", value) if model.norm == "max" else value
    length = graph.add(operator, inner, graph.constant([1], np.int64), keepdims=1)
    empty = graph.add("Equal", length, graph.constant(0.0))
    length = graph.add("Where", empty, graph.constant(1.0), length)
    return made(graph.add("Div", value, length), len(table))


@converts("sklearn", "Binarizer")
def binarized(context: Context, model: Any, table: Table) -> Table:
    """1 above a bound, else 0."""
    graph = context.graph
    above = graph.add("Greater", context.finite(model, table), graph.constant(float(model.threshold)))
    return made(graph.cast(above), len(table))


@converts("sklearn", "PolynomialFeatures")
def polynomial(context: Context, model: Any, table: Table) -> Table:
    """Products of columns; each is made from one of a lower degree, as scikit-learn does."""
    graph, value = context.graph, context.finite(model, table)
    columns = [graph.take(value, [place]) for place in range(len(table))]
    known: dict[tuple[int, ...], str] = {(): graph.cast(graph.add("Equal", columns[0], columns[0]))}
    for powers in model.powers_:
        factors = tuple(int(place) for place in np.repeat(np.arange(len(powers)), powers))
        _product(context, columns, known, factors)
    wanted = [known[tuple(int(p) for p in np.repeat(np.arange(len(row)), row))] for row in model.powers_]
    return made(graph.add("Concat", *wanted, axis=1), len(wanted))


def _product(
    context: Context, columns: list[str], known: dict[tuple[int, ...], str], factors: tuple[int, ...]
) -> str:
    if factors not in known:
        first, rest = columns[factors[0]], factors[1:]
        known[factors] = (
            context.graph.add("Mul", _product(context, columns, known, rest), first) if rest else first
        )
    return known[factors]


@converts("sklearn", "PCA", "TruncatedSVD", "IncrementalPCA")
def projected(context: Context, model: Any, table: Table) -> Table:
    """Onto the components."""
    graph, value = context.graph, context.finite(model, table)
    if getattr(model, "mean_", None) is not None:
        value = graph.add("Sub", value, graph.constant(_row(model.mean_)))
    value = graph.add("MatMul", value, graph.constant(model.components_.T))
    if getattr(model, "whiten", False):
        scale = np.sqrt(model.explained_variance_)
        least = np.finfo(scale.dtype).eps
        value = graph.add("Div", value, graph.constant(_row(np.maximum(scale, least))))
    return made(value, len(model.components_))


@converts("sklearn", "SelectorMixin")
def selected(context: Context, model: Any, table: Table) -> Table:
    """Some of the columns; NaN is refused in all of them, as scikit-learn does, but by VarianceThreshold."""
    if type(model).__name__ != "VarianceThreshold":
        context.inputs.refuse_missing(table)
    return [cell for cell, kept in zip(table, model.get_support()) if kept]


@converts("sklearn", "KBinsDiscretizer")
def binned(context: Context, model: Any, table: Table) -> Table:
    """The number of the bin, which is how many inner edges are not above; or a column for each bin."""
    graph, value, result = context.graph, context.finite(model, table), Table()
    for place, edges in enumerate(model.bin_edges_):
        above = graph.add("GreaterOrEqual", graph.take(value, [place]), graph.constant(_row(edges[1:-1])))
        number = graph.add("ReduceSum", graph.cast(above), graph.constant([1], np.int64), keepdims=1)
        if model.encode == "ordinal":
            result += made(number, 1)
        else:
            bins = len(edges) - 1
            equal = graph.add("Equal", number, graph.constant(_row(np.arange(bins))))
            result += made(graph.cast(equal), bins)
    return result
