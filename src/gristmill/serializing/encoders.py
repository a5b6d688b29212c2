"""Encoders of categories: a text is the number of its category, -1 if it has none, NaN if it is null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gristmill.serializing.registry import Context, converts
from gristmill.serializing.table import Cell, Table, Text, made

__all__ = ["category_numbers", "one_hot"]


def _is_null(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and np.isnan(value))


@dataclass(frozen=True)
class _Coded:
    """A column as numbers of its categories."""

    value: str  #: [N, 1]
    size: int  #: number of categories, the null among them
    null: int | None  #: place of the category of nulls, which is the last


def _coded(context: Context, model: Any, cell: Cell, categories: Sequence[Any], *, strict: bool) -> _Coded:
    """The codes of a column; `strict`: what is no category is an error. A null that is one has its number."""
    known = [value for value in categories if not _is_null(value)]
    if len(categories) - len(known) > 1:
        raise context.refuse(model, "it tells None from NaN")
    null = len(known) if len(known) < len(categories) else None
    if isinstance(cell, Text):
        if not all(isinstance(value, str) for value in known):
            raise context.refuse(model, f"categories of column {cell.name!r} are not texts")
        value = _text_codes(context, cell, [str(value) for value in known], null, strict)
    else:
        value = _number_codes(context, model, cell, known, null, strict)
    if null is not None:
        value = _instead_of_null(context, value, null)
    elif strict:
        context.inputs.refuse_missing([cell])
    return _Coded(value, len(categories), null)


def _text_codes(context: Context, cell: Text, known: list[str], null: int | None, strict: bool) -> str:
    tells = null is not None or cell.fill is not None
    unseen = "refuse" if strict else ("distinct" if tells else "missing")
    value = context.inputs.ask(cell.name, known, unseen)
    if cell.fill is None:
        return value
    if cell.fill in known:
        return _instead_of_null(context, value, known.index(cell.fill))
    if strict:
        context.inputs.refused.add(cell.name)
    return _instead_of_null(context, value, -1)


def _number_codes(
    context: Context, model: Any, cell: Cell, known: list[Any], null: int | None, strict: bool
) -> str:
    graph, value = context.graph, context.numbers(model, [cell])
    try:
        numbers = np.array([[float(category) for category in known]])
    except (TypeError, ValueError):
        raise context.refuse(model, "categories of a column of numbers are texts") from None
    equal = graph.cast(graph.add("Equal", value, graph.constant(numbers)))
    place = graph.cast(graph.add("ArgMax", equal, axis=1, keepdims=1))
    found = graph.add(
        "Greater", graph.add("ReduceMax", equal, _along(context), keepdims=1), graph.constant(0.5)
    )
    code = graph.add("Where", found, place, graph.constant(-1.0))
    lost = graph.add("IsNaN", value)
    if strict:  # scikit-learn raises: the row has no score
        fine = graph.add("Or", found, lost) if null is not None else found
        context.inputs.invalid.append(graph.add("Where", fine, graph.constant(0.0), graph.constant(np.nan)))
    return graph.add("Where", lost, graph.constant(np.nan), code)


def _along(context: Context) -> str:
    """The axis along a row, as reducing operators want it."""
    return context.graph.constant([1], np.int64)


def _instead_of_null(context: Context, value: str, code: float) -> str:
    graph = context.graph
    return graph.add("Where", graph.add("IsNaN", value), graph.constant(float(code)), value)


def _infrequent(model: Any, place: int) -> Any:
    """Where each category goes if rare ones are taken together, or None."""
    if not getattr(model, "_infrequent_enabled", False):
        return None
    return model._default_to_infrequent_mappings[place]


@converts("sklearn", "OneHotEncoder")
def one_hot(context: Context, model: Any, table: Table) -> Table:
    """A column for each category; unknown ones are zeros, or the rare one's column."""
    graph, result = context.graph, Table()
    for place, (cell, categories) in enumerate(zip(table, model.categories_)):
        coded = _coded(context, model, cell, categories, strict=model.handle_unknown == "error")
        marks = _marks(context, coded)
        mapping, width = _infrequent(model, place), coded.size
        if mapping is not None:
            width = int(mapping.max()) + 1
            marks = graph.add("MatMul", marks, graph.constant(np.eye(width)[mapping]))
            if model.handle_unknown in {"infrequent_if_exist", "warn"}:
                lost = graph.cast(
                    graph.add("Less", _instead_of_null(context, coded.value, -1), graph.constant(0.0))
                )
                marks = graph.add(
                    "Add", marks, graph.add("Mul", lost, graph.constant(np.eye(width)[[width - 1]]))
                )
        dropped = None if model.drop_idx_ is None else model.drop_idx_[place]
        cells = made(marks, width)
        result += cells if dropped is None else cells[:dropped] + cells[dropped + 1 :]
    return result


