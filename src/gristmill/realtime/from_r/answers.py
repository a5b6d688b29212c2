"""The last step of a graph: a score, or probabilities and the label, under the names that callers see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.graphs.builder import Builder

__all__ = ["Answer", "Converted", "Target", "class_answer", "finish", "score_answer", "target_of"]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A model as a graph, with what its description says of the tensors."""

    model: onnx.ModelProto
    feeds: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the description says that matters for a graph."""

    columns: Sequence[str]
    classes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Outputs of the graph, (name, type, width), and the columns of the answer that are made of them."""

    tensors: list[tuple[str, int, int | None]]
    outputs: list[dict[str, Any]]


def score_answer(builder: Builder, score: str, target: Target) -> Answer:
    """The answer of a regression: `score` [N, 1]."""
    if target.classes:
        raise refuse("it predicts a number, and the description has classes")
    builder.name(score, "Score")
    output = {"name": "Score", "type": "numeric", "tensor": "Score", "index": 0}
    return Answer(tensors=[("Score", TensorProto.DOUBLE, 1)], outputs=[output])


def class_answer(
    builder: Builder,
    probabilities: str,
    target: Target,
    *,
    count: int,
    ranked: str | None = None,
    label: str | None = None,
) -> Answer:
    """The answer of a classifier: `probabilities` [N, K], one column each if `count` is K.

    With a count of 1 it is the probability of the second of two classes. The label is `label` [N] of int64,
    or the first highest of `ranked`, by default the probabilities; there is none where they are NaN.
    """
    classes = target.classes
    if len(classes) != (2 if count == 1 else count):
        raise refuse(f"it predicts {max(count, 2)} classes, and the description has {len(classes)}")
    if count == 1:
        ranked = builder.op("Concat", builder.constant_like(probabilities, 0.5), probabilities, axis=1)
        rest = builder.op("Sub", 1.0, probabilities)
        probabilities = builder.op("Concat", rest, probabilities, axis=1)
    if label is None:
        label = builder.op("ArgMax", ranked or probabilities, axis=1, keepdims=0)
    missing = builder.op("IsNaN", builder.op("ReduceSum", probabilities, np.array([1], np.int64), keepdims=0))
    builder.op("Where", missing, np.array(-1, np.int64), label, out="Label")
    builder.name(probabilities, "Probability")
    outputs = [{"name": "PredictedLabel", "type": "character", "tensor": "Label", "index": 0}] + [
        {"name": f"Probability.{name}", "type": "numeric", "tensor": "Probability", "index": k}
        for k, name in enumerate(classes)
    ]
    tensors = [
        ("Label", int(TensorProto.INT64), None),
        ("Probability", int(TensorProto.DOUBLE), len(classes)),
    ]
    return Answer(tensors=tensors, outputs=outputs)


def finish(builder: Builder, answer: Answer, target: Target) -> Converted:
    """The graph, once all is in it."""
    feed = {"name": "X", "dtype": "double", "columns": list(target.columns)}
    model = builder.model(("X", len(target.columns)), answer.tensors)
    return Converted(model=model, feeds=[feed], outputs=answer.outputs)


def target_of(description: Mapping[str, Any]) -> Target:
    """What of a parsed description matters here."""
    names = [column["name"] for column in description["columns"]]
    return Target(columns=names, classes=list(description.get("classes", ())))
