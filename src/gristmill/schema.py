"""The seven types of inputs and outputs: their definitions, and values that are free of any language.

`gristmill.coerce` makes such values of JSON. The shell imports this module, so that it runs under Python 3.8
and needs the standard library only.
"""

from __future__ import annotations

import enum
from array import array
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Tuple, Union

from gristmill.errors import InvalidInput

__all__ = [
    "ArrayValue",
    "Column",
    "Form",
    "FrameValue",
    "MatrixValue",
    "Parameter",
    "ParameterType",
    "Value",
    "parse_parameters",
]


class ParameterType(str, enum.Enum):
    """Type names of the protocol, the same for R and Python."""

    LOGICAL = "logical"
    INTEGER = "integer"
    NUMERIC = "numeric"
    CHARACTER = "character"
    VECTOR = "vector"
    MATRIX = "matrix"
    DATA_FRAME = "data.frame"


class Form(str, enum.Enum):
    """How Python code wants a data.frame: a pandas frame, or a 2-d float array, columns as declared."""

    FRAME = "frame"
    ARRAY = "array"


@dataclass(frozen=True)
class Parameter:
    """Definition of one input or output.

    `columns` and `form` are Gristmill's own additions and apply to a data.frame: with `columns` a frame must
    have exactly these, and is put into this order; `Form.ARRAY` needs them.
    """

    name: str
    type: ParameterType
    columns: Tuple[str, ...] = ()
    form: Form = Form.FRAME

    def describe(self) -> Dict[str, Any]:
        """The protocol's `ParameterDefinition`, with our additions only where they are set."""
        described: Dict[str, Any] = {"name": self.name, "type": self.type.value}
        if self.columns:
            described["columns"] = list(self.columns)
        if self.form is not Form.FRAME:
            described["form"] = self.form.value
        return described


class Column(NamedTuple):
    """Values of one kind; None stands for NA.

    kind: "logical" (bools; also a column of nulls only), "integer" (ints within 32 bits), "numeric" (floats
    and ints, no bools) or "character".
    """

    kind: str
    values: List[Any]


class MatrixValue(NamedTuple):
    """A matrix; `column` holds rows x cols values, row after row."""

    rows: int
    cols: int
    column: Column


class FrameValue(NamedTuple):
    """A data.frame: columns of equal length, in the order they came or were declared."""

    names: List[str]
    columns: List[Column]
    rows: int


class ArrayValue(NamedTuple):
    """A data.frame of `Form.ARRAY`: native doubles, declared columns one after another; NaN is NA."""

    names: Tuple[str, ...]
    data: bytes
    rows: int

    @property
    def columns(self) -> List[List[float]]:
        """A list per column."""
        values: List[float] = array("d", self.data).tolist()
        return [values[i * self.rows : (i + 1) * self.rows] for i in range(len(self.names))]


#: A scalar type is a bool, int, float or str, or None.
Value = Union[None, bool, int, float, str, Column, MatrixValue, FrameValue, ArrayValue]


def parse_parameters(definitions: object, *, what: str = "parameter definitions") -> Tuple[Parameter, ...]:
    """Parameters of a list of JSON definitions `{"name", "type", "columns"?, "form"?}`; None is no list.

    Raises InvalidInput that names the definition: bad or repeated names, unknown types, `columns` or `form`
    where they do not belong.
    """
    if definitions is None:
        return ()
    if not isinstance(definitions, list):
        raise InvalidInput(f"the {what} must be an array of {{name, type}} objects")
    parameters = tuple(_parameter(each, f"{what}[{i}]") for i, each in enumerate(definitions))
    seen = set()
    for parameter in parameters:
        if parameter.name in seen:
            raise InvalidInput(f"the {what} name {parameter.name!r} twice; each name may come once")
        seen.add(parameter.name)
    return parameters


def _parameter(definition: object, where: str) -> Parameter:
    if not isinstance(definition, dict):
        raise InvalidInput(f"{where} must be an object with name and type")
    name = _name(definition.get("name"), where)
    try:
        type_ = ParameterType(definition.get("type"))
    except ValueError:
        known = ", ".join(each.value for each in ParameterType)
        raise InvalidInput(
            f"{where} ({name}): unknown type {_short(definition.get('type'))}; known are {known}"
        ) from None
    columns = _columns(definition.get("columns"), f"{where} ({name})")
    try:
        form = Form(definition.get("form") or "frame")
    except ValueError:
        raise InvalidInput(f"{where} ({name}): form must be 'frame' or 'array'") from None
    if type_ is not ParameterType.DATA_FRAME and (columns or form is not Form.FRAME):
        raise InvalidInput(f"{where} ({name}): columns and form belong to a data.frame, not a {type_.value}")
    if form is Form.ARRAY and not columns:
        raise InvalidInput(f"{where} ({name}): form 'array' needs the columns in their order")
    return Parameter(name, type_, columns, form)


def _name(name: object, where: str) -> str:
    """A name that both languages can bind: letters, digits, `_` and `.`, not beginning with a digit."""
    if not isinstance(name, str) or not name:
        raise InvalidInput(f"{where} has no name")
    if len(name) > 128 or not name.replace(".", "_").isidentifier():
        raise InvalidInput(
            f"{where}: {_short(name)} cannot be a name: letters, digits, '_' and '.', not a digit first"
        )
    return name


def _columns(columns: object, where: str) -> Tuple[str, ...]:
    if columns is None:
        return ()
    if not isinstance(columns, list) or not all(isinstance(each, str) for each in columns):
        raise InvalidInput(f"{where}: columns must be an array of names")
    if len(set(columns)) != len(columns):
        twice = next(each for each in columns if columns.count(each) > 1)
        raise InvalidInput(f"{where}: column {_short(twice)} is named twice")
    return tuple(columns)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
