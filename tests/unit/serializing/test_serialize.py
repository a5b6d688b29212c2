"""What becomes of a model: its description; and what is refused, with the way out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import pandas as pd
import pytest
import statsmodels.formula.api as smf
import xgboost as xgb
from sklearn import ensemble, linear_model, neighbors, svm
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import gristmill
from gristmill.errors import InvalidInput
from gristmill.realtime import container
from gristmill.serializing import serialize_model

ROWS = pd.DataFrame(
    {
        "x": np.linspace(0.5, 6.0, 12),
        "n": [1, 2, 3] * 4,
        "on": [True, False] * 6,
        "city": ["Oslo", "Rome", "Bern"] * 4,
    }
)
Y = np.sqrt(np.arange(12.0)) + 1
NUMBERS = ROWS[["x", "n"]]


def described(model: Any, sample: Any, **options: Any) -> dict[str, Any]:
    found = container.read(serialize_model(model, sample, **options))
    onnx.checker.check_model(onnx.load_model_from_string(found.payload))
    description: dict[str, Any] = json.loads(found.description)
    return description


def encoded(encoder: Any, *before: Any) -> Any:
    """A linear model over all columns."""
    columns = make_column_transformer((make_pipeline(*before, encoder), ["city"]), remainder="passthrough")
    return make_pipeline(columns, linear_model.Ridge())


def test_a_linear_model_is_one_feed_and_one_score() -> None:
    found = described(linear_model.Ridge().fit(NUMBERS, Y), ROWS)
    assert found["task"] == "regression"
    assert found["columns"] == [
        {"name": "x", "type": "numeric", "missing": "refuse"},
        {"name": "n", "type": "integer", "missing": "refuse"},
    ]
    assert found["feeds"] == [{"name": "X", "dtype": "double", "columns": ["x", "n"]}]
    assert [each["name"] for each in found["outputs"]] == ["Score"]
    assert found["origin"]["model"] == "Ridge"
    assert "scikit-learn" in found["origin"]["packages"]
    assert "tolerance" not in found


def test_the_sample_carries_the_models_own_predictions() -> None:
    model = linear_model.Ridge().fit(NUMBERS, Y)
    found = described(model, NUMBERS, tolerance=1e-3)
    assert found["sample"]["columns"]["n"] == NUMBERS["n"].tolist()
    assert found["sample"]["expected"]["Score"] == model.predict(NUMBERS).tolist()
    assert found["tolerance"] == 1e-3


def test_of_many_rows_a_hundred_travel_and_gaps_are_among_them() -> None:
    rows = pd.DataFrame({"x": np.arange(1000.0)})
    rows.loc[777, "x"] = np.nan
    model = ensemble.HistGradientBoostingRegressor(max_iter=2).fit(rows, np.arange(1000.0))
    cells = described(model, rows)["sample"]["columns"]["x"]
    assert len(cells) <= 100
    assert None in cells


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        (["no", "yes"] * 6, "character", ["no", "yes"]),
        ([3, 7] * 6, "integer", ["3", "7"]),
        ([True, False] * 6, "logical", ["False", "True"]),
        ([1.0, 2.0] * 6, "numeric", ["1", "2"]),
    ],
    ids=["texts", "integers", "truth values", "numbers"],
)
def test_a_classifier_answers_with_label_and_probabilities(
    labels: list[Any], kind: str, classes: list[str]
) -> None:
    found = described(linear_model.LogisticRegression().fit(NUMBERS, labels), NUMBERS)
    assert found["task"] == "classification"
    assert found["classes"] == classes
    names = ["PredictedLabel", *(f"Probability.{each}" for each in classes)]
    assert [each["name"] for each in found["outputs"]] == names
    assert found["outputs"][0]["type"] == kind


def test_a_classifier_without_probabilities_tells_the_distance() -> None:
    found = described(svm.LinearSVC().fit(NUMBERS, [0, 1] * 6), NUMBERS)
    assert [each["name"] for each in found["outputs"]] == ["PredictedLabel", "Score"]


def test_a_text_that_is_encoded_is_a_factor_among_the_numbers() -> None:
    found = described(encoded(OneHotEncoder()).fit(ROWS, Y), ROWS)
    city = found["columns"][-1]
    assert city == {
        "name": "city",
        "type": "factor",
        "levels": ["Bern", "Oslo", "Rome"],
        "unseen": "refuse",
        "missing": "refuse",
    }
    assert [feed["name"] for feed in found["feeds"]] == ["X"]
    ignoring = described(encoded(OneHotEncoder(handle_unknown="ignore")).fit(ROWS, Y), ROWS)["columns"][-1]
    assert (ignoring["unseen"], ignoring["missing"]) == ("missing", "pass")


def test_where_a_null_and_an_unknown_text_differ_it_is_fed_as_text() -> None:
    steps = SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    found = described(encoded(steps[1], steps[0]).fit(ROWS, Y), ROWS)
    assert found["columns"][-1] == {"name": "city", "type": "character", "missing": "pass"}
    assert found["feeds"][-1] == {"name": "S", "dtype": "string", "columns": ["city"]}


def test_an_imputer_of_nan_leaves_none_alone_as_it_does_in_scikit_learn() -> None:
    rows = ROWS.assign(city=pd.Series(["Oslo", None, "Bern", "Rome"] * 3, dtype=object))
    assert rows["city"][1] is None
    steps = SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    model = encoded(steps[1], steps[0]).fit(rows, Y)
    found = container.read(serialize_model(model, rows))
    session = pytest.importorskip("onnxruntime").InferenceSession(found.payload)
    numbers = rows[["x", "n", "on"]].to_numpy(np.float64)
    texts = np.array([[text or ""] for text in rows["city"]], dtype=object)
    (scores,) = session.run(None, {"X": numbers, "S": texts})
    np.testing.assert_allclose(scores[:, 0], model.predict(rows), rtol=1e-12)


def test_nulls_pass_only_where_the_model_takes_them() -> None:
    imputing = make_column_transformer((SimpleImputer(), ["x"]), ("passthrough", ["n"]))
    found = described(make_pipeline(imputing, linear_model.Ridge()).fit(NUMBERS, Y), NUMBERS)
    assert [each["missing"] for each in found["columns"]] == ["pass", "refuse"]


def test_columns_that_the_model_does_not_use_are_not_asked_for() -> None:
    some = make_column_transformer((StandardScaler(), ["x"]), remainder="drop")
    found = described(make_pipeline(some, linear_model.Ridge()).fit(ROWS, Y), ROWS)
    assert [each["name"] for each in found["columns"]] == ["x"]


def test_a_formula_names_its_columns_itself() -> None:
    frame = ROWS.assign(y=Y)
    found = described(smf.ols("y ~ np.log(x) + city", frame).fit(), frame)
    assert [each["name"] for each in found["columns"]] == ["x", "city"]


REFUSED: list[tuple[Any, Any, str]] = [
    (object, NUMBERS, r"builtins.object cannot become a realtime service: .*standard service"),
    (lambda: linear_model.Ridge, NUMBERS, "Ridge is a class: give a fitted model"),
    (lambda: neighbors.KNeighborsRegressor().fit(NUMBERS, Y), NUMBERS, "KNeighborsRegressor cannot become"),
    (lambda: StandardScaler().fit(NUMBERS), NUMBERS, "transforms its input, and predicts nothing"),
    (lambda: linear_model.Ridge().fit(NUMBERS, Y), ROWS[["x"]], "takes the column 'n'"),
    (lambda: linear_model.Ridge().fit(NUMBERS, Y), np.ones((2, 3)), "takes 2 columns, and the sample has 3"),
    (lambda: linear_model.Ridge().fit(NUMBERS, Y), NUMBERS.head(0), "the sample has no rows"),
    (lambda: linear_model.Ridge().fit(NUMBERS, Y), [1.0, 2.0], "a pandas frame or a matrix"),
    (
        lambda: linear_model.Ridge().fit(NUMBERS, Y),
        NUMBERS.assign(x=np.nan),
        "Ridge does not predict the sample: ValueError",
    ),
    (
        lambda: make_pipeline(FunctionTransformer(lambda x: x + 1), linear_model.Ridge()).fit(NUMBERS, Y),
        NUMBERS,
        r"FunctionTransformer \(step 'functiontransformer'\) cannot .*'<lambda>'.*standard service",
    ),
    (
        lambda: ensemble.GradientBoostingRegressor(init=linear_model.Ridge(), n_estimators=2).fit(NUMBERS, Y),
        NUMBERS,
        "it starts from another model, Ridge",
    ),
    (
        lambda: xgb.XGBRegressor(booster="gblinear", n_estimators=2).fit(NUMBERS, Y),
        NUMBERS,
        "its booster is 'gblinear'",
    ),
    (
        lambda: lgb.LGBMRegressor(linear_tree=True, min_child_samples=2, verbose=-1).fit(NUMBERS, Y),
        NUMBERS,
        "linear_tree",
    ),
    (
        lambda: smf.ols("y ~ bs(x, df=3)", ROWS.assign(y=Y)).fit(),
        ROWS,
        r"the term 'bs\(x, df=3\)' of its formula: it remembers",
    ),
    (
        lambda: smf.ols("y ~ I(x > 2)", ROWS.assign(y=Y)).fit(),
        ROWS,
        r"the term 'I\(x > 2\)' of its formula",
    ),
]


@pytest.mark.parametrize(("make", "sample", "message"), REFUSED, ids=[each[2][:40] for each in REFUSED])
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_exact_is_refused_by_name(make: Any, sample: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        serialize_model(make(), sample)


def test_texts_that_nothing_encodes_are_named() -> None:
    model = linear_model.Ridge().fit(NUMBERS, Y)
    with pytest.raises(InvalidInput, match="column 'n' of the sample holds texts: encode it in the model"):
        serialize_model(model, NUMBERS.assign(n="one"))


def test_an_unknown_number_of_a_strict_encoder_has_no_score() -> None:
    columns = make_column_transformer((OneHotEncoder(), ["n"]), remainder="passthrough")
    found = container.read(
        serialize_model(make_pipeline(columns, linear_model.Ridge()).fit(NUMBERS, Y), NUMBERS)
    )
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(found.payload)
    (scores,) = session.run(None, {"X": np.array([[1.0, 2.0], [1.0, 9.0]])})
    assert np.isnan(scores[:, 0]).tolist() == [False, True]


def test_what_is_missing_is_said_with_the_command_that_brings_it() -> None:
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import gristmill\n"
        "try: gristmill.serialize_model(object(), [[1.0]])\n"
        "except gristmill.client.errors.InvalidInput as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install gristmill[realtime]" in done.stdout


def test_the_package_has_it_and_loads_nothing_for_it() -> None:
    assert gristmill.serialize_model is serialize_model
    code = (
        "import sys, gristmill.serializing; print({'numpy', 'onnx', 'pandas', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
