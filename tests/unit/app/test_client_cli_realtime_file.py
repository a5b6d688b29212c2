"""A service.toml that names a model, and no code."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from gristmill.app.client_cli_service_file import read_service_file
from gristmill.client.errors import InvalidInput
from gristmill.realtime import container

TOML = (
    'name = "line"\nversion = "1"\ndescription = "A line."\nrealtime = "model.joblib"\nsample = "rows.csv"\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    joblib.dump(
        LinearRegression().fit(np.array([[1.0], [2.0], [3.0]]), [2.0, 4.0, 6.0]), tmp_path / "model.joblib"
    )
    (tmp_path / "rows.csv").write_text("x\n1.5\n2.5\n")
    (tmp_path / "service.toml").write_text(TOML)
    return tmp_path


def test_the_model_is_serialized_with_the_rows_of_the_table(folder: Path) -> None:
    found = read_service_file(folder)
    assert (found.name, found.version, found.options) == ("line", "1", {"description": "A line."})
    assert found.realtime is not None
    assert b'"columns":{"x":[1.5,2.5]}' in container.read(found.realtime).description


def test_a_serialized_model_goes_as_it_is(folder: Path) -> None:
    (folder / "model.joblib").write_bytes(b"blob of R")
    assert read_service_file(folder).realtime == b"blob of R"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('sample = "rows.csv"\n', ""), 'write sample = "rows.csv"'),
        (('"model.joblib"', '"model.onnx"'), "model.onnx cannot be read"),
        (('"model.joblib"', '"rows.csv"'), "rows.csv is no model of Python"),
        (('"A line."', '"A line."\nbatchable = true'), "batchable is for services of code"),
        (('"A line."', '"A line."\ncode = "y = x"'), "say either code .* or realtime"),
    ],
    ids=["no sample", "no file", "no model", "a key of code", "code as well"],
)
def test_what_is_wrong_is_named(folder: Path, change: tuple[str, str], message: str) -> None:
    (folder / "service.toml").write_text(TOML.replace(*change))
    with pytest.raises(InvalidInput, match=message):
        read_service_file(folder)


def test_a_model_that_cannot_be_loaded_is_named(folder: Path) -> None:
    (folder / "model.joblib").write_bytes(b"no joblib")
    with pytest.raises(InvalidInput, match=r"model.joblib cannot be loaded"):
        read_service_file(folder)
