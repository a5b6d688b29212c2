"""Trees of any library, gathered one by one into the arrays of `Trees`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from onnx import TensorProto, numpy_helper

from gristmill.realtime.graphs.trees import Trees, tree_nodes
from gristmill.serializing.graph import Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Grove"]


class Grove:
    """Trees for K targets, added in the order in which the library sums them: the sums are the same then."""

    def __init__(self, targets: int, mode: Literal["leq", "lt"]) -> None:
        self._targets = targets
        self._mode: Literal["leq", "lt"] = mode
        self._parts: dict[str, list[NDArray[Any]]] = {}
        self._roots: list[int] = []
        self._members: dict[int, tuple[float, ...]] = {}
        self._size = 0

    def constant(self, values: Any) -> None:
        """What is added to each target before the trees that follow."""
        for target, value in enumerate(np.asarray(values, np.float64).ravel()):
            if value:
                leaf: dict[str, Any] = {
                    "feature": [-1],
                    "threshold": [0.0],
                    "left": [-1],
                    "right": [-1],
                    "missing_left": [False],
                }
                self.tree(**leaf, values=[value], target=target)

    def tree(
        self,
        *,
        feature: Any,
        threshold: Any,
        left: Any,
        right: Any,
        missing_left: Any,
        values: Any,
        target: int | None = None,
        members: dict[int, tuple[float, ...]] | None = None,
    ) -> None:
        """One tree; its nodes are numbered from its root, 0. `values` [M] go to `target`, or are [M, K]."""
        children = [np.asarray(side, np.int64) for side in (left, right)]
        leaf = children[0] < 0
        wide = np.asarray(values, np.float64)
        if target is not None:
            wide = np.zeros((len(leaf), self._targets))
            wide[:, target] = values
        self._extend(
            feature=np.where(leaf, -1, np.asarray(feature, np.int64)),
            threshold=np.where(leaf, 0.0, np.asarray(threshold, np.float64)),
            left=np.where(leaf, -1, children[0] + self._size),
            right=np.where(leaf, -1, children[1] + self._size),
            missing_left=np.asarray(missing_left, bool),
            values=wide,
        )
        self._members.update({node + self._size: codes for node, codes in (members or {}).items()})
        self._roots.append(self._size)
        self._size += len(leaf)

    def _extend(self, **parts: NDArray[Any]) -> None:
        for name, part in parts.items():
            self._parts.setdefault(name, []).append(part)

    def add_to(self, graph: Graph, x: str, *, narrow: bool = False) -> str:
        """The sums [N, K] for rows `x` [N, columns]; `narrow`: in single precision, as is `x` then."""
        joined: dict[str, Any] = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        trees = Trees(
            roots=np.asarray(self._roots, np.int64), **joined, mode=self._mode, members=self._members
        )
        output = graph.name("trees")
        nodes = tree_nodes(trees, x, output, name=output)
        if narrow:
            for attribute in (each for node in nodes for each in node.attribute):
                if attribute.t.data_type == TensorProto.DOUBLE:
                    values = numpy_helper.to_array(attribute.t).astype(np.float32)
                    attribute.t.CopyFrom(numpy_helper.from_array(values))
        graph.extend(nodes)
        return output