def _marks(context: Context, coded: _Coded) -> str:
    """[N, categories] 1 where a row has the category."""
    numbers = context.graph.constant(np.arange(coded.size, dtype=np.float64).reshape(1, -1))
    return context.graph.cast(context.graph.add("Equal", coded.value, numbers))


@converts("sklearn", "OrdinalEncoder")
def ordinal(context: Context, model: Any, table: Table) -> Table:
    """The category's number, and the numbers that stand for null and for unknown."""
    graph, parts, origins = context.graph, [], []
    strict = model.handle_unknown == "error"
    for place, (cell, categories) in enumerate(zip(table, model.categories_)):
        if _infrequent(model, place) is not None:
            raise context.refuse(model, "rare categories are taken together")
        value, passes = _ordinal(context, model, cell, categories, strict)
        parts.append(value)
        origins.append(cell.origins if passes else frozenset[str]())
    if any(np.dtype(model.dtype) == kind for kind in (np.float16,)):
        raise context.refuse(model, "its dtype is half precision")
    return made(graph.add("Concat", *parts, axis=1), len(parts), origins)


def _ordinal(context: Context, model: Any, cell: Cell, categories: Any, strict: bool) -> tuple[str, bool]:
    """The numbers of one column, and whether NaN may be among them."""
    graph = context.graph
    unknown = np.nan if strict else float(model.unknown_value)
    lost = float(getattr(model, "encoded_missing_value", np.nan))
    has_null = any(_is_null(value) for value in categories)
    # Where a null and an unknown text end up the same, the server need not tell them apart.
    same = not strict and np.isnan(unknown) and (not has_null or np.isnan(lost))
    if same and isinstance(cell, Text) and cell.fill is None:
        texts = [str(value) for value in categories if not _is_null(value)]
        return context.inputs.ask(cell.name, texts, "missing"), True
    coded = _coded(context, model, cell, categories, strict=strict)
    value = coded.value
    if not strict:
        none = graph.add("Less", _instead_of_null(context, value, -1), graph.constant(0.0))
        value = graph.add("Where", none, graph.constant(unknown), value)
    if coded.null is not None:
        is_null = graph.add("Equal", coded.value, graph.constant(float(coded.null)))
        value = graph.add("Where", is_null, graph.constant(lost), value)
    passes = (np.isnan(lost) and has_null) or (not strict and bool(np.isnan(unknown)))
    return value, bool(passes)


@converts("sklearn", "TargetEncoder")
def target(context: Context, model: Any, table: Table) -> Table:
    """The mean of the response in the category, or over all for unknown ones."""
    if model.target_type_ == "multiclass":
        raise context.refuse(model, "the response has more than two classes")
    graph, parts = context.graph, []
    for cell, categories, means in zip(table, model.categories_, model.encodings_):
        coded = _coded(context, model, cell, categories, strict=False)
        marks = _marks(context, coded)
        mean = graph.add("MatMul", marks, graph.constant(np.asarray(means, np.float64).reshape(-1, 1)))
        known = graph.add("ReduceMax", marks, _along(context), keepdims=1)
        is_known = graph.add("Greater", known, graph.constant(0.5))
        parts.append(graph.add("Where", is_known, mean, graph.constant(float(model.target_mean_))))
    return made(graph.add("Concat", *parts, axis=1), len(parts))


def category_numbers(context: Context, model: Any, cell: Cell, levels: Sequence[Any]) -> Table:
    """A pandas categorical as its codes; a level that was not there at fitting is a null, as in LightGBM."""
    if isinstance(cell, Text):
        return made(
            context.inputs.ask(cell.name, [str(level) for level in levels], "missing"), 1, [cell.origins]
        )
    coded = _coded(context, model, cell, levels, strict=False)
    graph = context.graph
    none = graph.add("Less", coded.value, graph.constant(0.0))
    return made(graph.add("Where", none, graph.constant(np.nan), coded.value), 1, [cell.origins])
