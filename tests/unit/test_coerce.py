"""Inputs are checked against their definitions: what is taken, what it becomes, and what a refusal says."""

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gristmill.coerce import Inputs, coerce, infer
from gristmill.errors import InvalidInput
from gristmill.schema import (
    ArrayValue,
    Column,
    Form,
    FrameValue,
    MatrixValue,
    Parameter,
    ParameterType,
    parse_parameters,
)

T = ParameterType
doubles = st.floats(allow_nan=False, allow_infinity=False)
cells = st.none() | st.booleans() | st.integers() | doubles | st.text(max_size=5)
json_values = st.recursive(
    cells, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
)


def made(type_: ParameterType, value: Any, **more: Any) -> Any:
    return coerce(Parameter("x", type_, **more), value)


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        (T.LOGICAL, True, True),
        (T.LOGICAL, [False], False),
        (T.LOGICAL, None, None),
        (T.LOGICAL, [None], None),
        (T.INTEGER, 5, 5),
        (T.INTEGER, 5.0, 5),
        (T.INTEGER, [2**40], 2**40),
        (T.NUMERIC, 5, 5.0),
        (T.NUMERIC, [0.1], 0.1),
        (T.NUMERIC, None, None),
        (T.CHARACTER, "añ…😀", "añ…😀"),
        (T.CHARACTER, [""], ""),
        (T.VECTOR, 5, Column("integer", [5])),
        (T.VECTOR, None, Column("logical", [None])),
        (T.VECTOR, [], Column("logical", [])),
        (T.VECTOR, [None, None], Column("logical", [None, None])),
        (T.VECTOR, [True, None], Column("logical", [True, None])),
        (T.VECTOR, [1, None], Column("integer", [1, None])),
        (T.VECTOR, [1, 2.5, None], Column("numeric", [1, 2.5, None])),
        (T.VECTOR, [2147483647], Column("integer", [2147483647])),
        (T.VECTOR, [2147483648], Column("numeric", [2147483648])),
        (T.VECTOR, [-2147483648], Column("numeric", [-2147483648])),
        (T.VECTOR, ["a", None], Column("character", ["a", None])),
        (T.MATRIX, [[1, 2], [3, 4]], MatrixValue(2, 2, Column("integer", [1, 2, 3, 4]))),
        (T.MATRIX, [], MatrixValue(0, 0, Column("logical", []))),
        (T.MATRIX, [[], []], MatrixValue(2, 0, Column("logical", []))),
        (T.DATA_FRAME, {}, FrameValue([], [], 0)),
        (T.DATA_FRAME, [], FrameValue([], [], 0)),
        (T.DATA_FRAME, {"a": []}, FrameValue(["a"], [Column("logical", [])], 0)),
        (
            T.DATA_FRAME,
            {"a": 1, "b": "x"},
            FrameValue(["a", "b"], [Column("integer", [1]), Column("character", ["x"])], 1),
        ),
    ],
)
def test_a_value_becomes_what_its_type_says(type_: ParameterType, value: Any, expected: Any) -> None:
    result = made(type_, value)
    assert (result, type(result)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("type_", "value", "got"),
    [
        (T.LOGICAL, 1, "expected logical .* got 1"),
        (T.LOGICAL, [True, False], "got an array of length 2"),
        (T.INTEGER, 5.5, "expected integer .* got 5.5"),
        (T.INTEGER, True, "got true"),
        (T.INTEGER, 2**63, "within 64 bits"),
        (T.NUMERIC, "5", "expected numeric .* got the string '5'"),
        (T.NUMERIC, True, "got true"),
        (T.NUMERIC, 10**400, "got a huge number"),
        (T.NUMERIC, {}, "got an object with 0 keys"),
        (T.CHARACTER, 5, "expected character"),
        (T.VECTOR, {"a": 1}, "expected a vector .* got an object with 1 keys"),
        (T.VECTOR, [[1], [2]], "expected plain values, got an array of length 1"),
        (T.VECTOR, [1, "a"], "expected values of one type, got numbers and strings"),
        (T.VECTOR, [True, 1], "got logical and numbers"),
        (T.VECTOR, [10**400], "past the range of doubles"),
        (T.VECTOR, [1.5, None, -(10**400)], "past the range of doubles"),
        (T.MATRIX, [1, 2], "expected a matrix"),
        (T.MATRIX, 5, "expected a matrix"),
        (T.MATRIX, [[1], [1, 2]], "rows of 1 to 2 values"),
        (T.MATRIX, [[[1]]], "expected plain values"),
        (T.DATA_FRAME, 5, "expected a data.frame"),
        (T.DATA_FRAME, "a" * 100, "aaa\\.\\.\\."),
        (T.DATA_FRAME, [1], "an array with 1"),
        (T.DATA_FRAME, [{"a": 1}, None], "an array with null"),
        (T.DATA_FRAME, {"a": [1], "b": [1, 2]}, "columns of one length, got values in 'a' 1, 'b' 2"),
        (T.DATA_FRAME, {"a": [1, 2], "b": 1}, "columns of one length"),
        (T.DATA_FRAME, {"a": {"b": 1}}, "an array in column 'a', got an object"),
        (T.DATA_FRAME, {"a": [[1]]}, "plain values in column 'a'"),
        (T.DATA_FRAME, {"a": [1, "x"]}, "one type in column 'a'"),
    ],
)
def test_anything_else_is_refused_naming_what_came(type_: ParameterType, value: Any, got: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^input 'x': .*{got}"):
        made(type_, value)


@given(st.sampled_from(list(T)), json_values)
def test_whatever_comes_is_coerced_or_refused(type_: ParameterType, value: Any) -> None:
    try:
        message = str(type(made(type_, value)))
    except InvalidInput as error:
        message = error.message if "'x'" in error.message else ""
    assert 0 < len(message) < 1000


@given(st.dictionaries(st.text(max_size=3), st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=5))
def test_rows_and_columns_of_a_frame_are_the_same_frame(columns: dict[str, list[Any]]) -> None:
    rows = [{name: column[i] for name, column in columns.items()} for i in range(2)]

    def tried(value: Any) -> Any:
        try:
            return made(T.DATA_FRAME, value)
        except InvalidInput:
            return None

    assert tried(rows) == tried(columns)


def test_a_key_that_a_row_lacks_is_null_there() -> None:
    rows = [{"a": 1}, {"b": "x", "a": 2}, {"b": "y"}]
    expected = FrameValue(
        ["a", "b"], [Column("integer", [1, 2, None]), Column("character", [None, "x", "y"])], 3
    )
    assert made(T.DATA_FRAME, rows) == expected


def test_rows_with_equally_many_but_other_keys_are_joined_by_name() -> None:
    frame = made(T.DATA_FRAME, [{"a": 1, "b": 2}, {"a": 3, "c": 4}])
    assert frame.names == ["a", "b", "c"]
    assert [column.values for column in frame.columns] == [[1, 3], [2, None], [None, 4]]


def test_rows_without_common_keys_do_not_grow_beyond_measure() -> None:
    with pytest.raises(InvalidInput, match="too few keys in common"):
        made(T.DATA_FRAME, [{str(i): 1} for i in range(2000)])


def test_declared_columns_are_put_into_their_order() -> None:
    frame = made(T.DATA_FRAME, {"b": [1], "a": [2]}, columns=("a", "b"))
    assert frame == FrameValue(["a", "b"], [Column("integer", [2]), Column("integer", [1])], 1)
    assert made(T.DATA_FRAME, [{"b": 1, "a": 2}], columns=("a", "b")) == frame


@pytest.mark.parametrize("form", list(Form))
def test_declared_columns_are_demanded(form: Form) -> None:
    with pytest.raises(InvalidInput, match="column 'b' is missing; there is no column 'c'"):
        made(T.DATA_FRAME, {"a": [1], "c": [2]}, columns=("a", "b"), form=form)
    with pytest.raises(InvalidInput, match="there is no column 'c'"):
        made(T.DATA_FRAME, {"a": [1], "b": [2], "c": [2]}, columns=("a", "b"), form=form)
    with pytest.raises(InvalidInput, match="column 'b' is missing"):
        made(T.DATA_FRAME, {"a": [1]}, columns=("a", "b"), form=form)


@given(st.lists(st.tuples(doubles, st.integers(-(2**53), 2**53), st.booleans()), min_size=1))
@example([(5e-324, 0, True), (-0.0, 2**53, False)])
def test_an_array_holds_the_very_doubles(rows: list[tuple[float, int, bool]]) -> None:
    columns = {name: list(column) for name, column in zip("abc", zip(*rows, strict=True), strict=True)}
    value = made(T.DATA_FRAME, columns, columns=("c", "a", "b"), form=Form.ARRAY)
    assert value.rows == len(rows)
    flat = [float(cell) for name in "cab" for cell in columns[name]]
    assert value.data == struct.pack(f"{len(flat)}d", *flat)


def test_nulls_of_an_array_are_nan() -> None:
    value = made(T.DATA_FRAME, {"a": [1, None], "b": [None, 2.5]}, columns=("a", "b"), form=Form.ARRAY)
    assert isinstance(value, ArrayValue)
    (a, na), (nb, b) = value.columns
    assert (a, b) == (1.0, 2.5)
    assert math.isnan(na)
    assert math.isnan(nb)


@pytest.mark.parametrize(
    ("columns", "got"),
    [
        ({"a": ["x"], "b": [1]}, "numbers in column 'a', got the string 'x'"),
        ({"a": [1], "b": [[1]]}, "numbers in column 'b', got an array"),
        ({"a": [1], "b": [10**400]}, "in column 'b' is past the range"),
    ],
)
def test_an_array_takes_numbers_only(columns: dict[str, Any], got: str) -> None:
    with pytest.raises(InvalidInput, match=got):
        made(T.DATA_FRAME, columns, columns=("a", "b"), form=Form.ARRAY)


def inputs(**types: str) -> Inputs:
    return Inputs(parse_parameters([{"name": name, "type": type_} for name, type_ in types.items()]))


def test_inputs_come_in_the_order_of_their_definitions() -> None:
    assert inputs(a="numeric", b="character")({"b": "x", "a": 1}) == [1.0, "x"]
    assert inputs()({}) == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"a": 1}, "missing 'b'; expected 'a', 'b'"),
        ({}, "missing 'a', 'b'"),
        ({"a": 1, "b": 2, "c": 3}, "not an input: 'c'"),
        ({"a": 1, "c": 3}, "missing 'b'; not an input: 'c'"),
        ([1, 2], "expected an object of the inputs by name, got an array of length 2"),
        (None, "got null"),
        ({str(i): i for i in range(50)}, "and 40 more"),
    ],
)
def test_missing_and_surplus_inputs_are_named(given: Any, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        inputs(a="numeric", b="numeric")(given)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("x", "x"),
        (5, 5),
        (2**70, float(2**70)),
        ([1, 2], Column("integer", [1, 2])),
        ([], Column("logical", [])),
        ([[1], [2]], MatrixValue(2, 1, Column("integer", [1, 2]))),
        ({"a": [1]}, FrameValue(["a"], [Column("integer", [1])], 1)),
        ([{"a": 1}], FrameValue(["a"], [Column("integer", [1])], 1)),
    ],
)
def test_a_value_without_a_definition_is_what_it_looks_like(value: Any, expected: Any) -> None:
    assert infer("x", value) == expected


