"""Python's values and types, and the protocol's."""

from __future__ import annotations

import datetime
import decimal
import json
import typing
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gristmill.client import decoding
from gristmill.client.decoding import decode, decode_untyped
from gristmill.client.encoding import encode, encode_untyped
from gristmill.client.errors import InvalidInput
from gristmill.client.types import Frame, parameter_of
from gristmill.schema import Form, Parameter, ParameterType

T = ParameterType
UTC = datetime.UTC


@pytest.mark.parametrize(
    ("spec", "type_"),
    [
        (bool, T.LOGICAL), (np.bool_, T.LOGICAL), ("bool", T.LOGICAL), (True, T.LOGICAL),
        (int, T.INTEGER), (np.int64, T.INTEGER), (3, T.INTEGER), (np.int32(3), T.INTEGER),
        (float, T.NUMERIC), ("numeric", T.NUMERIC), ("float | None", T.NUMERIC), (2.5, T.NUMERIC),
        (typing.Optional[float], T.NUMERIC), (np.float64(2), T.NUMERIC),  # noqa: UP045
        (str, T.CHARACTER), ("character", T.CHARACTER),
        (list, T.VECTOR), (list[float], T.VECTOR), (np.ndarray, T.VECTOR), (np.array, T.VECTOR),
        ("numpy.array", T.VECTOR), (pd.Series, T.VECTOR), ("npt.NDArray[np.float64]", T.VECTOR),
        (np.zeros(3), T.VECTOR), ([1, 2], T.VECTOR), (pd.Series([1]), T.VECTOR), (tuple[int, ...], T.VECTOR),
        ("matrix", T.MATRIX), (np.matrix, T.MATRIX), ("numpy.matrix", T.MATRIX), (np.zeros((2, 2)), T.MATRIX),
        (list[list[float]], T.MATRIX), ("list[list[float]]", T.MATRIX), ([[1], [2]], T.MATRIX),
        (pd.DataFrame, T.DATA_FRAME), ("pandas.DataFrame", T.DATA_FRAME), ("data.frame", T.DATA_FRAME),
        (dict, T.DATA_FRAME), ("'pd.DataFrame'", T.DATA_FRAME), (T.MATRIX, T.MATRIX),
    ],
)  # fmt: skip
def test_a_type_may_be_said_in_many_ways(spec: Any, type_: ParameterType) -> None:
    assert parameter_of("x", spec) == Parameter("x", type_)


def test_a_frame_brings_its_columns() -> None:
    frame = pd.DataFrame({"b": [1], "a": [2]})
    expected = Parameter("x", T.DATA_FRAME, ("b", "a"))
    assert parameter_of("x", frame) == expected
    assert parameter_of("x", Frame(frame)) == expected
    assert parameter_of("x", Frame(["b", "a"])) == expected
    assert parameter_of("x", {"type": "pandas.DataFrame", "columns": ["b", "a"]}) == expected
    assert parameter_of("x", {"b": [1], "a": [2]}) == expected
    assert parameter_of("x", Frame(frame, array=True)).form is Form.ARRAY
    assert parameter_of("y", expected) == Parameter("y", T.DATA_FRAME, ("b", "a"))


@pytest.mark.parametrize("spec", ["floot", object(), complex, None, typing.Union[int, str]])  # noqa: UP007
def test_what_is_no_type_is_told_with_those_that_are(spec: Any) -> None:
    with pytest.raises(InvalidInput, match=r"output 'x': .* is no type that a service knows; these are bool"):
        parameter_of("x", spec, what="output")


@pytest.mark.parametrize(
    ("type_", "value", "sent"),
    [
        (T.LOGICAL, np.bool_(True), True), (T.LOGICAL, [False], False), (T.LOGICAL, None, None),
        (T.INTEGER, 3.0, 3), (T.INTEGER, np.int64(3), 3), (T.INTEGER, np.array([3]), 3),
        (T.NUMERIC, 3, 3), (T.NUMERIC, np.float32(0.5), 0.5), (T.NUMERIC, float("nan"), None),
        (T.NUMERIC, decimal.Decimal("2.5"), 2.5), (T.NUMERIC, pd.Series([2.5]), 2.5),
        (T.CHARACTER, "ä", "ä"), (T.CHARACTER, datetime.date(2026, 11, 22), "2026-11-22"),
        (T.VECTOR, 5, [5]), (T.VECTOR, (1, None), [1, None]), (T.VECTOR, range(3), [0, 1, 2]),
        (T.VECTOR, np.array([1.5, np.nan]), [1.5, None]), (T.VECTOR, pd.Index(["a", "b"]), ["a", "b"]),
        (T.VECTOR, np.array([[1], [2]]), [1, 2]), (T.VECTOR, pd.Series([1, None], dtype="Int64"), [1, None]),
        (T.VECTOR, pd.Series(["x", "y"], dtype="category"), ["x", "y"]),
        (T.VECTOR, pd.to_datetime(pd.Series(["2026-11-22", None])), ["2026-11-22T00:00:00", None]),
        (T.VECTOR, [datetime.datetime(2026, 11, 22, 1, tzinfo=UTC)], ["2026-11-22T01:00:00Z"]),
        (T.VECTOR, np.array(["2026-11-22", "NaT"], dtype="datetime64[D]"), ["2026-11-22", None]),
        (T.MATRIX, np.eye(2), [[1.0, 0.0], [0.0, 1.0]]), (T.MATRIX, [[1, None]], [[1, None]]),
        (T.MATRIX, pd.DataFrame({"a": [1, 2]}), [[1], [2]]),
        (T.DATA_FRAME, {"a": [1, None], "b": "x"}, {"a": [1, None], "b": ["x"]}),
        (T.DATA_FRAME, [{"a": np.int64(1)}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        (T.DATA_FRAME, pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None], 3: [True, False]}),
         {"a": [1.0, None], "b": ["x", None], "3": [True, False]}),
        (T.DATA_FRAME, pd.Series({"a": 1.5, "b": "x"}), {"a": [1.5], "b": ["x"]}),
    ],
)  # fmt: skip
def test_values_leave_as_json_of_their_type(type_: ParameterType, value: Any, sent: Any) -> None:
    made = encode(Parameter("x", type_), value)
    assert made == sent
    assert json.dumps(made, allow_nan=False)


