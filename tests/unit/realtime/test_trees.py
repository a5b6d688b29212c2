"""Trees as an operator score as the trees say."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from gristmill.errors import InvalidInput
from gristmill.realtime.graphs.trees import Trees, tree_nodes

COLUMNS = 3


def run(trees: Trees, x: np.ndarray) -> np.ndarray:
    graph = helper.make_graph(
        tree_nodes(trees, "X", "Y"),
        "trees",
        [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, COLUMNS])],
        [helper.make_tensor_value_info("Y", TensorProto.DOUBLE, [None, None])],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    (scores,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": x})
    return np.asarray(scores)


def walk(trees: Trees, x: np.ndarray) -> np.ndarray:
    """The same, by following the nodes."""
    sums = np.zeros((len(x), trees.values.shape[1]))
    for row, cells in enumerate(x):
        for root in trees.roots:
            node = root
            while trees.feature[node] >= 0:
                cell = cells[trees.feature[node]]
                if np.isnan(cell):
                    left = trees.missing_left[node]
                elif int(node) in trees.members:
                    left = cell in trees.members[int(node)]
                else:
                    bound = trees.threshold[node]
                    left = cell <= bound if trees.mode == "leq" else cell < bound
                node = trees.left[node] if left else trees.right[node]
            sums[row] += trees.values[node]
    return sums


@st.composite
def forests(draw: st.DrawFn) -> Trees:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    targets = draw(st.integers(1, 3))
    pure = draw(st.booleans())
    nodes: list[tuple[int, float, int, int, bool, np.ndarray]] = []
    members: dict[int, tuple[float, ...]] = {}

    def grow(depth: int) -> int:
        number = len(nodes)
        value = rng.normal(size=targets)
        if pure:
            value[np.arange(targets) != rng.integers(targets)] = 0
        if depth == 0 or rng.random() < 0.3:
            nodes.append((-1, np.nan, -1, -1, False, value))
            return number
        nodes.append((0, 0, 0, 0, False, value))
        feature = int(rng.integers(COLUMNS))
        if rng.random() < 0.3:
            members[number] = tuple(map(float, rng.choice(5, rng.integers(1, 5), replace=False)))
        left, right = grow(depth - 1), grow(depth - 1)
        nodes[number] = (feature, float(rng.integers(5)), left, right, bool(rng.random() < 0.5), value)
        return number

    roots = [grow(draw(st.integers(0, 4))) for _ in range(draw(st.integers(1, 4)))]
    feature, threshold, left, right, missing, values = zip(*nodes, strict=True)
    return Trees(
        roots=np.array(roots),
        feature=np.array(feature),
        threshold=np.array(threshold, float),
        left=np.array(left),
        right=np.array(right),
        missing_left=np.array(missing),
        values=np.array(values),
        mode=draw(st.sampled_from(["leq", "lt"])),
        members=members,
    )


@given(forests())
def test_a_row_reaches_the_leaves_that_following_the_nodes_reaches(trees: Trees) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, (40, COLUMNS)).astype(float)
    x[rng.random(x.shape) < 0.2] = np.nan
    np.testing.assert_allclose(run(trees, x), walk(trees, x), rtol=1e-14, atol=1e-15)


def stump(left: int, right: int) -> Trees:
    return Trees(
        roots=np.array([0]),
        feature=np.array([0, -1, -1]),
        threshold=np.zeros(3),
        left=np.array([left, -1, -1]),
        right=np.array([right, -1, -1]),
        missing_left=np.zeros(3, bool),
        values=np.zeros((3, 1)),
    )


@pytest.mark.parametrize(
    ("left", "right", "what"),
    [(1, 1, "two parents"), (0, 1, "above itself"), (1, 7, "not there"), (1, -1, "not there")],
)
def test_nodes_that_are_no_trees_are_refused(left: int, right: int, what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        tree_nodes(stump(left, right), "X", "Y")


def test_a_node_without_a_tree_is_refused() -> None:
    trees = stump(1, 2)
    lonely = Trees(
        roots=np.array([1]),
        feature=trees.feature,
        threshold=trees.threshold,
        left=trees.left,
        right=trees.right,
        missing_left=trees.missing_left,
        values=trees.values,
    )
    with pytest.raises(InvalidInput, match="2 nodes of the trees are in no tree"):
        tree_nodes(lonely, "X", "Y")