def test_what_looks_like_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'x'"):
        infer("x", [1, "a"])
    with pytest.raises(InvalidInput, match="cannot take"):
        infer("x", json)


_wide = st.integers(-(2**70), 2**70) | st.integers(2**53 - 2, 2**53 + 2) | doubles | st.none()


@given(st.lists(_wide, min_size=1, max_size=4), st.booleans())
@example([2**53 + 1], False)
@example([-(2**53) - 1, None], True)
def test_an_array_holds_what_was_sent_or_the_column_is_named(values: list[Any], rows: bool) -> None:
    given: Any = {"a": [1.5] * len(values), "b": values}
    if rows:
        given = [{"a": 1.5, "b": each} for each in values]
    if _some_change(values):
        with pytest.raises(InvalidInput, match=r"column 'b' is past 2\^53"):
            made(T.DATA_FRAME, given, columns=("a", "b"), form=Form.ARRAY)
    else:
        array = made(T.DATA_FRAME, given, columns=("a", "b"), form=Form.ARRAY)
        assert [None if math.isnan(each) else each for each in array.columns[1]] == values


def _some_change(values: list[Any]) -> bool:
    """Whether a double would hold another number than one of these."""
    return any(type(each) is int and float(each) != each for each in values)


@given(st.lists(_wide, min_size=1, max_size=4))
def test_a_column_is_told_apart_by_what_doubles_can_hold(values: list[Any]) -> None:
    if _some_change(values) and any(type(each) is float for each in values):
        with pytest.raises(InvalidInput, match=r"past 2\^53"):
            made(T.VECTOR, values)
    else:
        column = made(T.VECTOR, values)
        assert column.values == values
        assert (column.kind == "whole") == _some_change(values)
