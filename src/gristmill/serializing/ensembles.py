"""Models of models: votes, bags, stacks and calibrated ones are refused or put together from their parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.serializing import links
from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.table import Table

__all__ = ["bag", "vote"]


@converts("sklearn", "VotingRegressor", "VotingClassifier")
def vote(context: Context, model: Any, table: Table) -> Prediction:
    """The mean of the answers, or of the probabilities."""
    if getattr(model, "voting", "soft") != "soft":
        raise context.refuse(model, "it counts votes (voting='hard'), and has no probabilities")
    weights = model._weights_not_none
    named = [(name, each) for (name, _), each in zip(_kept(model.estimators), model.estimators_)]
    parts = []
    for name, each in named:
        with context.step(name):
            parts.append(context.convert(each, table))
    return _mean(context, model, parts, weights)


def _kept(estimators: Any) -> list[tuple[str, Any]]:
    return [(name, each) for name, each in estimators if not isinstance(each, str)]


@converts("sklearn", "BaggingRegressor", "BaggingClassifier")
def bag(context: Context, model: Any, table: Table) -> Prediction:
    """The mean over estimators, each of which may see some of the columns."""
    parts = []
    for place, (each, features) in enumerate(zip(model.estimators_, model.estimators_features_)):
        with context.step(str(place)):
            parts.append(context.convert(each, [table[int(feature)] for feature in features]))
    return _mean(context, model, parts, None)


def _mean(context: Context, model: Any, parts: list[Prediction], weights: Any) -> Prediction:
    graph, first = context.graph, parts[0]
    if any(part.width != first.width or not part.probabilities for part in parts):
        raise context.refuse(model, "its estimators do not answer alike, with probabilities of all classes")
    shares = np.ones(len(parts)) if weights is None else np.asarray(weights, np.float64)
    values = [
        part.scores if share == 1.0 else graph.add("Mul", part.scores, graph.constant(float(share)))
        for part, share in zip(parts, shares)
    ]
    total = values[0]
    for value in values[1:]:
        total = graph.add("Add", total, value)
    scores = graph.add("Div", total, graph.constant(float(shares.sum())))
    if first.classes is None:
        return Prediction("regression", scores, first.width)
    return Prediction("classification", scores, first.width, model.classes_, links.argmax(graph, scores))
