"""Trees and forests of scikit-learn: rows are compared in single precision, leaves summed in double."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gristmill.serializing import links
from gristmill.serializing.growing import Grove
from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.table import Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["grow", "single"]


def single(context: Context, model: Any, table: Table, estimator: Any) -> str:
    """The rows as its trees see them: rounded to single precision. Nulls pass if the trees take NaN."""
    takes_missing = getattr(estimator, "_support_missing_values", lambda _: False)(np.zeros((1, 1)))
    numbers = context.numbers(model, table) if takes_missing else context.finite(model, table)
    return context.graph.single(numbers)


def grow(grove: Grove, estimator: Any, values: NDArray[np.float64], target: int | None = None) -> None:
    """Add one fitted tree, with values for its nodes."""
    tree = estimator.tree_
    missing = getattr(tree, "missing_go_to_left", None)  # from scikit-learn 1.3 on
    grove.tree(
        feature=tree.feature,
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        missing_left=np.zeros(tree.node_count, bool) if missing is None else missing,
        values=values,
        target=target,
    )


def _values(estimator: Any, classifies: bool) -> NDArray[np.float64]:
    """[M, K] of its nodes: means, or shares of the classes."""
    values: NDArray[np.float64] = estimator.tree_.value
    if not classifies:
        return values[:, :, 0]
    shares = values[:, 0, :]
    total = shares.sum(axis=1, keepdims=True)
    # Counts until scikit-learn 1.2, shares since.
    return shares if np.allclose(total, 1.0) else shares / np.where(total == 0, 1.0, total)


@converts(
    "sklearn",
    *("DecisionTreeRegressor", "ExtraTreeRegressor", "RandomForestRegressor", "ExtraTreesRegressor"),
    *("DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier"),
)
def forest(context: Context, model: Any, table: Table) -> Prediction:
    """A tree, or the mean of several."""
    classifies = hasattr(model, "classes_")
    if classifies and model.n_outputs_ > 1:
        raise context.refuse(model, "it predicts several labels at once")
    trees = getattr(model, "estimators_", [model])
    width = len(model.classes_) if classifies else model.n_outputs_
    grove = Grove(width, "leq")
    for tree in trees:
        grow(grove, tree, _values(tree, classifies))
    graph = context.graph
    scores = grove.add_to(graph, single(context, model, table, trees[0]))
    if len(trees) > 1:
        scores = graph.add("Div", scores, graph.constant(float(len(trees))))
    if not classifies:
        return Prediction("regression", scores, width)
    return Prediction("classification", scores, width, model.classes_, links.argmax(graph, scores))
