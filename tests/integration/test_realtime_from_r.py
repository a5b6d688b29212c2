"""Models that real R fits score here as R's predict() does: 1,000 rows, a tenth of each column missing."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gristmill.errors import InvalidInput
from gristmill.realtime import container
from gristmill.realtime.model import Model, load
from gristmill.realtime.vetting import vet

pytestmark = [pytest.mark.needs_r, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("realtime_models.R")
#: Relative; what is aimed at. The server refuses a model from 1e-6 on.
TOLERANCE = 1e-9
#: `max.col` of R draws among probabilities that are as close as this.
TIE = 1e-5

LINEAR = """lm-numbers lm-terms lm-calls lm-contrasts lm-contrast-matrix lm-no-intercept lm-rank-deficient
lm-text glm-gaussian-log glm-binomial-logit glm-binomial-probit glm-binomial-cauchit glm-binomial-cloglog
glm-binomial-log glm-poisson-log glm-poisson-identity glm-poisson-sqrt glm-Gamma-inverse glm-Gamma-log
glm-Gamma-identity glm-inverse-gaussian glm-quasi-power glm-quasibinomial glm-quasipoisson"""
TREES = """rpart-anova rpart-surrogates-only rpart-no-surrogates rpart-poisson rpart-class
randomForest-regression randomForest-corrected randomForest-classification randomForest-matrix gbm-gaussian
gbm-bernoulli gbm-poisson gbm-laplace gbm-quantile gbm-tdist gbm-huberized gbm-adaboost gbm-multinomial
ranger-regression-ignore ranger-probability-ignore ranger-classification-ignore ranger-regression-order
ranger-probability-order ranger-classification-order ranger-regression-partition
ranger-probability-partition ranger-classification-partition"""
OTHERS = """nnet-regression nnet-logistic nnet-entropy nnet-softmax multinom multinom-two-classes lda
lda-matrix glmnet-gaussian glmnet-poisson glmnet-probit glmnet-binomial glmnet-multinomial glmnet-cv"""
NAMES = [*LINEAR.split(), *TREES.split(), *OTHERS.split()]


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all models, their rows and R's scores."""
    if subprocess.run(["Rscript", "--vanilla", "-e", 'loadNamespace("jsonlite")'], check=False).returncode:
        pytest.skip("the R package needs jsonlite")
    folder = tmp_path_factory.mktemp("models")
    command = ["Rscript", "--vanilla", str(SCRIPT), str(ROOT / "r"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def native(fitted: Path, name: str) -> tuple[Model, dict[str, Any]]:
    """The model as the server scores it, once it was vetted; and rows with R's scores."""
    skipped = fitted / f"{name}.skipped"
    if skipped.exists():
        pytest.skip(f"R lacks the package {skipped.read_text().strip()}")
    data = (fitted / f"{name}.blob").read_bytes()
    model = load(container.read(vet(data, 2**30)))
    return model, json.loads((fitted / f"{name}.json").read_text("utf-8"))


def scored(model: Model, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    wanted = {column.name for column in model.description.columns}
    chosen = {name: cells for name, cells in columns.items() if name in wanted}
    rows = model.reader.read(msgspec.json.encode({"inputData": chosen}))
    values = model.run(rows.tensors, rows.rows)
    names = [output.name for output in model.description.outputs]
    return {name: [_plain(cell) for cell in cells] for name, cells in zip(names, values, strict=True)}


def _plain(cell: Any) -> Any:
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def worst(mine: list[float | None], theirs: list[float | None]) -> float:
    """The largest relative difference; null is equal to null only."""
    assert [cell is None for cell in mine] == [cell is None for cell in theirs]
    pairs = [(a, b) for a, b in zip(mine, theirs, strict=True) if a is not None and b is not None and a != b]
    return max((abs(a - b) / max(abs(a), abs(b)) for a, b in pairs), default=0.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_r_scores_as_in_r(fitted: Path, name: str) -> None:
    model, given = native(fitted, name)
    expected = given["expected"]
    found = scored(model, given["columns"])
    assert list(found) == list(expected)
    labels = found.pop("PredictedLabel", [])
    differences = {output: worst(cells, expected[output]) for output, cells in found.items()}
    missing = sum(cell is None for cell in next(iter(found.values())))
    print(f"DIFFERENCE {name} {max(differences.values()):.2g} {len(given['expected'])} {missing}")
    assert max(differences.values()) <= TOLERANCE, differences
    for row, label in enumerate(labels):
        if label != expected["PredictedLabel"][row]:
            assert is_tie([cells[row] for cells in found.values()]), (row, label)


def is_tie(probabilities: list[float]) -> bool:
    highest, second = sorted(probabilities, reverse=True)[:2]
    return highest - second <= TIE * highest


def test_r_fits_what_is_tested_here() -> None:
    command = ["Rscript", "--vanilla", str(SCRIPT), str(ROOT / "r"), "names"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert sorted(told) == sorted(NAMES)


def test_a_level_that_a_linear_model_has_not_seen_is_refused(fitted: Path) -> None:
    model, given = native(fitted, "lm-terms")
    columns = {**given["columns"], "f": ["not seen"] * len(given["columns"]["f"])}
    with pytest.raises(InvalidInput, match="not seen"):
        scored(model, columns)


def test_a_number_that_factor_has_not_seen_has_no_score(fitted: Path) -> None:
    model, given = native(fitted, "lm-terms")
    columns = {**given["columns"], "n": [5.0] * len(given["columns"]["n"])}
    assert set(scored(model, columns)["Score"]) == {None}


def test_a_missing_value_is_refused_where_predict_of_r_refuses_it(fitted: Path) -> None:
    model, given = native(fitted, "ranger-regression-order")
    columns = {**given["columns"], "x": [None] * len(given["columns"]["x"])}
    with pytest.raises(InvalidInput, match="x"):
        scored(model, columns)
