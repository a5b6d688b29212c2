"""lm, glm and glmnet: a model matrix times coefficients, offsets, and a link."""

from __future__ import annotations

from gristmill.realtime.from_r import checks
from gristmill.realtime.from_r.answers import Converted, Target, class_answer, finish, score_answer
from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.from_r.design import matrix_of
from gristmill.realtime.from_r.expressions import Inputs
from gristmill.realtime.from_r.links import scores_of
from gristmill.realtime.from_r.payload import Linear
from gristmill.realtime.graphs.builder import Builder

__all__ = ["convert_linear"]


def convert_linear(model: Linear, target: Target) -> Converted:
    """The graph of a linear predictor per output."""
    builder = Builder()
    inputs = Inputs(builder, len(target.columns))
    design = matrix_of(builder, model.design, inputs)
    weights = checks.matrix(model.coefficients, "its coefficients", (None, len(model.design.products)))
    outputs = len(weights)
    if outputs < 1 or (outputs > 1) != (model.answer == "classes"):
        raise refuse(f"it has {outputs} linear predictors, which does not fit its answer ({model.answer})")
    eta = builder.op("MatMul", design, weights.T.copy())
    for offset in model.offsets:
        eta = builder.op("Add", eta, inputs.of(offset))
    scores = scores_of(builder, eta, model.link)
    if model.answer == "score":
        return finish(builder, score_answer(builder, scores, target), target)
    return finish(builder, class_answer(builder, scores, target, count=outputs), target)
