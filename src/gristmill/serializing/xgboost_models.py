"""XGBoost: everything is in single precision there, and so it is here, step by step, to be the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from gristmill.serializing import links
from gristmill.serializing.encoders import category_numbers
from gristmill.serializing.growing import Grove
from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.table import Table

__all__ = ["boosted", "predict_rows"]

_LOGISTIC = {"binary:logistic", "reg:logistic"}
_SOFTMAX = {"multi:softmax", "multi:softprob"}
_EXPONENTIAL = {"count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"}
_PLAIN = {
    *("reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror"),
    *("reg:quantileerror", "binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map"),
}


@converts("xgboost", "XGBModel", "Booster")
def boosted(context: Context, model: Any, table: Table) -> Prediction:
    """The base score's margin, the trees' leaves, and the link of the objective."""
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    learner = json.loads(booster.save_raw("json"))["learner"]
    name = learner["gradient_booster"]["name"]
    if name not in {"gbtree", "dart"}:
        raise context.refuse(model, f"its booster is {name!r}, and trees are what is scored")
    objective = learner["objective"]["name"]
    margin, width = _margin(context, model, learner, objective)
    grove = Grove(width, "lt")
    grove.constant(margin)
    for tree, target, weight in _trees(learner["gradient_booster"], _best(model, booster, learner, width)):
        _grow(context, model, grove, tree, target, weight)
    rows = _rows(context, model, table, booster)
    raw = grove.add_to(context.graph, context.graph.cast(rows, 1), narrow=True)
    return _finished(context, model, raw, width, objective)


def _margin(context: Context, model: Any, learner: dict[str, Any], objective: str) -> tuple[Any, int]:
    """The sum that trees are added to [K], and K; the file has it as a prediction."""
    about = learner["learner_model_param"]
    width = max(1, int(about["num_class"]), int(about.get("num_target", 1)))
    said = json.loads(about["base_score"]) if about["base_score"].startswith("[") else [about["base_score"]]
    base = np.broadcast_to(np.asarray(said, np.float32), (width,))
    with np.errstate(divide="ignore"):
        if objective in _LOGISTIC:
            return -_log(np.float32(1.0) / base - np.float32(1.0)), width
        if objective in _EXPONENTIAL:
            return _log(base), width
    if objective not in _PLAIN | _SOFTMAX:
        raise context.refuse(model, f"its objective {objective!r} is not known")
    return base, width


def _log(values: Any) -> Any:
    """The logarithm of floats, rounded from doubles: as the C library's, where numpy's own differs."""
    return np.log(np.asarray(values, np.float64)).astype(np.float32)


def _best(model: Any, booster: Any, learner: dict[str, Any], width: int) -> int | None:
    """How many rounds its class uses after early stopping; a Booster uses all."""
    best = learner.get("attributes", {}).get("best_iteration")
    if best is None or model is booster:
        return None
    return int(best) + 1


def _trees(booster: dict[str, Any], rounds: int | None) -> list[tuple[dict[str, Any], int, float]]:
    """Tree, target and weight, in the order in which they are summed."""
    inner = booster.get("gbtree", booster)["model"]
    trees, targets = inner["trees"], inner["tree_info"]
    weights = booster.get("weight_drop", [1.0] * len(trees))
    end = len(trees) if rounds is None else inner["iteration_indptr"][rounds]
    return list(zip(trees[:end], targets, weights))


def _grow(
    context: Context, model: Any, grove: Grove, tree: dict[str, Any], target: int, weight: float
) -> None:
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise context.refuse(
            model, "its trees have several targets each (multi_strategy='multi_output_tree')"
        )
    split = np.asarray(tree["split_conditions"], np.float32).astype(np.float64)
    left = np.asarray(tree["left_children"])
    grove.tree(
        feature=tree["split_indices"],
        threshold=split,
        left=left,
        right=tree["right_children"],
        missing_left=tree["default_left"],
        values=np.where(left < 0, split * np.float64(np.float32(weight)), 0.0),
        target=target,
        members=_members(tree),
    )


def _members(tree: dict[str, Any]) -> dict[int, tuple[float, ...]]:
    """Codes that go left; the file has those that go right."""
    found = {}
    starts, sizes = tree["categories_segments"], tree["categories_sizes"]
    for node, start, size in zip(tree["categories_nodes"], starts, sizes):
        right = set(tree["categories"][start : start + size])
        found[int(node)] = tuple(float(code) for code in range(_MOST_CODES) if code not in right)
    return found


#: Codes that are written for a split by a factor; more levels are refused.
_MOST_CODES = 64


def _rows(context: Context, model: Any, table: Table, booster: Any) -> str:
    """The rows as numbers; factors by the levels that the model has recorded."""
    types = booster.feature_types or []
    cells: Table = []
    for place, cell in enumerate(table):
        if place < len(types) and types[place] == "c":
            cells += category_numbers(context, model, cell, _levels(context, model, booster, place))
        else:
            cells.append(cell)
    rows = context.numbers(model, cells)
    missing = getattr(model, "missing", np.nan)
    if missing is not None and not np.isnan(missing):
        graph = context.graph
        lost = graph.add("Equal", rows, graph.constant(float(np.float32(missing))))
        rows = graph.add("Where", lost, graph.constant(np.nan), rows)
    return rows


def _levels(context: Context, model: Any, booster: Any, place: int) -> list[Any]:
    """Levels of a factor in the order of their codes, as XGBoost 3.1 and later records them."""
    stored = getattr(booster, "get_categories", None)
    names = booster.feature_names or []
    found: Any = stored(export_to_arrow=True).to_arrow() if stored is not None else None
    levels = dict(found or ()).get(names[place] if names else None)
    if levels is None:
        raise context.refuse(model, "it has factors whose levels it has not recorded (XGBoost 3.1 does)")
    values = list(levels.to_pylist())
    if len(values) > _MOST_CODES:
        raise context.refuse(model, f"column {names[place]!r} has more than {_MOST_CODES} levels")
    return values


def _finished(context: Context, model: Any, raw: str, width: int, objective: str) -> Prediction:
    graph = context.graph
    classifies = hasattr(model, "classes_") or objective == "binary:logistic" or objective in _SOFTMAX
    if classifies:
        return _classified(context, model, raw, width, objective)
    if objective in _EXPONENTIAL:
        raw = links.narrow_exp(graph, raw)
    elif objective in _LOGISTIC:
        raw = links.narrow_expit(graph, raw)
    return Prediction("regression", graph.cast(raw), width)


def _classified(context: Context, model: Any, raw: str, width: int, objective: str) -> Prediction:
    graph = context.graph
    classes = np.asarray(getattr(model, "classes_", np.arange(max(2, width))))
    if objective in _SOFTMAX:
        scores = links.narrow_softmax(graph, raw)
        return Prediction("classification", graph.cast(scores), width, classes, links.argmax(graph, raw))
    if objective not in _LOGISTIC:
        raise context.refuse(model, f"a classifier with the objective {objective!r} has no probabilities")
    if width > 1:
        raise context.refuse(model, "it predicts several labels at once")
    one = links.narrow_expit(graph, raw)
    scores, label = links.two(graph, one, np.float32), links.positive(graph, one, 0.5, np.float32)
    return Prediction("classification", graph.cast(scores), 2, classes, label)


def predict_rows(booster: Any, rows: Any) -> Any:
    """What a Booster predicts: of a softmax the probabilities, also where it would answer with classes."""
    import xgboost

    named = booster.feature_names is not None
    data = xgboost.DMatrix(rows if named else rows.to_numpy(), enable_categorical=True)
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if objective != "multi:softmax":
        return booster.predict(data)
    margin = np.asarray(booster.predict(data, output_margin=True), np.float64)
    powers = np.exp(margin - margin.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
