"""A graph of ONNX as it grows: operators are added by name, and constants get names of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IR", "OPSETS", "Feed", "Graph"]

#: What the server takes at most.
IR = 10
OPSETS = {"": 21, "ai.onnx.ml": 5}
_TYPES = {"double": TensorProto.DOUBLE, "string": TensorProto.STRING}


class Feed(NamedTuple):
    """An input tensor [N, columns], and which columns of the frame lie in it."""

    name: str
    dtype: str  #: double or string
    columns: tuple[str, ...]


class Graph:
    """Operators in the order in which they were added; a value is the name of a tensor, [N, k] of doubles."""

    def __init__(self) -> None:
        self._first: list[onnx.NodeProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: list[onnx.TensorProto] = []
        self._count = 0

    def name(self, hint: str = "t") -> str:
        """A name that no tensor has yet."""
        self._count += 1
        return f"{hint}_{self._count}"

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Apply an operator; its only output."""
        output = self.name(operator.lower())
        self._nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def first(
        self, operator: str, inputs: list[str], output: str, *, domain: str = "", **attributes: Any
    ) -> None:
        """Apply an operator before all others; its output has been used already."""
        self._first.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))

    def extend(self, nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto] | None = None) -> None:
        """Operators and constants that were made elsewhere."""
        self._nodes.extend(nodes)
        self._tensors.extend(tensors or ())

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        """The name of a constant; one of equal content is used again."""
        array: NDArray[Any] = np.ascontiguousarray(value, dtype=dtype).reshape(np.shape(value))
        key = (str(array.dtype), array.shape, array.tobytes())
        if array.dtype == object or key not in self._constants:
            name = self.name("c")
            self._tensors.append(numpy_helper.from_array(array, name))
            self._constants[key] = name
        return self._constants[key]

    def cast(self, value: str, to: int = TensorProto.DOUBLE) -> str:
        """The value as another type."""
        return self.add("Cast", value, to=to)

    def take(self, value: str, columns: Any) -> str:
        """Some columns of a value, in the order that is given."""
        return self.add("Gather", value, self.constant(columns, np.int64), axis=1)

    def single(self, value: str) -> str:
        """The value rounded to single precision, as doubles: what is done before a comparison in floats."""
        return self.cast(self.cast(value, TensorProto.FLOAT))

    def model(self, feeds: list[Feed], outputs: dict[str, tuple[int, int]], doc: str) -> onnx.ModelProto:
        """The whole of it; `outputs` are tensors [N, k], their types and their k."""
        inputs = [
            helper.make_tensor_value_info(feed.name, _TYPES[feed.dtype], ["N", len(feed.columns)])
            for feed in feeds
        ]
        made = [
            helper.make_tensor_value_info(name, kind, ["N", width]) for name, (kind, width) in outputs.items()
        ]
        nodes = self._first + self._nodes
        used = {name for node in nodes for name in node.input}
        tensors = [tensor for tensor in self._tensors if tensor.name in used]
        graph = helper.make_graph(nodes, "model", inputs, made, tensors)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR, producer_name="gristmill", doc_string=doc
        )
