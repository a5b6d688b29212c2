"""R's serialization format, written and read without R."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import InvalidInput
from gristmill.python_shell.r_decode import Named, decode
from gristmill.python_shell.r_encode import HEADER, encode_inputs, encode_value, list_head
from gristmill.schema import ArrayValue, Column, FrameValue, MatrixValue, Value

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def decoded(value: Value, type_: str = "") -> Any:
    """`value` as the reader sees it in a list of one."""
    return decode(HEADER + list_head(1) + encode_value(value, type_))[0]


def bits(values: list[float]) -> list[bytes]:
    return [struct.pack("<d", each) for each in values]


@given(st.lists(st.floats()))
def test_doubles_keep_every_bit(values: list[float]) -> None:
    assert bits(decoded(Column("numeric", list(values)))) == bits(values)


@given(st.lists(st.one_of(st.none(), text)))
def test_text_and_its_gaps_come_back(values: list[str | None]) -> None:
    assert decoded(Column("character", list(values))) == values


@given(st.lists(st.one_of(st.none(), st.booleans())))
def test_truth_values_come_back(values: list[bool | None]) -> None:
    assert decoded(Column("logical", list(values))) == values


@given(st.lists(st.one_of(st.none(), st.integers(-(2**31) + 1, 2**31 - 1))))
def test_integers_come_back(values: list[int | None]) -> None:
    assert decoded(Column("integer", list(values))) == values


@pytest.mark.parametrize("value", [-(2**31), 2**31, -(2**40)])
def test_integers_past_those_of_r_become_doubles(value: int) -> None:
    assert decoded(Column("integer", [value, 1])) == [float(value), 1.0]
    assert decoded(value) == [float(value)]


def test_a_null_among_the_smallest_integers_is_na_as_a_double_too() -> None:
    first, second = decoded(Column("integer", [-(2**31), None]))
    assert first == -(2.0**31)
    assert struct.pack("<d", second) == struct.pack("<Q", 0x7FF00000000007A2)


def test_a_null_among_numbers_is_rs_na() -> None:
    (value,) = decoded(Column("numeric", [None]))
    assert struct.pack("<d", value) == struct.pack("<Q", 0x7FF00000000007A2)


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (True, "logical", [True]),
        (3, "integer", [3]),
        (3, "numeric", [3.0]),
        (2.5, "numeric", [2.5]),
        ("é", "character", ["é"]),
        (None, "logical", [None]),
        (None, "integer", [None]),
        (None, "character", [None]),
        (None, "", [None]),
    ],
)
def test_scalars_become_vectors_of_one(value: Value, type_: str, expected: list[object]) -> None:
    assert decoded(value, type_) == expected


def test_a_null_number_is_not_a_number() -> None:
    assert math.isnan(decoded(None, "numeric")[0])


def test_a_frame_is_a_list_with_names() -> None:
    value = FrameValue(["a", "b c"], [Column("integer", [1, 2]), Column("character", ["x", None])], 2)
    assert decoded(value) == Named([[1, 2], ["x", None]], ["a", "b c"])


def test_an_array_is_a_frame_of_numbers() -> None:
    value = ArrayValue(("a", "b"), struct.pack("4d", 1, 2.5, 3, 4), 2)
    assert decoded(value) == Named([[1.0, 2.5], [3.0, 4.0]], ["a", "b"])


def test_a_matrix_is_turned_to_columns() -> None:
    value = MatrixValue(2, 3, Column("integer", [1, 2, 3, 4, 5, 6]))
    assert decoded(value) == [1, 4, 2, 5, 3, 6]


@pytest.mark.parametrize("bad", ["a\0b", "\ud800", "\0"])
def test_text_that_r_cannot_hold_is_refused_by_the_input_s_name(bad: str) -> None:
    with pytest.raises(InvalidInput, match=r"input 'who'.*cannot be passed to R"):
        encode_inputs(["who"], ["character"], [bad])


def test_a_number_too_large_for_a_double_is_refused() -> None:
    with pytest.raises(InvalidInput, match="input 'n': a number is too large for R"):
        encode_inputs(["n"], ["vector"], [Column("numeric", [10**400, None])])


@given(st.binary(max_size=64))
def test_garbage_is_an_error_and_nothing_worse(data: bytes) -> None:
    try:
        answer = decode(HEADER + data)
    except (ValueError, struct.error, IndexError, KeyError):
        return
    assert isinstance(answer, list)
