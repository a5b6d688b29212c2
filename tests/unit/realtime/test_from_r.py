"""What the R package writes becomes graphs; what nobody should have written is refused by name."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import InvalidInput
from gristmill.realtime.from_r import Converted, convert
from gristmill.realtime.model import open_session

NAN = float("nan")


def numbers(*columns: int) -> dict[str, Any]:
    return {"kind": "numbers", "expressions": [{"kind": "column", "column": each} for each in columns]}


def call(name: str, *args: Any) -> dict[str, Any]:
    parts = [each if isinstance(each, dict) else {"kind": "number", "number": each} for each in args]
    return {"kind": "call", "name": name, "args": parts}


X, Z = ({"kind": "column", "column": number} for number in (0, 1))

LINEAR: dict[str, Any] = {
    "format": 1, "kind": "linear", "answer": "score", "link": {"name": "identity"}, "offsets": [],
    "design": {"blocks": [numbers(0, 1)], "products": [[], [0], [1], [0, 1]]},
    "coefficients": [[1.0, 2.0, 3.0, 4.0]],
}  # fmt: skip
TREES: dict[str, Any] = {
    "format": 1, "kind": "trees", "answer": "score", "features": [X, Z], "compare": "leq", "sizes": [5, 1],
    "feature": [0, -1, 1, -1, -1, -1], "threshold": [1.5, 0, 0, 0, 0, 0], "left": [1, -1, 3, -1, -1, -1],
    "right": [2, -1, 4, -1, -1, -1], "split": [-1, -1, 0, -1, -1, -1], "splits": [{"left": [0, 2]}],
    "values": [[0, 10, 0, 20, 30, 1]], "outputs": 1, "divide": 2,
}  # fmt: skip
PARTITION: dict[str, Any] = {
    "format": 1, "kind": "partition", "answer": "score", "features": [X, Z], "left": [1, -1, -1],
    "right": [2, -1, -1], "majority": [1, 0, 0], "values": [[5.0, 6.0, 7.0]],
    "tests": [
        [{"feature": 0, "threshold": 1.0, "direction": -1}, {"feature": 1, "directions": [1, -1, 0]}], [], [],
    ],
}  # fmt: skip
NETWORK: dict[str, Any] = {
    "format": 1, "kind": "network", "answer": "score", "activation": "identity", "skip": [[1.0, 0.0]],
    "design": {"blocks": [numbers(0, 1)], "products": [[0], [1]]}, "hidden": [[0.0, 1.0, 1.0]],
    "output": [[0.5, 2.0]],
}  # fmt: skip
LDA: dict[str, Any] = {
    "format": 1, "kind": "discriminant", "answer": "classes", "means": [1.0, 1.0], "scaling": [[1.0, 0.0]],
    "centers": [[-1.0], [1.0]], "constants": [0.0, 0.0],
    "design": {"blocks": [numbers(0, 1)], "products": [[0], [1]]},
}  # fmt: skip
ALL = [LINEAR, TREES, PARTITION, NETWORK, LDA]


def described(payload: dict[str, Any]) -> dict[str, Any]:
    classes = ["a", "b"] if payload.get("answer") != "score" else []
    return {"columns": [{"name": "x"}, {"name": "z"}], "classes": classes}


def converted(payload: dict[str, Any]) -> Converted:
    return convert(described(payload), json.dumps(payload).encode())


def scores(payload: dict[str, Any], *rows: tuple[float, float]) -> list[float]:
    made = converted(payload)
    session = open_session(made.model.SerializeToString())
    outputs = {output["name"]: output for output in made.outputs}
    wanted = outputs.get("Score") or outputs["Probability.b"]
    found = session.run([wanted["tensor"]], {"X": np.array(rows, np.float64)})[0]
    return [float(value) for value in found[:, wanted["index"]]]


def changed(payload: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {**copy.deepcopy(payload), **parts}


def of_expression(expression: dict[str, Any]) -> dict[str, Any]:
    design = {"blocks": [{"kind": "numbers", "expressions": [expression]}], "products": [[0]]}
    return changed(LINEAR, design=design, coefficients=[[1.0]])


def test_a_linear_model_multiplies_its_columns() -> None:
    assert scores(LINEAR, (2.0, 3.0)) == [1 + 4 + 9 + 24]
    assert math.isnan(scores(LINEAR, (NAN, 3.0))[0])


def test_trees_go_by_thresholds_and_by_levels() -> None:
    assert scores(TREES, (1.5, 0), (2, 0), (2, 1), (2, 2)) == [5.5, 10.5, 15.5, 10.5]


def test_a_third_child_takes_what_is_missing() -> None:
    payload = changed(
        TREES, compare="lt", sizes=[4], feature=[0, -1, -1, -1], threshold=[1.5, 0, 0, 0],
        left=[1, -1, -1, -1], right=[2, -1, -1, -1], missing=[3, -1, -1, -1], values=[[0, 1, 2, 3]], divide=1,
        split=None,
    )  # fmt: skip
    assert scores(payload, (1.5, 0), (math.nextafter(1.5, 0), 0), (NAN, 0), (math.inf, 0)) == [2, 1, 3, 2]


def test_rows_that_may_not_have_missing_values_have_no_score() -> None:
    found = scores(changed(TREES, null_rows=True), (1.0, NAN), (1.0, 0.0))
    assert math.isnan(found[0])
    assert found[1] == 5.5


def test_a_surrogate_decides_where_the_value_is_missing_and_then_the_majority() -> None:
    assert scores(PARTITION, (0, 0), (1, 0), (NAN, 0), (NAN, 1), (NAN, 2), (NAN, NAN)) == [6, 7, 7, 6, 7, 7]


def test_a_row_stays_where_nothing_decides() -> None:
    assert scores(changed(PARTITION, majority=[0, 0, 0]), (NAN, 2), (NAN, NAN), (0, 2)) == [5, 5, 6]


def test_a_network_adds_hidden_units_and_direct_connections() -> None:
    assert scores(NETWORK, (0.0, 0.0), (20.0, 20.0)) == [1.5, 22.5]


def test_a_discriminant_analysis_gives_probabilities() -> None:
    assert scores(LDA, (1.0, 5.0))[0] == pytest.approx(0.5)
    assert scores(LDA, (2.0, 5.0))[0] == pytest.approx(1 / (1 + math.exp(-2)))


def test_a_row_without_a_probability_has_no_label() -> None:
    session = open_session(converted(LDA).model.SerializeToString())
    assert session.run(["Label"], {"X": np.array([[NAN, 0], [9, 0], [-9, 0]])})[0].tolist() == [-1, 1, 0]


@pytest.mark.parametrize(
    ("expression", "row", "expected"),
    [
        (call("+", X, 1.0), (2, 0), 3),
        (call("^", X, 3.0), (2, 0), 8),
        (call("log1p", X), (1e-20, 0), 1e-20),
        (call("expm1", X), (1e-20, 0), 1e-20),
        (call("log10", X), (1000, 0), 3),
        (call("ifelse", call(">", X, 1.0), Z, -1.0), (2, 7), 7),
        (call("ifelse", call(">", X, 1.0), Z, -1.0), (NAN, 7), NAN),
        (call("&", call(">", X, 1.0), call(">", Z, 1.0)), (NAN, 0), 0),
        (call("&", call(">", X, 1.0), call(">", Z, 1.0)), (NAN, 2), NAN),
        (call("|", call(">", X, 1.0), call(">", Z, 1.0)), (NAN, 2), 1),
        (call("!", call("!=", X, 1.0)), (1, 0), 1),
        (call("*", 2.0, 3.0), (NAN, NAN), 6),
        (call("<", X, 1.0), (-math.inf, 0), 1),
    ],
)
def test_expressions_are_computed_as_r_does(
    expression: dict[str, Any], row: tuple[float, float], expected: float
) -> None:
    assert scores(of_expression(expression), row)[0] == pytest.approx(expected, rel=1e-15, nan_ok=True)


def test_a_number_is_the_level_whose_15_digits_it_has() -> None:
    block = {"kind": "values", "expression": X, "values": [0.3, 4.0], "table": [[1.0], [2.0]]}
    payload = changed(LINEAR, design={"blocks": [block], "products": [[0]]}, coefficients=[[1.0]])
    found = scores(payload, (0.1 + 0.2, 0), (4, 0), (4.1, 0))
    assert found[:2] == [1, 2]
    assert math.isnan(found[2])


LINKS = {
    "probit": lambda eta: math.erfc(-eta / math.sqrt(2)) / 2,
    "cauchit": lambda eta: math.atan(eta) / math.pi + 0.5 if eta > -1 else math.atan(-1 / eta) / math.pi,
    "cloglog": lambda eta: -math.expm1(-math.exp(eta)),
    "logit": lambda eta: math.exp(eta) / (1 + math.exp(eta)),
}


@pytest.mark.parametrize("link", LINKS)
@given(eta=st.floats(-8, 3))
def test_links_are_exact_in_their_tails(link: str, eta: float) -> None:
    payload = changed(of_expression(X), link={"name": link})
    assert scores(payload, (eta, 0))[0] == pytest.approx(LINKS[link](eta), rel=1e-13)


DEEP: dict[str, Any] = X
for _ in range(150):
    DEEP = call("neg", DEEP)

HOSTILE = [
    (changed(LINEAR, kind="pickle"), "pickle"),
    (changed(LINEAR, more=1), "more"),
    (changed(LINEAR, format=2), "format"),
    (changed(LINEAR, coefficients=[[1.0, 2.0]]), "coefficients"),
    (changed(LINEAR, coefficients=[]), "0 linear predictors"),
    (changed(LINEAR, link={"name": "eval"}), "eval"),
    (changed(LINEAR, link={"name": "power", "power": 0.0}), "power"),
    (changed(LINEAR, design={"blocks": [numbers(2)], "products": [[0]]}, coefficients=[[1.0]]), "column 2"),
    (changed(LINEAR, design={"blocks": [numbers(0)], "products": [[7]]}, coefficients=[[1.0]]), "products"),
    (changed(LINEAR, design={"blocks": [numbers(0)], "products": [[0] * 99]}, coefficients=[[1.0]]), "of 99"),
    (changed(LINEAR, design={"blocks": [], "products": []}, coefficients=[[]]), "0 columns"),
    (of_expression(call("system", X)), "system"),
    (of_expression(call("+", X)), "1 arguments"),
    (of_expression(DEEP), "deep"),
    (changed(TREES, left=[0, -1, 3, -1, -1, -1]), "left children"),
    (changed(TREES, right=[1, -1, 4, -1, -1, -1]), "no parent"),
    (changed(TREES, right=[5, -1, 4, -1, -1, -1]), "right children"),
    (changed(TREES, feature=[9, -1, 1, -1, -1, -1]), "features"),
    (changed(TREES, threshold=[1.0]), "thresholds"),
    (changed(TREES, sizes=[]), "0 trees"),
    (changed(TREES, sizes=[2**31]), "sizes of its trees"),
    (changed(TREES, sizes=[2**30] * 4), "nodes"),
    (changed(TREES, values=None), "values or labels"),
    (changed(TREES, split=[-1, -1, 5, -1, -1, -1]), "splits"),
    (changed(TREES, splits=[{"left": [0], "right": [0]}]), "both sides"),
    (changed(TREES, splits=[{"left": [0], "right": [1]}]), "without a branch"),
    (changed(TREES, splits=[{"left": [10**9]}]), "level"),
    (changed(TREES, divide=0), "divide"),
    (changed(TREES, outputs=2), "values of leaves"),
    (changed(TREES, features=[]), "features"),
    (changed(PARTITION, left=[0, -1, -1]), "none that comes after"),
    (changed(PARTITION, right=[1, -1, -1]), "no parent"),
    (changed(PARTITION, tests=[[], [], []]), "no split"),
    (changed(PARTITION, majority=[1]), "what a node has"),
    (changed(PARTITION, tests=[[{"feature": 0}], [], []]), "direction"),
    (changed(PARTITION, tests=[[{"feature": 8, "direction": 1}], [], []]), "features"),
    (changed(PARTITION, labels=[0, 9, 0], answer="classes"), "fit its answer"),
    (changed(NETWORK, hidden=[[1.0]]), "hidden"),
    (changed(NETWORK, skip=[[1.0]]), "direct"),
    (changed(NETWORK, output=[]), "0 output"),
    (changed(LDA, means=[1.0]), "means"),
    (changed(LDA, centers=[[1.0]], constants=[0.0]), "two classes"),
    (changed(LDA, answer="score"), "classes"),
]  # fmt: skip


@pytest.mark.parametrize(("payload", "named"), HOSTILE, ids=[named for _, named in HOSTILE])
def test_what_is_not_sound_is_refused_by_name(payload: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        converted(payload)


@pytest.mark.parametrize(
    "text", [b"", b"\x80\x04", b"null", b"[" * 100_000, b'{"kind":"linear"}', b"\xff\xfe"]
)
def test_what_is_not_a_model_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        convert(described(LINEAR), text)


def test_numbers_that_are_not_finite_are_refused() -> None:
    text = json.dumps(LINEAR).replace("2.0", "1e999")
    with pytest.raises(InvalidInput, match=r"finite|range|read"):
        convert(described(LINEAR), text.encode())


def test_a_tree_that_is_too_deep_is_refused() -> None:
    depth = 1200
    feature = [0, -1] * depth + [-1]
    left = [at + 1 if at % 2 == 0 and at < 2 * depth else -1 for at in range(2 * depth + 1)]
    right = [at + 2 if at % 2 == 0 and at < 2 * depth else -1 for at in range(2 * depth + 1)]
    flat = [0.0] * len(feature)
    payload = changed(
        TREES, sizes=[len(feature)], feature=feature, left=left, right=right, threshold=flat, values=[flat],
        split=None,
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="1000 deep"):
        converted(payload)


def test_a_description_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="classes"):
        convert({**described(LINEAR), "classes": ["a", "b"]}, json.dumps(LINEAR).encode())
    with pytest.raises(InvalidInput, match="2 classes, and the description has 3"):
        convert({**described(LDA), "classes": ["a", "b", "c"]}, json.dumps(LDA).encode())


junk = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**12), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5), st.just([]), st.just({}), st.lists(st.integers(-2, 9), max_size=6),
)  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> dict[str, Any]:
    """A sound model, some of whose parts are something else."""
    model: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(ALL)))
    for _ in range(draw(st.integers(1, 3))):
        spot: Any = model
        while True:
            keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(spot[key], (dict, list)) and draw(st.integers(0, 3)):
                spot = spot[key]
                continue
            spot[key] = draw(junk)
            break
    return model


@given(payload=spoiled())
def test_a_spoiled_model_is_refused_or_becomes_a_graph_that_runs(payload: dict[str, Any]) -> None:
    try:
        made = converted(payload)
        session = open_session(made.model.SerializeToString())
    except InvalidInput:
        return
    session.run(None, {"X": np.array([[0.5, 1.0], [NAN, NAN]])})


def test_sets_that_follow_one_another_stay_apart_though_their_leaves_weigh_the_same() -> None:
    payload = changed(
        TREES, answer="classes", outputs=2, sizes=[7], feature=[0, -1, 0, -1, 0, -1, -1], threshold=[0.0] * 7,
        left=[1, -1, 3, -1, 5, -1, -1], right=[2, -1, 4, -1, 6, -1, -1], split=[0, -1, 1, -1, 2, -1, -1],
        splits=[{"left": [0]}, {"left": [1]}, {"left": [2]}], values=None, labels=[0, 0, 0, 1, 0, 0, 1],
        divide=1,
    )  # fmt: skip
    assert scores(payload, (0, 0), (1, 0), (2, 0), (3, 0)) == [0, 1, 0, 1]
