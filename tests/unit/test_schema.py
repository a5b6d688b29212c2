"""Definitions of parameters: what may be said, and that a refusal names the place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import InvalidInput
from gristmill.schema import ArrayValue, Form, Parameter, ParameterType, parse_parameters

_CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,10}", fullmatch=True)


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    name, type_ = draw(names), draw(st.sampled_from(list(ParameterType)))
    if type_ is not ParameterType.DATA_FRAME:
        return Parameter(name, type_)
    columns = tuple(draw(st.lists(st.text(_CHARACTERS, max_size=5), unique=True, max_size=4)))
    form = draw(st.sampled_from(list(Form))) if columns else Form.FRAME
    return Parameter(name, type_, columns, form)


@given(st.lists(parameters(), unique_by=lambda each: each.name))
def test_what_a_parameter_describes_is_parsed_to_the_same(given: list[Parameter]) -> None:
    assert parse_parameters([each.describe() for each in given]) == tuple(given)


def test_no_list_is_no_parameters() -> None:
    assert parse_parameters(None) == ()


@pytest.mark.parametrize(
    ("definitions", "reason"),
    [
        ({}, "must be an array"),
        (["x"], r"\[0\] must be an object"),
        ([{"type": "numeric"}], r"\[0\] has no name"),
        ([{"name": 7, "type": "numeric"}], "has no name"),
        ([{"name": "x", "type": "float"}], r"\(x\): unknown type 'float'; known are logical, integer"),
        ([{"name": "x", "type": []}], "unknown type"),
        ([{"name": "x"}], "unknown type None"),
        ([{"name": "a b", "type": "numeric"}], "'a b' cannot be a name"),
        ([{"name": "1a", "type": "numeric"}], "'1a' cannot be a name"),
        ([{"name": "a" * 129, "type": "numeric"}], "cannot be a name"),
        ([{"name": "../a", "type": "numeric"}], "cannot be a name"),
        ([{"name": "x", "type": "vector"}, {"name": "x", "type": "matrix"}], "name 'x' twice"),
        ([{"name": "x", "type": "vector", "columns": ["a"]}], "belong to a data.frame, not a vector"),
        ([{"name": "x", "type": "vector", "form": "array"}], "belong to a data.frame"),
        ([{"name": "x", "type": "data.frame", "form": "array"}], "needs the columns"),
        ([{"name": "x", "type": "data.frame", "form": "list"}], "form must be"),
        ([{"name": "x", "type": "data.frame", "form": ["array"]}], "form must be"),
        ([{"name": "x", "type": "data.frame", "columns": "a"}], "must be an array of names"),
        ([{"name": "x", "type": "data.frame", "columns": [1]}], "must be an array of names"),
        ([{"name": "x", "type": "data.frame", "columns": ["a", "b", "a"]}], "column 'a' is named twice"),
    ],
)
def test_a_bad_definition_is_refused_by_name(definitions: object, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse_parameters(definitions)


def test_an_array_tells_its_columns() -> None:
    parameter = Parameter("x", ParameterType.DATA_FRAME, ("a", "b"), Form.ARRAY)
    from gristmill.coerce import coerce

    value = coerce(parameter, {"b": [3, 4], "a": [1.5, None]})
    assert isinstance(value, ArrayValue)
    assert repr(value.columns) == "[[1.5, nan], [3.0, 4.0]]"
