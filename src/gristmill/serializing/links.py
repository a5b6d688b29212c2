"""From a model's linear or summed score to what it answers: logistic, softmax, exponential and the like.

Composed of operators that have double precision: ONNX Runtime's Sigmoid is good to 1e-8 only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.serializing.graph import Graph

__all__ = [
    "argmax",
    "exp",
    "expit",
    "narrow_exp",
    "narrow_expit",
    "narrow_softmax",
    "positive",
    "sign_square",
    "softmax",
    "two",
]

_FLOAT = 1  #: ONNX's number for single precision


def expit(graph: Graph, value: str, scale: float = 1.0) -> str:
    """1 / (1 + exp(-scale x))."""
    inner = graph.add("Neg", value) if scale == 1.0 else graph.add("Mul", value, graph.constant(-scale))
    return graph.add("Div", graph.constant(1.0), graph.add("Add", graph.constant(1.0), exp(graph, inner)))


def exp(graph: Graph, value: str) -> str:
    """Euler's number to the power of x."""
    return graph.add("Exp", value)


def narrow_exp(graph: Graph, value: str) -> str:
    """The exponential of floats, rounded from doubles: what the C library's expf gives, but for few bits."""
    return graph.cast(exp(graph, graph.cast(value)), _FLOAT)


def narrow_expit(graph: Graph, value: str) -> str:
    """1 / (1 + exp(-x)) of floats, each step rounded to a float, as XGBoost does."""
    one = graph.constant(1.0, np.float32)
    return graph.add("Div", one, graph.add("Add", narrow_exp(graph, graph.add("Neg", value)), one))


def narrow_softmax(graph: Graph, value: str) -> str:
    """Softmax of floats [N, k], with the sum in doubles, as XGBoost does."""
    along = graph.constant([1], np.int64)
    largest = graph.add("ReduceMax", value, along, keepdims=1)
    powers = narrow_exp(graph, graph.add("Sub", value, largest))
    total = graph.add("ReduceSum", graph.cast(powers), along, keepdims=1)
    return graph.add("Div", powers, graph.cast(total, _FLOAT))


def softmax(graph: Graph, value: str) -> str:
    """Exponentials of a row [N, k], divided by their sum."""
    return graph.add("Softmax", value, axis=1)


def two(graph: Graph, probability: str, dtype: Any = np.float64) -> str:
    """[N, 2] of the second's probability [N, 1]."""
    return graph.add("Concat", graph.add("Sub", graph.constant(1.0, dtype), probability), probability, axis=1)


def positive(graph: Graph, value: str, above: float = 0.0, dtype: Any = np.float64) -> str:
    """[N, 1] int64: 1 where the value is above a bound."""
    return graph.cast(graph.add("Greater", value, graph.constant(above, dtype)), 7)


def argmax(graph: Graph, value: str) -> str:
    """[N, 1] int64: place of the largest, the first of several."""
    return graph.add("ArgMax", value, axis=1, keepdims=1)


def sign_square(graph: Graph, value: str) -> str:
    """The square with the sign of x, the inverse of a signed root."""
    return graph.add("Mul", value, graph.add("Abs", value))
