"""Support vector regression: kernels with the support vectors, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.table import Table

__all__ = ["support_vectors"]


@converts("sklearn", "SVR", "NuSVR")
def support_vectors(context: Context, model: Any, table: Table) -> Prediction:
    """K(x, support vectors) dual_coef' + intercept."""
    graph, value = context.graph, context.finite(model, table)
    if not isinstance(model.kernel, str) or hasattr(model.dual_coef_, "toarray"):
        raise context.refuse(model, "its kernel is a function, or it was fitted to a sparse matrix")
    product = graph.add("MatMul", value, graph.constant(model.support_vectors_.T))
    kernel = _kernel(context, model, value, product)
    score = graph.add("MatMul", kernel, graph.constant(model.dual_coef_.T))
    return Prediction(
        "regression", graph.add("Add", score, graph.constant(model.intercept_.reshape(1, 1))), 1
    )


def _kernel(context: Context, model: Any, value: str, product: str) -> str:
    graph, gamma = context.graph, context.graph.constant(float(model._gamma))
    if model.kernel == "linear":
        return product
    if model.kernel == "rbf":
        lengths = (model.support_vectors_**2).sum(axis=1).reshape(1, -1)
        squares = graph.add("ReduceSumSquare", value, graph.constant([1], np.int64), keepdims=1)
        apart = graph.add("Add", squares, graph.constant(lengths))
        apart = graph.add("Sub", apart, graph.add("Mul", product, graph.constant(2.0)))
        return graph.add("Exp", graph.add("Neg", graph.add("Mul", apart, gamma)))
    shifted = graph.add("Add", graph.add("Mul", product, gamma), graph.constant(float(model.coef0)))
    if model.kernel == "sigmoid":
        return graph.add("Tanh", shifted)
    if model.kernel == "poly":
        return graph.add("Pow", shifted, graph.constant(float(model.degree)))
    raise context.refuse(model, f"its kernel {model.kernel!r} is not known")
