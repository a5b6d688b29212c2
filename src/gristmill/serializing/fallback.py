"""Everything else of scikit-learn, by skl2onnx, in double precision; the rest is refused."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import onnx

from gristmill.serializing import links
from gristmill.serializing.graph import OPSETS
from gristmill.serializing.registry import Context, Prediction
from gristmill.serializing.table import Table, made

__all__ = ["converted"]

#: What is not run: control flow, sizes that depend on values, and what would not be exact.
_REFUSED = {
    *("Compress", "ConstantOfShape", "Expand", "If", "Loop", "NonZero", "Range", "Scan", "SequenceMap"),
    *("LpNormalization", "Tile", "Unique"),
    # Single precision only:
    *("LinearClassifier", "LinearRegressor", "Scaler", "SVMClassifier", "SVMRegressor"),
    *("TreeEnsembleClassifier", "TreeEnsembleRegressor"),
}
_ONE = onnx.TensorProto.DOUBLE


def converted(context: Context, model: Any, table: Table) -> Any:
    """Apply a transformer or predictor that has no converter here. Raises InvalidInput if none has."""
    if not any(cls.__module__.startswith("sklearn.") for cls in type(model).__mro__):
        raise context.refuse(model, f"{type(model).__module__}.{type(model).__name__} is not known")
    value = context.finite(model, table)
    graph = _converted(context, model, len(table))
    prefix = context.graph.name(type(model).__name__.lower())
    names = {graph.input[0].name: value}
    nodes, tensors = _renamed(graph, prefix, names)
    context.graph.extend(nodes, tensors)
    outputs = [names[output.name] for output in graph.output]
    if hasattr(model, "predict"):
        return _prediction(context, model, len(table), outputs, graph)
    width = _width(model, len(table))
    if graph.output[0].type.tensor_type.elem_type != _ONE:
        outputs[0] = context.graph.cast(outputs[0])
    return made(outputs[0], width)


def _converted(context: Context, model: Any, width: int) -> onnx.GraphProto:
    skl2onnx = importlib.import_module("skl2onnx")
    kind = importlib.import_module("skl2onnx.common.data_types").DoubleTensorType([None, width])
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    newest = getattr(skl2onnx, "__max_supported_opset__", OPSETS[""])
    opsets = {"": min(OPSETS[""], newest), "ai.onnx.ml": 3}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = skl2onnx.convert_sklearn(
                model, initial_types=[("rows", kind)], options=options, target_opset=opsets
            )
    except Exception as error:  # noqa: BLE001 - skl2onnx raises many kinds for what it does not know
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise context.refuse(model, f"skl2onnx says: {first[:200]}") from None
    operators = {node.op_type for node in proto.graph.node}
    found = sorted(operators & _REFUSED)
    if found or proto.functions:
        raise context.refuse(model, f"skl2onnx makes the operator {(found or ['of its own'])[0]} of it")
    graph: onnx.GraphProto = proto.graph
    return graph


def _renamed(
    graph: onnx.GraphProto, prefix: str, names: dict[str, str]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Operators and constants with names of their own; `names` is filled."""

    def name(old: str) -> str:
        return names.setdefault(old, f"{prefix}_{old}") if old else ""

    nodes, tensors = [], []
    for tensor in graph.initializer:
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = name(tensor.name)
        tensors.append(copy)
    for node in graph.node:
        one = onnx.NodeProto()
        one.CopyFrom(node)
        one.name = f"{prefix}_{node.name}"
        for values in (one.input, one.output):
            renamed = [name(value) for value in values]
            del values[:]
            values.extend(renamed)
        nodes.append(one)
    return nodes, tensors


def _prediction(
    context: Context, model: Any, width: int, outputs: list[str], graph: onnx.GraphProto
) -> Prediction:
    if not hasattr(model, "classes_"):
        width = np.asarray(model.predict(np.zeros((1, width)))).size
        return Prediction("regression", _double(context, outputs[0], graph, 0), width)
    scores = _double(context, outputs[1], graph, 1)
    width = len(model.classes_)
    if not hasattr(model, "predict_proba"):
        raise context.refuse(model, "it has no probabilities")
    label = links.argmax(context.graph, scores)
    return Prediction("classification", scores, width, model.classes_, label)


def _double(context: Context, value: str, graph: onnx.GraphProto, place: int) -> str:
    if graph.output[place].type.tensor_type.elem_type == _ONE:
        return value
    return context.graph.cast(value)


def _width(model: Any, width: int) -> int:
    rows = np.zeros((1, width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return int(model.transform(rows).shape[1])