def test_an_array_may_stand_for_a_frame_whose_columns_are_declared() -> None:
    declared = Parameter("x", T.DATA_FRAME, ("a", "b"))
    assert encode(declared, np.array([[1, 2], [3, 4]])) == {"a": [1, 3], "b": [2, 4]}


@pytest.mark.parametrize(
    ("type_", "value", "expected", "got"),
    [
        (T.LOGICAL, 1, "bool", "int 1"),
        (T.INTEGER, 2.5, "int", "float 2.5"),
        (T.INTEGER, True, "int", "bool True"),
        (T.NUMERIC, "1", "float", "str '1'"),
        (T.NUMERIC, [1, 2], "float", "list of length 2"),
        (T.NUMERIC, pd.DataFrame({"a": [1]}), "float", "pandas.DataFrame of shape 1 x 1"),
        (T.CHARACTER, 5, "str", "int 5"),
        (T.VECTOR, np.eye(2), "numpy.ndarray", "numpy.ndarray of shape 2 x 2"),
        (T.VECTOR, {"a": 1}, "numpy.ndarray", "dict of length 1"),
        (T.MATRIX, [1, 2], "numpy.ndarray of two dimensions", "list of length 2"),
        (T.DATA_FRAME, 3, "pandas.DataFrame", "int 3"),
        (T.VECTOR, [object], "numbers, texts, truth values or dates", "type <class 'object'>"),
        (T.VECTOR, [float("inf")], "finite numbers, as JSON has no others", "an infinite one"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_what_was_expected_and_what_came(
    type_: ParameterType, value: Any, expected: str, got: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        encode(Parameter("x", type_), value)
    assert (raised.value.parameter, raised.value.expected, raised.value.got) == ("x", expected, got)
    assert str(raised.value) == f"input 'x': expected {expected}, got {got}"


def test_a_cell_that_does_not_fit_names_its_column() -> None:
    with pytest.raises(InvalidInput, match=r"input 'x, column b': expected finite numbers"):
        encode(Parameter("x", T.DATA_FRAME), pd.DataFrame({"a": [1], "b": [np.inf]}))
    with pytest.raises(InvalidInput, match="columns with names of their own"):
        encode(Parameter("x", T.DATA_FRAME), pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (1, 1), ("a", "a"), (None, None), (np.float64(1), 1.0), ([1, 2], [1, 2]), (np.arange(2), [0, 1]),
        (np.eye(1), [[1.0]]), (pd.DataFrame({"a": [1]}), {"a": [1]}), ({"a": [1]}, {"a": [1]}),
    ],
)  # fmt: skip
def test_without_a_declared_type_the_value_decides(value: Any, sent: Any) -> None:
    assert encode_untyped("x", value) == sent


def test_outputs_come_as_what_python_has_for_them() -> None:
    assert decode(T.NUMERIC, 3) == 3.0
    assert isinstance(decode(T.NUMERIC, 3), float)
    assert decode(T.LOGICAL, True) is True
    assert decode(T.CHARACTER, None) is None
    vector = decode(T.VECTOR, [1.5, None])
    assert vector.dtype == float
    assert np.isnan(vector[1])
    assert decode(T.VECTOR, ["a", None]).dtype == object
    assert decode(T.VECTOR, [1, 2]).dtype.kind == "i"
    assert decode(T.VECTOR, [True, False]).dtype == bool
    assert decode(T.VECTOR, []).dtype == float
    assert decode(T.VECTOR, 7).tolist() == [7]
    assert decode(T.MATRIX, [[1, 2], [3, 4], [5, 6]]).shape == (3, 2)
    assert decode(T.MATRIX, [[], []]).shape == (2, 0)
    frame = decode(T.DATA_FRAME, {"b": [1, 2], "a": ["x", None]})
    assert list(frame.columns) == ["b", "a"]


def test_values_of_a_session_are_typed_by_their_shape() -> None:
    assert decode_untyped([1, 2]).tolist() == [1, 2]
    assert decode_untyped([[1, 2]]).shape == (1, 2)
    assert decode_untyped({"a": [1, 2]}).shape == (2, 1)
    assert decode_untyped({"a": [1, 2], "b": [1]}) == {"a": [1, 2], "b": [1]}
    assert decode_untyped("x") == "x"


def test_without_numpy_and_pandas_there_are_lists_and_dicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_library", lambda name: None)
    assert decode(T.VECTOR, [1, None]) == [1, None]
    assert decode(T.MATRIX, [[1], [2]]) == [[1], [2]]
    assert decode(T.DATA_FRAME, {"a": [1]}) == {"a": [1]}
