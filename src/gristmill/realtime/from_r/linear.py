"""lm, glm and glmnet: a model matrix times coefficients, offsets, and a link."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.realtime.from_r import checks
from gristmill.realtime.from_r.answers import Converted, Target, class_answer, finish, score_answer
from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.from_r.design import matrix_of
from gristmill.realtime.from_r.expressions import Inputs
from gristmill.realtime.from_r.links import scores_of
from gristmill.realtime.from_r.payload import Design, Linear
from gristmill.realtime.graphs.builder import Builder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["convert_linear"]


def convert_linear(model: Linear, target: Target) -> Converted:
    """The graph of a linear predictor per output."""
    builder = Builder()
    inputs = Inputs(builder, len(target.columns))
    weights = checks.matrix(model.coefficients, "its coefficients", (None, len(model.design.products)))
    outputs = len(weights)
    if outputs < 1 or (outputs > 1) != (model.answer == "classes"):
        raise refuse(f"it has {outputs} linear predictors, which does not fit its answer ({model.answer})")
    eta = _predictors(builder, model.design, weights, inputs)
    for offset in model.offsets:
        eta = builder.op("Add", eta, inputs.of(offset))
    scores = scores_of(builder, eta, model.link)
    if model.answer == "score":
        return finish(builder, score_answer(builder, scores, target), target)
    return finish(builder, class_answer(builder, scores, target, count=outputs), target)


def _predictors(builder: Builder, design: Design, weights: NDArray[np.float64], inputs: Inputs) -> str:
    """Linear predictors [N, K]; the intercept is added, instead of a column of ones being made for it."""
    varying = np.array([bool(product) for product in design.products])
    if varying.all() or not varying.any():
        return builder.op("MatMul", matrix_of(builder, design, inputs), weights.T.copy())
    rest = Design(blocks=design.blocks, products=[product for product in design.products if product])
    eta = builder.op("MatMul", matrix_of(builder, rest, inputs), weights[:, varying].T.copy())
    return builder.op("Add", eta, weights[:, ~varying].sum(axis=1)[None, :])
