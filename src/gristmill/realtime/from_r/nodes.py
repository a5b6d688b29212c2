"""Nodes of trees: checked, numbered over all trees, and with two branches each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gristmill.realtime.from_r import checks
from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.graphs.trees import Trees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gristmill.realtime.from_r.payload import Split, TreeModel

__all__ = ["trees_of"]

_DEEPEST, _MOST_VALUES, _MOST_LEVELS = 1_000, 50_000_000, 100_000


@dataclass(frozen=True, kw_only=True)
class _Nodes:
    """Numbers over all trees; -1 where there is no such node."""

    roots: NDArray[np.int64]
    tree: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing: NDArray[np.int64]  #: the right child where the model says nothing


def trees_of(model: TreeModel) -> Trees:
    """The trees of an ensemble. Raises InvalidInput unless each is a tree, and no more than 1,000 deep."""
    nodes = _numbered(model)
    _check_trees(nodes)
    values = _values(model, nodes)
    splits = _splits(model, nodes)
    return _with_two_branches(model, nodes, values, splits)


def _numbered(model: TreeModel) -> _Nodes:
    sizes = checks.indices(model.sizes, "sizes of its trees", below=2**31, lowest=1)
    count, ends = int(sizes.sum()), np.cumsum(sizes)
    if not len(sizes) or count * model.outputs > _MOST_VALUES:
        raise refuse(f"it has {len(sizes)} trees with {count} nodes, which is none, or too many")
    tree = np.repeat(np.arange(len(sizes)), sizes)
    first = (ends - sizes)[tree]
    own, size = np.arange(count) - first, sizes[tree]
    feature = checks.indices(
        model.feature, "features of its nodes", below=len(model.features), length=count, lowest=-1
    )
    inner = feature >= 0

    def children(side: list[int], what: str) -> NDArray[np.int64]:
        local = checks.indices(side, what, below=2**31, length=count, lowest=-1)
        if ((local <= own) | (local >= size))[inner].any():
            raise refuse(f"{what}: a node points to none that comes after it in its tree")
        return np.where(inner, local + first, -1)

    right = children(model.right, "right children")
    return _Nodes(
        roots=ends - sizes,
        tree=tree,
        feature=feature,
        threshold=checks.vector(model.threshold, "thresholds", count),
        left=children(model.left, "left children"),
        right=right,
        missing=children(model.missing, "children of what is missing")
        if model.missing is not None
        else right,
    )


def _check_trees(nodes: _Nodes) -> None:
    """Children come after their parents: what has one parent each is a tree."""
    third = (nodes.missing != nodes.left) & (nodes.missing != nodes.right)
    inner = nodes.feature >= 0
    below = np.concatenate([nodes.left[inner], nodes.right[inner], nodes.missing[inner & third]])
    parents = np.bincount(below, minlength=len(inner))
    parents[nodes.roots] += 1
    if (parents != 1).any():
        raise refuse(f"node {int((parents != 1).argmax())} of its trees has no parent, or several")
    depth, level = 0, nodes.roots
    while len(level := level[inner[level]]):
        depth += 1
        if depth > _DEEPEST:
            raise refuse(f"a tree is more than {_DEEPEST} deep")
        level = np.concatenate([nodes.left[level], nodes.right[level], nodes.missing[level[third[level]]]])


def _values(model: TreeModel, nodes: _Nodes) -> NDArray[np.float64]:
    """What each node adds to each of the sums [M, K]."""
    count = len(nodes.feature)
    if (model.values is None) == (model.labels is None):
        raise refuse("its leaves need either values or labels")
    if model.labels is not None:
        labels = checks.indices(model.labels, "labels of leaves", below=model.outputs, length=count)
        votes = np.zeros((count, model.outputs))
        votes[np.arange(count), labels] = 1.0
        return votes
    if model.targets is None:
        return checks.matrix(model.values or [], "values of leaves", (model.outputs, count)).T.copy()
    targets = checks.indices(model.targets, "targets of trees", below=model.outputs, length=len(nodes.roots))
    (single,) = checks.matrix(model.values or [], "values of leaves", (1, count))
    values = np.zeros((count, model.outputs))
    values[np.arange(count), targets[nodes.tree]] = single
    return values


def _splits(model: TreeModel, nodes: _Nodes) -> dict[int, Split]:
    """Splits by levels, by node."""
    if model.split is None:
        return {}
    numbers = checks.indices(
        model.split, "splits of nodes", below=len(model.splits), length=len(nodes.feature), lowest=-1
    )
    found = np.flatnonzero((numbers >= 0) & (nodes.feature >= 0))
    for split in model.splits:
        if max([*split.left, *(split.right or [])], default=0) > _MOST_LEVELS:
            raise refuse("a split names a level that no factor has")
        if split.right is not None and set(split.left) & set(split.right):
            raise refuse("a split has a level on both sides")
    return {int(node): model.splits[numbers[node]] for node in found}


def _with_two_branches(
    model: TreeModel, nodes: _Nodes, values: NDArray[np.float64], splits: dict[int, Split]
) -> Trees:
    """Trees whose nodes have two branches: a third, for what is missing, becomes a node of its own.

    It is right of its node, and asks of what came there whether it is a number at all, or one of the levels
    that go right. `x < t` becomes `x <= t'`, with the next smaller double, which is the same.
    """
    count, missing_left = len(nodes.feature), nodes.missing == nodes.left
    inner = nodes.feature >= 0
    third = np.flatnonzero(inner & ~missing_left & (nodes.missing != nodes.right))
    extra = count + np.arange(len(third))
    extra_of = np.full(count, -1)
    extra_of[third] = extra
    right = np.where(extra_of >= 0, extra_of, nodes.right)
    threshold = np.nextafter(nodes.threshold, -np.inf) if model.compare == "lt" else nodes.threshold
    members = {node: _members(split.left) for node, split in splits.items()}
    for node, more in zip(third.tolist(), extra.tolist(), strict=True):
        if node in splits:
            members[more] = _members(splits[node].right or [])
    if any(
        split.right is not None and nodes.missing[node] == nodes.right[node] for node, split in splits.items()
    ):
        raise refuse("a split by levels leaves some of them without a branch")
    none = np.zeros(len(third), bool)
    return Trees(
        roots=nodes.roots,
        feature=np.concatenate([nodes.feature, nodes.feature[third]]),
        threshold=np.concatenate([threshold, np.full(len(third), np.inf)]),
        left=np.concatenate([nodes.left, nodes.right[third]]),
        right=np.concatenate([right, nodes.missing[third]]),
        missing_left=np.concatenate([missing_left, none]),
        values=np.vstack([values, np.zeros((len(third), values.shape[1]))]),
        mode="leq",
        members=members,
    )


def _members(levels: list[int]) -> tuple[float, ...]:
    """Never empty: no row has the level -1."""
    return tuple(float(level) for level in levels) or (-1.0,)
