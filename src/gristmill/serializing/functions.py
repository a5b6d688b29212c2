"""Functions of numpy as operators, where there is an equal in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gristmill.serializing.graph import Graph

__all__ = ["apply_function", "apply_named"]


def apply_function(graph: Graph, function: Any, value: str) -> str | None:
    """The function of each number, or None if there is no such operator; `function` is one of numpy's."""
    return apply_named(graph, function.__name__, value) if isinstance(function, np.ufunc) else None


def apply_named(graph: Graph, name: str, value: str) -> str | None:
    """The same by the function's name."""
    if name in _OPERATORS:
        return graph.add(_OPERATORS[name], value)
    return _COMPOSED[name](graph, value) if name in _COMPOSED else None


def _log1p(graph: Graph, x: str) -> str:
    """log(1 + x), right also for small x: log(u) x / (u - 1), u = 1 + x (Goldberg 1991, theorem 4)."""
    one = graph.constant(1.0)
    u = graph.add("Add", x, one)
    less = graph.add("Sub", u, one)
    exact = graph.add("Equal", u, one)
    ratio = graph.add("Div", x, graph.add("Where", exact, one, less))
    right = graph.add("Mul", graph.add("Log", u), ratio)
    endless = graph.add("IsInf", u)
    return graph.add("Where", exact, x, graph.add("Where", endless, u, right))


def _expm1(graph: Graph, x: str) -> str:
    """exp(x) - 1, also right for small x: (u - 1) x / log(u) with u = exp(x) (Kahan)."""
    one = graph.constant(1.0)
    u = graph.add("Exp", x)
    less = graph.add("Sub", u, one)
    exact = graph.add("Equal", u, one)
    small = graph.add("Less", graph.add("Abs", x), one)
    log = graph.add("Where", exact, one, graph.add("Log", u))
    right = graph.add("Div", graph.add("Mul", less, x), log)
    return graph.add("Where", exact, x, graph.add("Where", small, right, less))


def _square(graph: Graph, x: str) -> str:
    return graph.add("Mul", x, x)


def _log_base(base: float) -> Callable[[Graph, str], str]:
    def log(graph: Graph, x: str) -> str:
        return graph.add("Div", graph.add("Log", x), graph.constant(float(np.log(base))))

    return log


_OPERATORS = {
    "abs": "Abs",
    "absolute": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "exp": "Exp",
    "fabs": "Abs",
    "floor": "Floor",
    "log": "Log",
    "negative": "Neg",
    "reciprocal": "Reciprocal",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
}
_COMPOSED: dict[str, Callable[[Graph, str], str]] = {
    "expm1": _expm1,
    "log1p": _log1p,
    "log10": _log_base(10.0),
    "log2": _log_base(2.0),
    "square": _square,
}
