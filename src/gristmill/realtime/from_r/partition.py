"""rpart: where a value is missing surrogate splits decide, then the majority; else a row stays where it is.

All tests of all inner nodes are done at once: -1 is left, 1 right, 0 undecided. The first that decides is the
sign of their sum, with weights of which each is more than all that follow. A row is in a node if it goes the
right way at each node above, and it stays there if that is a leaf, or undecided. `pred_rpart.c` is the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from gristmill.realtime.from_r import checks
from gristmill.realtime.from_r.answers import Converted, Target, class_answer, finish, score_answer
from gristmill.realtime.from_r.checks import refuse
from gristmill.realtime.from_r.expressions import Inputs
from gristmill.realtime.from_r.payload import Partition, Test
from gristmill.realtime.graphs.builder import Builder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["convert_partition"]

#: A row takes as many doubles as there are splits, each with the most surrogates that any has.
_MOST_CELLS, _MOST_TESTS = 2_500, 50


def convert_partition(model: Partition, target: Target) -> Converted:
    """The graph of one tree."""
    builder = Builder()
    inner, paths = _paths(model)
    features = Inputs(builder, len(target.columns)).all(model.features)
    count = len(model.left)
    values = checks.matrix(model.values, "values of its nodes", (None, count))
    if len(values) < 1 or (len(values) > 1) != (model.answer == "classes"):
        raise refuse(f"its nodes have {len(values)} values, which does not fit its answer ({model.answer})")
    if len(inner):
        decisions = _decisions(builder, features, model, inner)
        there = _places(builder, decisions, paths, inner)
    else:
        there = builder.constant_like(builder.columns(features, [0], len(model.features)), 1.0)
    scores = builder.op("MatMul", there, values.T.copy())
    if model.answer == "score":
        return finish(builder, score_answer(builder, scores, target), target)
    label = None
    if model.labels is not None:
        numbers = checks.indices(model.labels, "labels of its nodes", below=len(values), length=count)
        label = builder.cast(builder.op("MatMul", there, numbers.astype(np.float64)), TensorProto.INT64)
    return finish(builder, class_answer(builder, scores, target, count=len(values), label=label), target)


def _paths(model: Partition) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Inner nodes; and [inner, nodes] the way from an inner node to a node below it, 0 to all others."""
    count = len(model.left)
    left = checks.indices(model.left, "left children", below=count, lowest=-1)
    right = checks.indices(model.right, "right children", below=count, length=count, lowest=-1)
    inner = np.flatnonzero(left >= 0)
    if not count or not len(model.tests) == len(model.majority) == count or (right[left < 0] >= 0).any():
        raise refuse("its nodes do not all have what a node has")
    if len(inner) > _MOST_CELLS:
        raise refuse(f"it has {len(inner)} splits, {_MOST_CELLS} at most: prune the tree")
    below = np.concatenate([left[inner], right[inner]])
    if (left[inner] <= inner).any() or (right[inner] <= inner).any():
        raise refuse("a node of the tree points to none that comes after it")
    if (np.bincount(below, minlength=count) != (np.arange(count) > 0)).any():
        raise refuse("a node of the tree has no parent, or several")
    paths = np.zeros((len(inner), count))
    for row, node in enumerate(inner):
        for child, way in ((left[node], -1.0), (right[node], 1.0)):
            paths[:, child] = paths[:, node]
            paths[row, child] = way
    return inner, paths


def _places(builder: Builder, decisions: str, paths: NDArray[np.float64], inner: NDArray[np.int64]) -> str:
    """[N, nodes] 1 for the node where a row ends, 0 for all others; from `decisions` [N, inner]."""
    own = np.zeros_like(paths)
    own[np.arange(len(inner)), inner] = 1.0  # what has decided there goes on
    right_ways = builder.op("MatMul", decisions, paths)
    gone = builder.op("MatMul", builder.op("Abs", decisions), own)
    depth = np.abs(paths).sum(axis=0)
    return builder.cast(builder.op("Equal", builder.op("Sub", right_ways, gone), depth[None, :]))


