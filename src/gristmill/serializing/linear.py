"""Linear models of scikit-learn: one product of matrices, and a link."""

from __future__ import annotations

from typing import Any

import numpy as np

from gristmill.serializing import links
from gristmill.serializing.registry import Context, Prediction, converts
from gristmill.serializing.table import Table

__all__ = ["classified", "linear_scores"]


def linear_scores(context: Context, model: Any, table: Table) -> tuple[str, int]:
    """X coef' + intercept as [N, k], and k."""
    graph = context.graph
    coef = np.atleast_2d(np.asarray(getattr(model.coef_, "toarray", lambda: model.coef_)(), np.float64))
    intercept = np.broadcast_to(np.asarray(model.intercept_, np.float64).reshape(1, -1), (1, len(coef)))
    product = graph.add("MatMul", context.finite(model, table), graph.constant(coef.T))
    return graph.add("Add", product, graph.constant(intercept)), len(coef)


@converts(
    "sklearn",
    *("ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars", "LarsCV"),
    *("Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "LinearSVR"),
    *("MultiTaskElasticNet", "MultiTaskLasso", "OrthogonalMatchingPursuit", "QuantileRegressor", "Ridge"),
    *("RidgeCV", "SGDRegressor", "TheilSenRegressor"),
)
def regression(context: Context, model: Any, table: Table) -> Prediction:
    """The linear score itself."""
    return Prediction("regression", *linear_scores(context, model, table))


@converts("sklearn", "GammaRegressor", "PoissonRegressor", "TweedieRegressor")
def generalized(context: Context, model: Any, table: Table) -> Prediction:
    """A generalized linear model: its link is the logarithm, or none."""
    scores, width = linear_scores(context, model, table)
    link = type(model._base_loss.link).__name__
    if link == "LogLink":
        scores = links.exp(context.graph, scores)
    elif link != "IdentityLink":
        raise context.refuse(model, f"its link {link} is not known")
    return Prediction("regression", scores, width)


def classified(context: Context, model: Any, scores: str, width: int, how: str) -> Prediction:
    """Probabilities of linear scores: `how` is logistic, softmax, shares, or none to leave them."""
    graph = context.graph
    label = links.positive(graph, scores) if width == 1 else links.argmax(graph, scores)
    if how == "none":
        return Prediction("classification", scores, width, model.classes_, label, probabilities=False)
    if how == "softmax":
        wide = graph.add("Concat", graph.add("Neg", scores), scores, axis=1) if width == 1 else scores
        probabilities = links.softmax(graph, wide)
    else:
        probabilities = links.expit(graph, scores)
        if width == 1:
            probabilities = links.two(graph, probabilities)
        else:
            total = graph.add("ReduceSum", probabilities, graph.constant([1], np.int64), keepdims=1)
            probabilities = graph.add("Div", probabilities, total)
    return Prediction("classification", probabilities, max(width, 2), model.classes_, label)


@converts("sklearn", "LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis")
def logistic(context: Context, model: Any, table: Table) -> Prediction:
    """Logistic of the score for two classes; for more softmax, or each against the rest."""
    scores, width = linear_scores(context, model, table)
    asked = getattr(model, "multi_class", "auto")  # until scikit-learn 1.7
    rest = asked == "ovr" or (asked != "multinomial" and getattr(model, "solver", "") == "liblinear")
    if width == 1:
        how = "softmax" if asked == "multinomial" else "logistic"
    else:
        how = "shares" if rest else "softmax"
    return classified(context, model, scores, width, how)


@converts(
    "sklearn",
    *("LinearSVC", "PassiveAggressiveClassifier", "Perceptron", "RidgeClassifier", "RidgeClassifierCV"),
)
def distances(context: Context, model: Any, table: Table) -> Prediction:
    """Classifiers without probabilities: the score is the distance from the boundary."""
    return classified(context, model, *linear_scores(context, model, table), "none")


@converts("sklearn", "SGDClassifier")
def descended(context: Context, model: Any, table: Table) -> Prediction:
    """Has probabilities if its loss is the logistic one."""
    if model.loss == "modified_huber":
        raise context.refuse(model, "probabilities of the loss 'modified_huber' are not known here")
    scores, width = linear_scores(context, model, table)
    how = ("logistic" if width == 1 else "shares") if model.loss in {"log_loss", "log"} else "none"
    return classified(context, model, scores, width, how)
