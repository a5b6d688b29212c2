"""Models of Python score natively as their own `predict` does: 1,000 rows, with gaps where these are taken.

The path is the server's own: the file is vetted, the rows are read from JSON, ONNX Runtime scores them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble, linear_model
from threadpoolctl import threadpool_limits

import gristmill
from gristmill.realtime import container
from gristmill.realtime.model import Model, load
from gristmill.realtime.vetting import vet
from tests.integration.python_models import CASES, NUMBERS, Case, people

#: Relative; what is aimed at. The server refuses a model from 1e-6 on.
TOLERANCE = 1e-9
#: XGBoost computes in single precision, whose last bit is 1e-7, and its expf differs from machine to machine.
SINGLE = 1e-6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are fitted in no time by one thread, while several wait for each other."""
    with threadpool_limits(1):
        yield


def native(case: Case) -> Model:
    """The model as the server scores it."""
    return load(container.read(vet(gristmill.serialize_model(case.model, case.rows), 2**30)))


def scored(model: Model, frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Its answer to a call with these rows."""
    wanted = [column.name for column in model.description.columns]
    columns = {name: [None if pd.isna(cell) else cell for cell in frame[name].tolist()] for name in wanted}
    rows = model.reader.read(msgspec.json.encode({"inputData": columns}))
    values = model.run(rows.tensors, rows.rows)
    return dict(zip([output.name for output in model.description.outputs], values, strict=True))


def own(case: Case, names: list[str]) -> dict[str, Any]:
    """What the model itself predicts, named as the native one's answers are."""
    given = case.rows if case.given is None else case.given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = np.asarray(case.model.predict(given))
        if names[0] != "PredictedLabel":
            return {"Score": predicted.reshape(-1)}
        of = getattr(case.model, "predict_proba", None) or case.model.decision_function
        scores = np.asarray(of(given)).reshape(len(given), -1)
    return {"PredictedLabel": predicted.tolist(), **dict(zip(names[1:], scores.T, strict=True))}


def difference(case: Case) -> float:
    """The largest relative difference of a score; labels and nulls must be the same."""
    mine = scored(native(case), case.rows)
    worst = 0.0
    for name, theirs in own(case, list(mine)).items():
        if name == "PredictedLabel":
            assert mine[name] == theirs
            continue
        found, wanted = np.array(mine[name], dtype=float), np.asarray(theirs, dtype=float)
        assert (np.isnan(found) == np.isnan(wanted)).all()
        there = ~np.isnan(wanted) & (found != wanted)
        off = np.abs(found - wanted)[there] / np.abs(wanted)[there]
        worst = max(worst, float(off.max(initial=0.0)))
    return worst


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_native_scores_are_those_of_predict(name: str) -> None:
    case = CASES[name]()
    assert len(case.rows) == 1000
    assert difference(case) <= (SINGLE if "XGB" in name else TOLERANCE)


@pytest.mark.parametrize("name", ["XGBRegressor", "XGBRegressor, factors", "Pipeline, XGBRegressor"])
@pytest.mark.filterwarnings("ignore")
def test_sums_of_xgboost_are_followed_to_the_last_bit(name: str) -> None:
    assert difference(CASES[name]()) == 0.0


def test_a_matrix_of_floats_does_without_names() -> None:
    rows = people(300)[NUMBERS].to_numpy(np.float64)
    model = linear_model.LinearRegression().fit(rows, people(300)["value"])
    native_model = load(container.read(vet(gristmill.serialize_model(model, rows), 2**30)))
    assert [column.name for column in native_model.description.columns] == ["x0", "x1", "x2"]
    frame = pd.DataFrame(rows, columns=["x0", "x1", "x2"])
    np.testing.assert_allclose(scored(native_model, frame)["Score"], model.predict(rows), rtol=1e-12)


def test_a_forest_is_one_feed_of_doubles_in_the_order_of_the_columns() -> None:
    frame = people(300)
    model = ensemble.RandomForestRegressor(5, random_state=0).fit(frame[NUMBERS], frame["value"])
    (feed,) = native(Case(model, frame[[*reversed(NUMBERS), "city"]])).description.feeds
    assert (feed.name, feed.dtype, feed.columns) == ("X", "double", tuple(NUMBERS))
