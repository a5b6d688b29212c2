"""Writes ONNX graphs step by step: operators by name, numbers as constants. For models that come from R."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Builder", "Operand"]

#: Name of a tensor, or a constant: a double, or an array of any type.
Operand = Union[str, float, "NDArray[Any]"]

_OPSET, _ML_OPSET, _IR = 21, 5, 10


class Builder:
    """A graph that grows; tensors get names by themselves."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}

    def constant(self, value: float | NDArray[Any]) -> str:
        """Name of a constant; equal ones are there once."""
        array = np.asarray(value) if isinstance(value, np.ndarray) else np.asarray(value, np.float64)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"c{len(self._constants)}")
        name: str = self._constants[key].name
        return name

    def op(self, kind: str, *operands: Operand, out: str | None = None, **attributes: Any) -> str:
        """Add a standard operator with one output, and return the output's name."""
        inputs = [each if isinstance(each, str) else self.constant(each) for each in operands]
        name = out or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def add(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Add operators that something else has made."""
        self._nodes.extend(nodes)

    def name(self, tensor: str, out: str) -> None:
        """Give a tensor the name of an output."""
        self.op("Identity", tensor, out=out)

    def constant_like(self, tensor: str, value: float) -> str:
        """A tensor of the shape of `tensor` with this value everywhere, also where that has NaN."""
        present = self.op("Equal", self.op("IsNaN", tensor), self.op("IsNaN", tensor))
        return self.op("Mul", self.cast(present), value)

    def cast(self, tensor: Operand, to: int = TensorProto.DOUBLE) -> str:
        """The tensor as another type: doubles, unless said otherwise."""
        return self.op("Cast", tensor, to=to)

    def columns(self, tensor: str, numbers: Sequence[int], width: int) -> str:
        """The columns of these numbers of `tensor` [N, width]; itself if that is all of them in order."""
        if list(numbers) == list(range(width)):
            return tensor
        return self.op("Gather", tensor, np.asarray(numbers, np.int64), axis=1)

    def model(
        self, feed: tuple[str, int], outputs: Sequence[tuple[str, int, int | None]], *, ir: int = _IR
    ) -> onnx.ModelProto:
        """The graph as a model. A feed is (name, width) of doubles; an output (name, type, width or None)."""
        name, width = feed
        inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", width])]
        results = [
            helper.make_tensor_value_info(each, kind, ["N"] if size is None else ["N", size])
            for each, kind, size in outputs
        ]
        graph = helper.make_graph(self._nodes, "model", inputs, results, list(self._constants.values()))
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir, producer_name="gristmill")
