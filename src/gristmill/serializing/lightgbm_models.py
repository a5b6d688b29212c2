"""LightGBM: doubles throughout, as `dump_model` tells its trees."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from gristmill.serializing import links
from gristmill.serializing.encoders import category_numbers
from gristmill.serializing.growing import Grove
from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.table import Cell, Raw, Table, Text

__all__ = ["boosted"]

#: What LightGBM takes for zero (kZeroThreshold).
_ZERO = 1e-35
_EXPONENTIAL = {"poisson", "gamma", "tweedie"}
_PLAIN = {"regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"}


@converts("lightgbm", "LGBMModel", "Booster")
def boosted(context: Context, model: Any, table: Table) -> Prediction:
    """The sum of the trees' leaves, and the link of the objective."""
    booster = getattr(model, "booster_", model)
    dumped = booster.dump_model()
    width = dumped["num_tree_per_iteration"]
    grove, walk = Grove(width, "leq"), _Walk(context, model)
    for place, tree in enumerate(dumped["tree_info"]):
        nodes = walk.nodes(tree["tree_structure"])
        grove.tree(**nodes, target=place % width)
    rows = _rows(context, model, table, walk, dumped)
    raw = grove.add_to(context.graph, rows)
    if dumped.get("average_output"):
        rounds = max(1, len(dumped["tree_info"]) // width)
        raw = context.graph.add("Div", raw, context.graph.constant(float(rounds)))
    return _finished(context, model, raw, width, dumped.get("objective", "regression"))


class _Walk:
    """One tree after the other as arrays, and what was met on the way."""

    def __init__(self, context: Context, model: Any) -> None:
        self._context, self._model = context, model
        self.zero_is_missing: dict[int, bool] = {}  #: feature → whether zeros go where nulls go
        self.factors: set[int] = set()

    def nodes(self, root: dict[str, Any]) -> dict[str, Any]:
        """The arrays of a tree; its nodes are numbered in the order in which they are met."""
        order: list[dict[str, Any]] = []
        stack = [(root, -1, "")]
        columns: dict[str, list[Any]] = {
            key: [] for key in ("feature", "threshold", "left", "right", "missing_left", "values")
        }
        members: dict[int, tuple[float, ...]] = {}
        while stack:
            node, parent, side = stack.pop()
            place = len(order)
            order.append(node)
            if parent >= 0:
                columns[side][parent] = place
            self._write(node, columns, members)
            if "split_index" in node:
                stack += [(node["right_child"], place, "right"), (node["left_child"], place, "left")]
        return {**columns, "members": members}

    def _write(self, node: dict[str, Any], columns: dict[str, list[Any]], members: dict[int, Any]) -> None:
        if "leaf_coeff" in node or "leaf_const" in node:
            raise self._context.refuse(self._model, "its leaves are linear models (linear_tree)")
        place, inner = len(columns["feature"]), "split_index" in node
        columns["left"].append(-1)
        columns["right"].append(-1)
        columns["values"].append(0.0 if inner else node["leaf_value"])
        columns["feature"].append(node["split_feature"] if inner else -1)
        threshold, missing_left = 0.0, False
        if inner and node["decision_type"] == "==":
            self.factors.add(node["split_feature"])
            members[place] = tuple(float(code) for code in str(node["threshold"]).split("||"))
        elif inner:
            threshold = float(node["threshold"])
            missing_left = self._missing(node, threshold)
        columns["threshold"].append(threshold)
        columns["missing_left"].append(missing_left)

    def _missing(self, node: dict[str, Any], threshold: float) -> bool:
        """Whether NaN goes left; where missing values were not known, it is a zero."""
        kind, feature = node["missing_type"], node["split_feature"]
        if self.zero_is_missing.setdefault(feature, kind == "Zero") != (kind == "Zero"):
            raise self._context.refuse(
                self._model, "zeros of a column are missing in one tree and not in another"
            )
        return bool(node["default_left"]) if kind in {"NaN", "Zero"} else threshold >= 0.0


def _rows(context: Context, model: Any, table: Table, walk: _Walk, dumped: dict[str, Any]) -> str:
    """The rows as numbers, with codes of factors and NaN for zeros where these count as missing."""
    names = dumped["feature_names"]
    levels = dumped.get("pandas_categorical") or []
    infos = dumped.get("feature_infos", {})
    factors = _pandas_factors(context, model, table, levels)
    cells: Table = []
    for place, cell in enumerate(table):
        info = infos.get(names[place], {}) if place < len(names) else {}
        if place in factors:
            cells += category_numbers(context, model, cell, factors[place])
        elif place in walk.factors or (info.get("values") and isinstance(cell, Text)):
            cells += _whole(context, model, cell)
        else:
            cells.append(cell)
    rows = context.numbers(model, cells)
    zeros = [walk.zero_is_missing.get(place, False) for place in range(len(table))]
    if any(zeros):
        graph = context.graph
        small = graph.add("LessOrEqual", graph.add("Abs", rows), graph.constant(_ZERO))
        lost = graph.add("And", small, graph.constant([zeros], np.bool_))
        rows = graph.add("Where", lost, graph.constant(np.nan), rows)
    return rows


def _pandas_factors(
    context: Context, model: Any, table: Table, levels: list[list[Any]]
) -> dict[int, list[Any]]:
    """Place → levels, for columns that were pandas categoricals; LightGBM has kept them in order."""
    places = [place for place, cell in enumerate(table) if _is_factor(context, cell)]
    if len(places) != len(levels):
        raise context.refuse(
            model,
            f"it was fitted with {len(levels)} pandas categoricals, and the sample has {len(places)}",
        )
    return dict(zip(places, levels))


def _is_factor(context: Context, cell: Cell) -> bool:
    return isinstance(cell, (Text, Raw)) and cell.name in context.inputs.factors


def _whole(context: Context, model: Any, cell: Cell) -> Table:
    """A factor that is given as numbers: LightGBM drops what follows the point."""
    from gristmill.serializing.table import made

    graph = context.graph
    value = context.numbers(model, [cell])
    size = graph.add("Floor", graph.add("Abs", value))
    return made(graph.add("Mul", graph.add("Sign", value), size), 1, [cell.origins])


def _finished(context: Context, model: Any, raw: str, width: int, objective: str) -> Prediction:
    graph = context.graph
    name, *options = objective.split()
    if name in _EXPONENTIAL:
        return Prediction("regression", links.exp(graph, raw), width)
    if name in _PLAIN:
        return Prediction("regression", links.sign_square(graph, raw) if "sqrt" in options else raw, width)
    if name in {"cross_entropy", "xentropy"}:
        return Prediction("regression", links.expit(graph, raw), width)
    found = re.search(r"sigmoid:([\d.eE+-]+)", objective)
    scale = float(found[1]) if found else 1.0
    classes = np.asarray(getattr(model, "classes_", np.arange(max(2, width))))
    if name == "binary":
        scores = links.two(graph, links.expit(graph, raw, scale))
        return Prediction("classification", scores, 2, classes, links.positive(graph, raw))
    if name in {"multiclass", "softmax"}:
        scores = links.softmax(graph, raw)
    elif name in {"multiclassova", "multiclass_ova", "ova", "ovr"}:
        scores = links.expit(graph, raw, scale)
    else:
        raise context.refuse(model, f"its objective {objective!r} is not known")
    return Prediction("classification", scores, width, classes, links.argmax(graph, scores))
