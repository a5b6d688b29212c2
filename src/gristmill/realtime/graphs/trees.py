"""Ensembles of trees as one ONNX operator, in double precision.

`TreeEnsemble` of ai.onnx.ml 5: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html. Where a node's
test holds a row goes to the true branch; NaN goes where `nodes_missing_value_tracks_true` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from gristmill.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Trees", "tree_nodes"]

#: Numbers of the tests and of the sum in the operator.
_TESTS, _MEMBER, _SUM = {"leq": 0, "lt": 1}, 6, 1


@dataclass(frozen=True)
class Trees:
    """All trees of an ensemble, their M nodes numbered over all T of them; K numbers are predicted."""

    roots: NDArray[np.int64]  #: [T] number of each tree's root
    feature: NDArray[np.int64]  #: [M] column of X; -1 at a leaf
    threshold: NDArray[np.float64]  #: [M] ignored at leaves and where `members` has the node
    left: NDArray[np.int64]  #: [M] number of the node; -1 at a leaf
    right: NDArray[np.int64]  #: [M] the same
    missing_left: NDArray[np.bool_]  #: [M] where NaN goes
    values: NDArray[np.float64]  #: [M, K] what a leaf adds to each sum; ignored at inner nodes
    mode: Literal["leq", "lt"] = "leq"  #: a row goes left if x <= threshold, or x < threshold
    #: Nodes that split by a set of numbers: these go left.
    members: Mapping[int, tuple[float, ...]] = field(default_factory=dict)


def tree_nodes(trees: Trees, x: str, y: str, *, name: str = "trees") -> list[onnx.NodeProto]:
    """Operators that turn `x` [N, columns] into `y` [N, K], the sums of the values of all leaves reached.

    Both are doubles. Raises InvalidInput if a node has no tree or two, or if the nodes have a cycle.
    """
    tree_of = _tree_of_nodes(trees)
    copies = _copies(trees, tree_of)
    inner, leaves = np.flatnonzero(trees.feature >= 0), np.flatnonzero(trees.feature < 0)
    builder = _Builder(trees)
    for target, chosen in copies:
        builder.add(chosen, inner[chosen[tree_of[inner]]], leaves[chosen[tree_of[leaves]]], target)
    node = helper.make_node(
        "TreeEnsemble",
        [x],
        [y],
        name=name,
        domain="ai.onnx.ml",
        n_targets=trees.values.shape[1],
        aggregate_function=_SUM,
        post_transform=0,
        **builder.attributes(),
    )
    return [node]


def _tree_of_nodes(trees: Trees) -> NDArray[np.int64]:
    """[M] which tree a node is in, found from the roots down."""
    tree_of = np.full(len(trees.feature), -1, np.int64)
    at, owner = trees.roots, np.arange(len(trees.roots))
    while len(at):
        if len(np.unique(at)) < len(at) or (tree_of[at] >= 0).any():
            raise InvalidInput("a node of the trees has two parents, or is above itself")
        tree_of[at] = owner
        inner = trees.feature[at] >= 0
        at, owner = at[inner], owner[inner]
        at, owner = np.concatenate([trees.left[at], trees.right[at]]), np.concatenate([owner, owner])
        if ((at < 0) | (at >= len(tree_of))).any():
            raise InvalidInput("a node of the trees has a child that is not there")
    if (tree_of < 0).any():
        raise InvalidInput(f"{int((tree_of < 0).sum())} nodes of the trees are in no tree")
    return tree_of


def _copies(trees: Trees, tree_of: NDArray[np.int64]) -> list[tuple[int | None, NDArray[np.bool_]]]:
    """Which trees are written for which target; None for those whose leaves add to one target each.

    The operator knows one target a leaf: a tree whose leaves add to several is written once for each.
    """
    values = np.where((trees.feature < 0)[:, None], trees.values, 0.0)
    mixed = np.zeros(len(trees.roots), bool)
    np.logical_or.at(mixed, tree_of, (values != 0).sum(axis=1) > 1)
    copies: list[tuple[int | None, NDArray[np.bool_]]] = [(None, ~mixed)] if not mixed.all() else []
    return copies + [(target, mixed) for target in range(values.shape[1]) if mixed.any()]


class _Builder:
    """The operator's attributes, gathered copy by copy."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._lists: dict[str, list[NDArray[Any]]] = {}
        self._members: list[float] = []
        self._nodes = self._leaves = 0

    def add(
        self,
        chosen: NDArray[np.bool_],
        inner: NDArray[np.int64],
        leaves: NDArray[np.int64],
        target: int | None,
    ) -> None:
        """Write the chosen trees once; `inner` and `leaves` are all their nodes."""
        trees, rank = self._trees, np.zeros(len(self._trees.feature), np.int64)
        rank[inner] = self._nodes + np.arange(len(inner))
        rank[leaves] = self._leaves + np.arange(len(leaves))
        roots = trees.roots[chosen]
        lone = roots[trees.feature[roots] < 0]  # trees that are a leaf: a test whose branches are the same
        root_rank = rank.copy()
        root_rank[lone] = self._nodes + len(inner) + np.arange(len(lone))
        left, right = (np.concatenate([side[inner], lone]) for side in (trees.left, trees.right))
        is_member = np.isin(inner, list(trees.members))
        targets = np.full(len(leaves), target) if target is not None else _only_target(trees.values[leaves])
        none = np.zeros(len(lone))
        self._extend(
            tree_roots=root_rank[roots],
            nodes_featureids=np.concatenate([trees.feature[inner], none]),
            nodes_splits=np.concatenate([np.where(is_member, 0.0, trees.threshold[inner]), none]),
            nodes_modes=np.concatenate([np.where(is_member, _MEMBER, _TESTS[trees.mode]), none]),
            nodes_truenodeids=rank[left],
            nodes_falsenodeids=rank[right],
            nodes_trueleafs=trees.feature[left] < 0,
            nodes_falseleafs=trees.feature[right] < 0,
            nodes_missing_value_tracks_true=np.concatenate([trees.missing_left[inner], none]),
            leaf_targetids=targets,
            leaf_weights=trees.values[leaves, targets],
        )
        # ONNX Runtime joins sets of numbers up to 30 that follow one another if they lead to leaves of one
        # weight, even for different targets. A larger number in a set keeps it apart.
        apart = [2.0**31 - 1] if trees.values.shape[1] > 1 else []
        for node in inner[is_member]:
            self._members += [*trees.members[int(node)], *apart, float("nan")]
        self._nodes += len(inner) + len(lone)
        self._leaves += len(leaves)

    def _extend(self, **parts: NDArray[Any]) -> None:
        for name, part in parts.items():
            self._lists.setdefault(name, []).append(part)

    def attributes(self) -> dict[str, Any]:
        """By name, as the operator takes them."""
        kinds = {"nodes_splits": np.float64, "leaf_weights": np.float64, "nodes_modes": np.uint8}
        joined = {
            name: np.concatenate(parts).astype(kinds.get(name, np.int64))
            for name, parts in self._lists.items()
        }
        given: dict[str, Any] = {
            name: numpy_helper.from_array(values) if name in kinds else values.tolist()
            for name, values in joined.items()
        }
        if self._members:
            given["membership_values"] = numpy_helper.from_array(np.array(self._members))
        return given


def _only_target(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each leaf the target that it adds to."""
    targets: NDArray[np.int64] = (values != 0).argmax(axis=1)
    return targets
