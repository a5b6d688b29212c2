"""Rows of calls as tensors."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from gristmill.errors import InvalidInput
from gristmill.realtime.description import parse
from gristmill.realtime.rows import Reader
from tests.realtime_models import description

MIXED: list[dict[str, Any]] = [
    {"name": "größe", "type": "numeric", "missing": "pass"},
    {"name": "n", "type": "integer"},
    {"name": "yes", "type": "logical", "missing": "pass"},
    {"name": "kind", "type": "factor", "levels": ["a", "b", "1"]},
    {"name": "loose", "type": "factor", "levels": ["u"], "missing": "pass", "unseen": "missing"},
    {"name": "text", "type": "character", "missing": "pass"},
]
FEEDS: list[dict[str, Any]] = [
    {"name": "numbers", "dtype": "double", "columns": ["größe", "yes", "kind", "loose"]},
    {"name": "whole", "dtype": "int64", "columns": ["n"]},
    {"name": "texts", "dtype": "string", "columns": ["text", "kind"]},
]
NAN = float("nan")


def reader(columns: list[dict[str, Any]], feeds: list[dict[str, Any]]) -> Reader:
    sample = {"columns": {each["name"]: [None] for each in columns}, "expected": {"Score": [1.0]}}
    return Reader(parse(json.dumps(description(columns=columns, feeds=feeds, sample=sample)).encode()))


MIX = reader(MIXED, FEEDS)
PLAIN = reader(
    [{"name": "a", "type": "numeric"}, {"name": "b", "type": "integer", "missing": "pass"}],
    [{"name": "X", "dtype": "double", "columns": ["a", "b"]}],
)


def body(value: Any) -> bytes:
    return msgspec.json.encode({"inputData": value})


def frame(**changes: Any) -> dict[str, list[Any]]:
    return {
        "größe": [1.5, None],
        "n": [2**40, -3],
        "yes": [True, None],
        "kind": ["b", "1"],
        "loose": ["u", "new"],
        "text": ["x", None],
        **changes,
    }


def test_columns_go_where_their_feeds_want_them() -> None:
    rows = MIX.read(body(frame()))
    assert rows.rows == 2
    numbers, whole, texts = rows.tensors
    np.testing.assert_array_equal(numbers, [[1.5, 1, 1, 0], [NAN, NAN, 2, NAN]])
    assert whole.tolist() == [[2**40], [-3]]
    assert texts.tolist() == [["x", "b"], ["", "1"]]


@pytest.mark.parametrize(
    "value",
    [
        [{"a": 1, "b": 2}, {"a": 2.5, "b": None}],
        {"a": [1, 2.5], "b": [2, None]},
        {"b": [2, None], "a": [1.0, 2.5]},
        {"a": [1, 2.5], "b": [2.0, None]},
    ],
)
def test_rows_come_as_columns_or_records_in_any_order(value: Any) -> None:
    (tensor,) = PLAIN.read(body(value)).tensors
    np.testing.assert_array_equal(tensor, [[1, 2], [2.5, NAN]])
    assert tensor.flags.c_contiguous


def test_truth_values_are_numbers_where_numbers_are_asked_for() -> None:
    (tensor,) = PLAIN.read(body({"a": [True, False], "b": [1, 0]})).tensors
    assert tensor.tolist() == [[1, 1], [0, 0]]


def test_many_rows_are_read_as_few_are() -> None:
    numbers = [0.1, -1e-300, 5e-324, 1.7976931348623157e308, 2**53 + 1, 3, 1 / 3] * 100
    for other in (numbers, list(range(len(numbers))), [None, *numbers[1:]]):
        (tensor,) = PLAIN.read(body({"b": other, "more": ["x"], "a": numbers})).tensors
        np.testing.assert_array_equal(tensor, np.array([numbers, other], dtype=float).T)
        assert tensor.flags.c_contiguous


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"inputData": {"a": [%s], "b": [1]}}', "length"),
        (b'{"inputData": {"a": [%s, "x"], "b": [1]}}', "'a'"),
        (b'{"inputData": {"a": [%s], "b": [%s]}, "x": 1}', "nothing beside"),
        (b'{"inputData": {"a": [%s], "c": [%s]}}', "'b' is missing"),
        (b'{"inputData": {"a": [%s], "b": [%s]}', "not JSON"),
        (b'{"inputData": [%s]}', "inputData"),
        (b"[%s]", "inputData"),
    ],
)
def test_of_many_rows_what_does_not_fit_is_refused_too(text: bytes, why: str) -> None:
    numbers = b",".join([b"1.5"] * 1000)
    with pytest.raises(InvalidInput, match=why):
        PLAIN.read(text.replace(b"%s", numbers))


def test_truth_values_in_many_rows_are_numbers_too() -> None:
    (tensor,) = PLAIN.read(body({"a": [True, False] * 500, "b": [1, 0] * 500})).tensors
    assert tensor.tolist() == [[1, 1], [0, 0]] * 500


def test_numbers_are_levels_by_their_text() -> None:
    assert MIX.read(body(frame(kind=[1, 1]))).tensors[0][:, 2].tolist() == [2, 2]


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2], "b": [3, 4], "more": ["x", None]},
        {"a": [True, False], "b": [3, 4], "more": [[1]]},
        [{"a": 1, "b": 3, "more": 1}, {"a": 2, "b": 4}],
    ],
)
def test_columns_that_the_model_does_not_look_at_may_come_too(value: Any) -> None:
    assert PLAIN.read(body(value)).tensors[0][:, 1].tolist() == [3, 4]


def test_no_rows_are_no_rows() -> None:
    rows = PLAIN.read(body({"a": [], "b": []}))
    assert (rows.rows, rows.tensors[0].shape) == (0, (0, 2))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (frame(n=[1, None]), "'n': row 2 is null"),
        (frame(kind=["b", "z"]), "'kind': the model does not know the level 'z'; it knows 'a', 'b', '1'"),
        (frame(kind=["b", None]), "'kind': row 2 is null"),
        (frame(n=[1.5, 2]), "'n': expected integer, and got numbers that are none"),
        (frame(n=[2**70, 2]), "'n': expected integer"),
        (frame(text=[1, 2]), "'text': expected character, and got integer"),
        (frame(größe=["x", "y"]), "'größe': expected numeric, and got character"),
        (frame(yes=[2, 3]), "'yes': expected logical"),
        (frame(n=[1]), "length"),
        ({"n": [1]}, "missing"),
        ("text", "inputData"),
        (None, "inputData"),
        ([[1, 2]], "inputData"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(value: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        MIX.read(body(value))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"x": 1}', b'{"inputData": {"a": [1], "b": [1]}, "x": 1}', b"\xff", b"[" * 100_000],
)
def test_what_is_no_call_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        PLAIN.read(data)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidInput, match="length"):
        PLAIN.read(body({"a": [1, 2], "b": [1]}))


def test_a_null_in_the_plain_form_is_found_too() -> None:
    with pytest.raises(InvalidInput, match="'a': row 1 is null"):
        PLAIN.read(body({"a": [None], "b": [1]}))
