"""Multi-layer perceptrons of scikit-learn."""

from __future__ import annotations

from typing import Any

from gristmill.serializing import links
from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.table import Table

__all__ = ["perceptron"]


@converts("sklearn", "MLPRegressor", "MLPClassifier")
def perceptron(context: Context, model: Any, table: Table) -> Prediction:
    """Products of matrices, with an activation after each."""
    graph, value = context.graph, context.finite(model, table)
    last = len(model.coefs_) - 1
    for layer, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_)):
        product = graph.add("MatMul", value, graph.constant(weights))
        value = graph.add("Add", product, graph.constant(bias.reshape(1, -1)))
        value = _activated(
            context, model, value, model.out_activation_ if layer == last else model.activation
        )
    width = model.coefs_[-1].shape[1]
    if not hasattr(model, "classes_"):
        return Prediction("regression", value, width)
    if width == 1:
        label = links.positive(graph, value, 0.5)
        return Prediction("classification", links.two(graph, value), 2, model.classes_, label)
    if model.out_activation_ != "softmax":
        raise context.refuse(model, "it predicts several labels at once")
    return Prediction("classification", value, width, model.classes_, links.argmax(graph, value))


def _activated(context: Context, model: Any, value: str, activation: str) -> str:
    graph = context.graph
    if activation == "identity":
        return value
    if activation == "logistic":
        return links.expit(graph, value)
    if activation == "softmax":
        return links.softmax(graph, value)
    if activation in {"relu", "tanh", "exp"}:
        return graph.add(activation.title(), value)
    raise context.refuse(model, f"its activation {activation!r} is not known")
