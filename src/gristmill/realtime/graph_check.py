"""Which graphs are scored: standard operators without control flow, whose sizes no value of a row can choose.

Runs where models are vetted; a server that scores does not import it.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import AttributeProto, TensorProto

from gristmill.errors import InvalidInput
from gristmill.realtime.description import Description

__all__ = ["check_graph"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Every operator that may occur, by domain: functions of their inputs alone, with no state and no randomness.
_ALLOWED = {
    "": _names(
        """
        Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr
        BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat Constant ConstantOfShape Cos Cosh CumSum Div
        Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater
        GreaterOrEqual HardSigmoid HardSwish Hardmax Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log
        LogSoftmax MatMul Max Mean Min Mish Mod Mul Neg Not OneHot Or PRelu Pow Reciprocal ReduceL1 ReduceL2
        ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
        Reshape Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus
        Softsign Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu TopK Transpose Unsqueeze Where Xor
        """
    ),
    "ai.onnx.ml": _names(
        """
        ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LabelEncoder LinearClassifier
        LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble
        TreeEnsembleClassifier TreeEnsembleRegressor
        """
    ),
}
#: Inputs of an operator that choose how large its result is, by position.
_CHOOSERS = {"ConstantOfShape": (0,), "Expand": (1,), "OneHot": (1,), "Reshape": (1,), "TopK": (1,)}
_TYPES = {
    "double": TensorProto.DOUBLE,
    "float": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}
_MOST_NODES, _NEWEST_IR = 50_000, 10
_NEWEST_OPSETS = {"": 21, "ai.onnx.ml": 5}


def check_graph(graph: bytes, description: Description) -> None:
    """Raise InvalidInput unless `graph` is an ONNX model that fits its description and may be scored."""
    try:
        model = onnx.load_model_from_string(graph)
    except Exception as error:  # noqa: BLE001 - whatever the parser says of hostile bytes
        raise InvalidInput(f"the model's graph is not ONNX: {error}") from None
    _check_model(model)
    _check_nodes(model.graph.node)
    _check_tensors(model.graph, description)
    _check_sizes(model.graph)
    try:
        onnx.checker.check_model(model, full_check=False)
    except Exception as error:  # noqa: BLE001 - the checker raises what it likes
        raise InvalidInput(f"the model's graph is not valid ONNX: {_start(error)}") from None


def _check_model(model: onnx.ModelProto) -> None:
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise InvalidInput(
            "the model's graph has functions, training or sparse tensors: only plain graphs are scored"
        )
    if model.ir_version > _NEWEST_IR:
        raise InvalidInput(f"the model's graph has IR version {model.ir_version}, {_NEWEST_IR} at most")
    for opset in model.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        if domain not in _NEWEST_OPSETS:
            raise InvalidInput(
                f"the model's graph uses operators of {opset.domain!r}: only ONNX's own are scored"
            )
        if opset.version > _NEWEST_OPSETS[domain]:
            raise InvalidInput(
                f"the model's graph uses opset {opset.version} of {domain or 'ai.onnx'!r}, "
                f"{_NEWEST_OPSETS[domain]} at most"
            )
    for tensor in model.graph.initializer:
        _check_constant(tensor)


def _check_constant(tensor: onnx.TensorProto) -> None:
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise InvalidInput(
            f"the tensor {tensor.name!r} of the model lies in another file: it has to be inside"
        )


def _check_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    for number, node in enumerate(nodes):
        if number >= _MOST_NODES:
            raise InvalidInput(f"the model's graph has more than {_MOST_NODES} operators")
        domain = "" if node.domain == "ai.onnx" else node.domain
        if node.op_type not in _ALLOWED.get(domain, ()):
            raise InvalidInput(
                f"the model's graph has the operator {node.domain}:{node.op_type}, which is not scored"
            )
        for attribute in node.attribute:
            if attribute.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS}:
                raise InvalidInput(f"the operator {node.op_type} of the model holds a graph of its own")
            for tensor in (attribute.t, *attribute.tensors):
                _check_constant(tensor)


def _check_tensors(graph: onnx.GraphProto, description: Description) -> None:
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {each.name: each.type.tensor_type for each in graph.input if each.name not in constants}
    feeds = {feed.name: feed for feed in description.feeds}
    if set(inputs) != set(feeds):
        raise InvalidInput(
            f"the model's graph takes {sorted(inputs)}, and its description feeds {sorted(feeds)}"
        )
    for name, feed in feeds.items():
        if inputs[name].elem_type != _TYPES[feed.dtype]:
            raise InvalidInput(
                f"input {name!r} of the model's graph is not of type {feed.dtype}, as described"
            )
        dims = inputs[name].shape.dim
        if len(dims) != 2 or (dims[0].HasField("dim_value") and dims[0].dim_value != -1):
            raise InvalidInput(f"input {name!r} of the model's graph has to be [any number of rows, columns]")
        if dims[1].HasField("dim_value") and dims[1].dim_value not in {-1, len(feed.columns)}:
            raise InvalidInput(
                f"input {name!r} of the model's graph has {dims[1].dim_value} columns, described are "
                f"{len(feed.columns)}"
            )
    found = {each.name for each in graph.output}
    for output in description.outputs:
        if output.tensor not in found:
            raise InvalidInput(
                f"{output.name!r} is to be the tensor {output.tensor!r}, no output of the graph"
            )


def _check_sizes(graph: onnx.GraphProto) -> None:
    """Sizes may follow from the number of rows, by Shape and Size; not from what is in a row."""
    of_values = {each.name for each in graph.input} - {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        for position in _CHOOSERS.get(node.op_type, ()):
            if position < len(node.input) and node.input[position] in of_values:
                raise InvalidInput(
                    f"the operator {node.op_type} makes a tensor whose size a row's values choose"
                )
        if node.op_type not in {"Shape", "Size"} and not of_values.isdisjoint(node.input):
            of_values.update(node.output)


def _start(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
