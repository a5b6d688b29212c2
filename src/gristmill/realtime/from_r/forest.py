"""Forests and boosted trees: sums of leaves, and what is done with them."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from gristmill.realtime.from_r import checks
from gristmill.realtime.from_r.answers import Answer, Converted, Target, class_answer, finish, score_answer
from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.from_r.expressions import Inputs
from gristmill.realtime.from_r.links import scores_of
from gristmill.realtime.from_r.nodes import trees_of
from gristmill.realtime.from_r.payload import TreeModel
from gristmill.realtime.graphs.builder import Builder
from gristmill.realtime.graphs.trees import tree_nodes

__all__ = ["convert_trees"]


def convert_trees(model: TreeModel, target: Target) -> Converted:
    """The graph of an ensemble."""
    builder = Builder()
    inputs = Inputs(builder, len(target.columns))
    features = inputs.all(model.features)
    builder.add(tree_nodes(trees_of(model), features, "trees"))
    sums = _sums(builder, model, "trees")
    if model.null_rows:
        flags = builder.cast(builder.op("IsNaN", features))
        some = builder.op("ReduceMax", flags, np.array([1], np.int64), keepdims=1)
        sums = builder.op("Where", builder.cast(some, TensorProto.BOOL), float("nan"), sums)
    return finish(builder, _answer(builder, model, sums, target), target)


def _sums(builder: Builder, model: TreeModel, sums: str) -> str:
    """Sums [N, K] with the start value, divided, calibrated."""
    if model.start:
        start = checks.vector(model.start, "its start values", model.outputs)
        sums = builder.op("Add", sums, start[None, :])
    if model.divide != 1:
        sums = builder.op("Div", sums, float(model.divide))
    if model.calibration is not None:
        base, slope = checks.vector(model.calibration, "its bias correction", 2).tolist()
        sums = builder.op("Add", builder.op("Mul", sums, slope), base)
    return sums


def _answer(builder: Builder, model: TreeModel, sums: str, target: Target) -> Answer:
    scores = scores_of(builder, sums, model.link)
    if (model.outputs > 1) != (model.answer == "classes"):
        raise refuse(f"it has {model.outputs} sums, which does not fit its answer ({model.answer})")
    if model.answer == "score":
        return score_answer(builder, scores, target)
    ranked = None
    if model.cutoff is not None:
        cutoff = checks.vector(model.cutoff, "its cutoff", model.outputs)
        if (cutoff <= 0).any():
            raise refuse("a cutoff is not positive")
        ranked = builder.op("Div", scores, cutoff[None, :])
    return class_answer(builder, scores, target, count=model.outputs, ranked=ranked)
