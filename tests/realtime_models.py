"""Small realtime models for tests, made by hand."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gristmill.realtime.container import write

__all__ = ["description", "doubling", "graph", "model_file"]


def graph(
    nodes: list[onnx.NodeProto], columns: int, constants: dict[str, Any] | None = None
) -> onnx.ModelProto:
    """A model from X, doubles [rows, columns], to Y, doubles [rows, 1]."""
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, columns])],
        [helper.make_tensor_value_info("Y", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def description(**changes: Any) -> dict[str, Any]:
    """Of a model with the column x, whose score is twice x."""
    return {
        "format": 1,
        "payload": "onnx",
        "task": "regression",
        "origin": {"language": "Python 3.11"},
        "columns": [{"name": "x", "type": "numeric", "missing": "pass"}],
        "feeds": [{"name": "X", "dtype": "double", "columns": ["x"]}],
        "outputs": [{"name": "Score", "type": "numeric", "tensor": "Y"}],
        "sample": {"columns": {"x": [1.0, 2.5, None]}, "expected": {"Score": [2.0, 5.0, None]}},
        **changes,
    }


@functools.cache
def doubling() -> bytes:
    """The graph of that model."""
    nodes = [helper.make_node("Mul", ["X", "two"], ["Y"])]
    content: bytes = graph(nodes, 1, {"two": np.array([[2.0]])}).SerializeToString()
    return content


def model_file(payload: bytes | None = None, **changes: Any) -> bytes:
    """The file of that model, with another graph or description."""
    return write(description(**changes), doubling() if payload is None else payload)
