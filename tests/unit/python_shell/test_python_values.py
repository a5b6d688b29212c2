"""Inputs and outputs of Python code where the shell's integration tests do not reach."""

import datetime
import decimal
import enum
import fractions
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.python_shell import python_inputs
from gristmill.python_shell.python_inputs import to_python
from gristmill.python_shell.python_outputs import converter, inferred
from gristmill.python_shell.runtime import UserError
from gristmill.schema import ArrayValue, Column, FrameValue, MatrixValue, ParameterType


class Colour(enum.IntEnum):
    RED = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, 3),
        (decimal.Decimal("1.5"), 1.5),
        (fractions.Fraction(1, 4), 0.25),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (datetime.datetime.fromisoformat("2026-01-02T03:04:05.000600"), "2026-01-02T03:04:05.000600"),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00Z"),
        (datetime.time(3, 4), "03:04:00"),
        (datetime.timedelta(seconds=90), 90.0),
        (pd.Timestamp("2026-01-02 03:04:05.000000600"), "2026-01-02T03:04:05.000000600"),
        (pd.Period("2026-01"), "2026-01"),
        (pd.Interval(0, 1), "(0, 1]"),
        (pd.NaT, None),
        (pd.NA, None),
        (np.datetime64("2026-01-02T03:04:05.500"), "2026-01-02T03:04:05.5"),
        (np.datetime64("2026-01-02T00:00:00.000"), "2026-01-02T00:00:00"),
        (np.datetime64("NaT"), None),
        (np.timedelta64("NaT"), None),
        (np.timedelta64(90, "s"), 90.0),
        (np.longdouble(0.5), 0.5),
        (np.array(7), 7),
    ],
)
def test_a_cell_of_any_kind_is_plain_json(value: Any, expected: Any) -> None:
    made: Any = converter("x", ParameterType.VECTOR)([value, value])
    assert made == [expected, expected]
    assert {type(each) for each in made} == {type(expected)}


@pytest.mark.parametrize("value", [b"x", 1j, np.complex64(1), np.void(b"x"), object(), {1}, len, [1]])
def test_a_cell_that_json_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match=r"^output 'x'.*cannot turn a .* into JSON"):
        converter("x", ParameterType.VECTOR)([value, 1])


def test_a_frame_of_one_column_is_a_vector_and_a_larger_one_is_not() -> None:
    convert = converter("x", ParameterType.VECTOR)
    assert convert(pd.DataFrame({"a": [1, 2]})) == [1, 2]
    assert convert(pd.DataFrame({"a": [1], "b": ["x"]})) == [1, "x"]
    with pytest.raises(UserError, match="one dimension"):
        convert(pd.DataFrame({"a": [1, 2], "b": [1, 2]}))


def test_scalars_are_made_of_what_is_one_value() -> None:
    assert converter("x", ParameterType.LOGICAL)(np.array([1])) is True
    assert converter("x", ParameterType.INTEGER)(pd.DataFrame({"a": [5.0]})) == 5
    assert converter("x", ParameterType.NUMERIC)(True) == 1
    assert converter("x", ParameterType.CHARACTER)(1.5) == "1.5"


def test_what_has_no_declared_type_is_told_by_its_shape() -> None:
    looped: list[Any] = []
    looped.append([looped])
    with pytest.raises(UserError, match="nested too deeply"):
        inferred(looped, "output 'x'")
    assert inferred([[1, 2], "a"], "x") == [[1, 2], "a"]
    assert inferred([[5]], "x") == [[5]]
    with pytest.raises(UserError, match="array of 2 x 2 x 2"):
        inferred(np.zeros((2, 2, 2)), "x")


def test_numbers_past_64_bits_become_doubles() -> None:
    assert to_python(Column("numeric", [2**63])).dtype == np.uint64
    assert to_python(Column("numeric", [2**70])).tolist() == [float(2**70)]
    assert to_python(Column("numeric", [2**53 + 1])).tolist() == [2**53 + 1]


def test_strings_keep_their_last_nul() -> None:
    assert to_python(Column("character", ["a\0", "b"])).tolist() == ["a\0", "b"]


def test_labels_of_a_frame_are_its_own() -> None:
    value = FrameValue(["a", "b"], [Column("numeric", [1.5]), Column("numeric", [2.5])], 1)
    first = to_python(value)
    first.columns.name = "changed"
    first.iloc[0, 0] = 9.0
    second = to_python(value)
    assert second.columns.name is None
    assert second.to_dict("list") == {"a": [1.5], "b": [2.5]}


def test_labels_are_not_kept_for_ever() -> None:
    for i in range(600):
        to_python(FrameValue([f"c{i}"], [Column("numeric", [1.5])], 1))
    assert len(python_inputs._indexes) <= 256


columns = st.one_of(
    st.lists(st.floats(allow_nan=False) | st.none(), min_size=3, max_size=3).map(lambda v: ("numeric", v)),
    st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=3, max_size=3).map(lambda v: ("integer", v)),
    st.lists(st.booleans() | st.none(), min_size=3, max_size=3).map(lambda v: ("logical", v)),
    st.lists(st.text(max_size=3) | st.none(), min_size=3, max_size=3).map(lambda v: ("character", v)),
)


@given(st.dictionaries(st.text(max_size=3), columns, max_size=4))
def test_a_frame_comes_back_as_it_went(frame: dict[str, tuple[str, list[Any]]]) -> None:
    value = FrameValue(list(frame), [Column(*column) for column in frame.values()], 3)
    back: Any = converter("x", ParameterType.DATA_FRAME)(to_python(value))
    assert list(back) == list(frame)
    for name, (_, values) in frame.items():
        shown = [None if pd.isna(each) else each for each in back[name]]
        assert shown == values


def test_without_numpy_and_pandas_there_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_inputs, "_HAVE_PANDAS", False)
    frame = FrameValue(["a"], [Column("integer", [1, 2])], 2)
    assert to_python(frame)["a"].tolist() == [1, 2]
    monkeypatch.setattr(python_inputs, "_HAVE_NUMPY", False)
    assert to_python(frame) == {"a": [1, 2]}
    assert to_python(MatrixValue(2, 1, Column("integer", [1, 2]))) == [[1], [2]]
    assert to_python(ArrayValue(("a",), np.array([0.5]).tobytes(), 1)) == [[0.5]]
