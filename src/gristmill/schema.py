"""The seven types of inputs and outputs: their definitions, and values that are free of any language.

`gristmill.coerce` makes such values of JSON. The shell imports this module, so that it runs under Python 3.8
and needs the standard library only.
"""

from __future__ import annotations

import enum
from array import array
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Union

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
    "check_parameters",
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
    and ints, no bools, which doubles hold exactly), "whole" (ints of which doubles cannot hold all) or
    "character".
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

    The one parser: publish, change, import and the shell all use it, so that what one takes the others do.
    Raises InvalidInput that names the definition, and nothing else, whatever it is given: bad or repeated
    names, unknown types, `columns` or `form` where they do not belong.
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


def check_parameters(parameters: Sequence[Parameter], *, what: str) -> None:
    """Raise InvalidInput unless a shell can load records that were made without `parse_parameters`."""
    parse_parameters([each.describe() for each in parameters], what=what)


def _parameter(definition: object, where: str) -> Parameter:
    if not isinstance(definition, dict):
        raise InvalidInput(f"{where} must be an object with name and type")
    name = _name(definition.get("name"), where)
    type_ = _TYPES.get(_text(definition.get("type")))
    if type_ is None:
        known = ", ".join(each.value for each in ParameterType)
        raise InvalidInput(
            f"{where} ({name}): unknown type {_short(definition.get('type'))}; known are {known}"
        )
    columns = _columns(definition.get("columns"), f"{where} ({name})")
    said = definition.get("form")
    form = Form.FRAME if said is None else _FORMS.get(_text(said))
    if form is None:
        raise InvalidInput(f"{where} ({name}): form must be 'frame' or 'array'")
    if type_ is not ParameterType.DATA_FRAME and (columns or form is not Form.FRAME):
        raise InvalidInput(f"{where} ({name}): columns and form belong to a data.frame, not a {type_.value}")
    if form is Form.ARRAY and not columns:
        raise InvalidInput(f"{where} ({name}): form 'array' needs the columns in their order")
    return Parameter(name, type_, columns, form)


_TYPES: Dict[str, ParameterType] = {each.value: each for each in ParameterType}
_FORMS: Dict[str, Form] = {each.value: each for each in Form}


def _text(value: object) -> str:
    """The plain text of a string, of an enumeration's member too; "" of what is none."""
    return str.__str__(value) if isinstance(value, str) else ""


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
    seen = set()
    for each in columns:
        if "\0" in each or _has_lone_surrogate(each):
            raise InvalidInput(
                f"{where}: {_short(each)} cannot be the name of a column: it holds a NUL character, or half "
                "of a surrogate pair"
            )
        if each in seen:
            raise InvalidInput(f"{where}: column {_short(each)} is named twice")
        seen.add(each)
    return tuple(columns)


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _short(value: object) -> str:
    """What came, cut; of values whose own text fails (a list nested too deeply, a huge number), the type."""
    try:
        text = repr(value[:200] if isinstance(value, str) else value)
    except Exception:  # noqa: BLE001 - the text of a value that somebody sent, whatever it raises
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
