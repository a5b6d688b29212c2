"""nnet and multinom: one layer of hidden units at most, and direct connections."""

from __future__ import annotations

from gristmill.realtime.from_r import checks
from gristmill.realtime.from_r.answers import Converted, Target, class_answer, finish, score_answer
from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.from_r.design import matrix_of
from gristmill.realtime.from_r.expressions import Inputs
from gristmill.realtime.from_r.links import logistic, softmax
from gristmill.realtime.from_r.payload import Network
from gristmill.realtime.graphs.builder import Builder

__all__ = ["convert_network"]


def convert_network(model: Network, target: Target) -> Converted:
    """The graph of a network."""
    builder = Builder()
    width, hidden = len(model.design.products), len(model.hidden)
    outer = checks.matrix(model.output, "weights of its outputs", (None, 1 + hidden))
    outputs = len(outer)
    if outputs < 1 or (outputs > 1) != (model.answer == "classes"):
        raise refuse(f"it has {outputs} output units, which does not fit its answer ({model.answer})")
    x = matrix_of(builder, model.design, Inputs(builder, len(target.columns)))
    # Without hidden units and connections only the bias is left, which a row with NaN still has not.
    direct = [[0.0] * width] * outputs if model.skip is None and not hidden else model.skip
    sums = []
    if hidden:
        inner = checks.matrix(model.hidden, "weights of its hidden units", (hidden, 1 + width))
        units = builder.op("Add", builder.op("MatMul", x, inner[:, 1:].T.copy()), inner[None, :, 0])
        sums.append(builder.op("MatMul", _unit(builder, units), outer[:, 1:].T.copy()))
    if direct is not None:
        skip = checks.matrix(direct, "its direct connections", (outputs, width))
        sums.append(builder.op("MatMul", x, skip.T.copy()))
    total = builder.op("Add", *sums) if len(sums) > 1 else sums[0]
    scores = _activated(builder, builder.op("Add", total, outer[None, :, 0]), model.activation)
    if model.answer == "score":
        return finish(builder, score_answer(builder, scores, target), target)
    return finish(builder, class_answer(builder, scores, target, count=outputs), target)


def _unit(builder: Builder, x: str) -> str:
    """The sigmoid of nnet.c, which is 0 or 1 beyond -15 and 15."""
    bent = builder.op("Where", builder.op("Greater", x, 15.0), 1.0, logistic(builder, x))
    return builder.op("Where", builder.op("Less", x, -15.0), 0.0, bent)


def _activated(builder: Builder, x: str, activation: str) -> str:
    if activation == "identity":
        return x
    return softmax(builder, x) if activation == "softmax" else _unit(builder, x)
