"""Gradient boosting of scikit-learn, with exact and with binned splits."""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.serializing import links
from gristmill.serializing.growing import Grove
from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.sklearn_trees import grow, single
from gristmill.serializing.table import Table

__all__ = ["boosted", "histogram"]

_PLAIN = {"AbsoluteError", "HalfSquaredError", "HuberLoss", "PinballLoss"}
_LOGARITHMIC = {"HalfGammaLoss", "HalfPoissonLoss"}


def _finished(context: Context, model: Any, raw: str, width: int) -> Prediction:
    """What the sums mean, by the loss that was minimized."""
    graph, loss = context.graph, type(model._loss).__name__
    if loss in _PLAIN:
        return Prediction("regression", raw, width)
    if loss in _LOGARITHMIC:
        return Prediction("regression", links.exp(graph, raw), width)
    if loss in {"HalfBinomialLoss", "ExponentialLoss"}:
        scale = 2.0 if loss == "ExponentialLoss" else 1.0
        probabilities = links.two(graph, links.expit(graph, raw, scale))
        label = links.positive(graph, raw)
    elif loss == "HalfMultinomialLoss":
        probabilities, label = links.softmax(graph, raw), links.argmax(graph, raw)
    else:
        raise context.refuse(model, f"its loss {loss} is not known")
    return Prediction("classification", probabilities, max(2, width), model.classes_, label)


@converts("sklearn", "GradientBoostingRegressor", "GradientBoostingClassifier")
def boosted(context: Context, model: Any, table: Table) -> Prediction:
    """The first guess, and trees that are added at the learning rate."""
    if not isinstance(model.init_, str) and not type(model.init_).__name__.startswith("Dummy"):
        raise context.refuse(model, f"it starts from another model, {type(model.init_).__name__}")
    width = model.estimators_.shape[1]
    grove = Grove(width, "leq")
    grove.constant(model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32)))
    for stage in model.estimators_:
        for target, tree in enumerate(stage):
            grow(grove, tree, model.learning_rate * tree.tree_.value[:, 0, 0], target)
    raw = grove.add_to(context.graph, single(context, model, table, None))
    return _finished(context, model, raw, width)


@converts("sklearn", "HistGradientBoostingRegressor", "HistGradientBoostingClassifier")
def histogram(context: Context, model: Any, table: Table) -> Prediction:
    """Trees over doubles; factors are split by sets of their codes, NaN has a branch of its own."""
    prepare = getattr(model, "_preprocessor", None)
    if prepare is not None:
        table = context.convert(prepare, table)
    width = model.n_trees_per_iteration_
    grove = Grove(width, "leq")
    grove.constant(model._baseline_prediction)
    for stage in model._predictors:
        for target, predictor in enumerate(stage):
            _grow_binned(grove, predictor, target)
    raw = grove.add_to(context.graph, context.numbers(model, table))
    return _finished(context, model, raw, width)


def _grow_binned(grove: Grove, predictor: Any, target: int) -> None:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    factors = np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
    grove.tree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"],
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        missing_left=nodes["missing_go_to_left"],
        values=nodes["value"],
        target=target,
        members={
            int(node): _codes(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]) for node in factors
        },
    )


def _codes(words: Any) -> tuple[float, ...]:
    """The numbers whose bits are set in 8 words of 32 bits."""
    bits = np.unpackbits(np.asarray(words, "<u4").view(np.uint8), bitorder="little")
    return tuple(float(code) for code in np.flatnonzero(bits))