def _decisions(builder: Builder, features: str, model: Partition, inner: NDArray[np.int64]) -> str:
    """[N, inner] -1, 0 or 1."""
    tests = [model.tests[node] for node in inner]
    longest = max(len(each) for each in tests)
    if not all(tests) or longest > _MOST_TESTS:
        raise refuse(f"a node has no split, or more than {_MOST_TESTS} with its surrogates")
    if longest * len(inner) > _MOST_CELLS:
        raise refuse(f"it has {len(inner)} splits with {longest - 1} surrogates: prune the tree")
    flat = [test for each in tests for test in each]
    ways, order = _ways(builder, features, flat, len(model.features))
    # [inner, longest] the place of a test among the ways; the last of these never decides.
    places = np.full((len(inner), longest), len(flat), np.int64)
    places[np.arange(longest) < np.array([len(each) for each in tests])[:, None]] = order
    table = builder.op("Gather", ways, places.reshape(-1), axis=1)
    table = builder.op("Reshape", table, np.array([-1, len(inner), longest], np.int64))
    weights = 2.0 ** np.arange(longest, 0, -1)[:, None]
    sums = builder.op("Squeeze", builder.op("MatMul", table, weights), np.array([2], np.int64))
    majority = np.array([float(model.majority[node]) for node in inner])
    return builder.op("Sign", builder.op("Add", sums, majority[None, :]))


def _ways(builder: Builder, features: str, tests: list[Test], width: int) -> tuple[str, NDArray[np.int64]]:
    """[N, tests + 1] what each test says, 0 in the last column; and where each test's column is."""
    checks.indices([test.feature for test in tests], "features of its splits", below=width)
    compared = [i for i, test in enumerate(tests) if test.direction is not None and test.directions is None]
    tabled = [i for i, test in enumerate(tests) if test.directions and test.direction is None]
    if len(compared) + len(tabled) != len(tests):
        raise refuse("a split needs either a direction, or one for each level")
    parts = []
    if compared:
        parts.append(_compared(builder, features, [tests[i] for i in compared], width))
    if tabled:
        parts.append(_looked_up(builder, features, [tests[i] for i in tabled], width))
    parts.append(builder.constant_like(builder.columns(features, [0], width), 0.0))
    order = np.empty(len(tests), np.int64)
    order[compared + tabled] = np.arange(len(tests))
    return builder.op("Concat", *parts, axis=1), order


def _compared(builder: Builder, features: str, tests: list[Test], width: int) -> str:
    columns = builder.columns(features, [test.feature for test in tests], width)
    thresholds = checks.vector([test.threshold for test in tests], "thresholds")[None, :]
    ways = np.array([float(test.direction or 0) for test in tests])[None, :]
    way = builder.op("Where", builder.op("Less", columns, thresholds), ways, -ways)
    return builder.op("Where", builder.op("IsNaN", columns), 0.0, way)


def _looked_up(builder: Builder, features: str, tests: list[Test], width: int) -> str:
    """Ways by level: of all tests in one table, where a 0 comes after each test's levels."""
    columns = builder.columns(features, [test.feature for test in tests], width)
    sizes = np.array([len(test.directions or []) for test in tests])
    table = np.concatenate([[*map(float, test.directions or []), 0.0] for test in tests])
    starts = np.concatenate([[0], np.cumsum(sizes + 1)[:-1]]).astype(np.float64)[None, :]
    ends = sizes.astype(np.float64)[None, :]
    known = builder.op("And", builder.op("GreaterOrEqual", columns, 0.0), builder.op("Less", columns, ends))
    places = builder.op("Add", builder.op("Where", known, columns, ends), starts)
    return builder.op("Gather", table, builder.cast(places, TensorProto.INT64), axis=0)
