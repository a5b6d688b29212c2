"""Python's types and the protocol's: what an annotation, a type's name or a sample says of a parameter.

numpy and pandas are recognised by the names of their classes, and never imported for it.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from gristmill.client.errors import InvalidInput
from gristmill.schema import Form, Parameter, ParameterType, parse_parameters

__all__ = ["PYTHON_TYPES", "Frame", "columns_of", "is_a", "of_columns", "parameter_of", "shown", "told"]

_L, _I, _N, _C = ParameterType.LOGICAL, ParameterType.INTEGER, ParameterType.NUMERIC, ParameterType.CHARACTER
_V, _M, _D = ParameterType.VECTOR, ParameterType.MATRIX, ParameterType.DATA_FRAME

#: Last part of a type's name → the protocol's type.
_NAMES: dict[str, ParameterType] = {
    **{each.value: each for each in ParameterType},
    **dict.fromkeys(("bool", "bool_"), _L),
    **dict.fromkeys(("int", "int32", "int64", "intp"), _I),
    **dict.fromkeys(("float", "float32", "float64", "double"), _N),
    **dict.fromkeys(("str", "str_"), _C),
    **dict.fromkeys(("list", "List", "tuple", "Tuple", "Sequence", "Iterable"), _V),
    **dict.fromkeys(("array", "ndarray", "NDArray", "ArrayLike", "Series", "Index"), _V),
    **dict.fromkeys(("DataFrame", "dict", "Dict", "Mapping"), _D),
}
#: How a parameter's type is called in Python, in signatures and descriptions.
PYTHON_TYPES: dict[ParameterType, str] = {
    _L: "bool",
    _I: "int",
    _N: "float",
    _C: "str",
    _V: "numpy.ndarray",
    _M: "numpy.ndarray of two dimensions",
    _D: "pandas.DataFrame",
}
_KINDS = {"b": _L, "i": _I, "u": _I, "f": _N}


@dataclass(frozen=True)
class Frame:
    """A data.frame as an input or output, with its columns: their names, or a frame that has them.

    With `array` the service's code gets a two-dimensional array of floats, columns in this order, instead of
    a
    pandas frame: several times faster for a small call to a model that is happy with arrays.
    """

    columns: Any
    array: bool = False


def is_a(value: Any, *names: str) -> bool:
    """Whether a value's class, or a base of it, has such a name: package and class, `pandas.DataFrame`."""
    for base in type(value).__mro__:
        if f"{(base.__module__ or '').split('.')[0]}.{base.__qualname__}" in names:
            return True
    return False


def told(value: Any) -> str:
    """What a value is, in a few words, for errors."""
    if value is None:
        return "None"
    name = _class_name(type(value))
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{name} of shape {' x '.join(map(str, shape))}"
    if isinstance(value, (list, tuple, dict, set)):
        return f"{name} of length {len(value)}"
    text = repr(value)
    return f"{name} {text if len(text) <= 40 else text[:37] + '...'}"


def _class_name(kind: type) -> str:
    """As one would import it: without the private modules that a class is written in."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    parts = kind.__module__.split(".")
    public = parts[:1] if parts[0] in {"numpy", "pandas", "polars"} else [p for p in parts if p[:1] != "_"]
    return ".".join([*public, kind.__qualname__])


def shown(parameter: Parameter) -> str:
    """A parameter's type for people: `pandas.DataFrame with the columns rm, lstat`."""
    name = PYTHON_TYPES[parameter.type]
    return f"{name} with the columns {', '.join(parameter.columns)}" if parameter.columns else name


def columns_of(frame: Any) -> tuple[str, ...]:
    """Column names of a frame, of a dict of columns, or as they are."""
    names = frame.columns if hasattr(frame, "columns") else frame
    return tuple(str(name) for name in names)


def parameter_of(name: str, spec: Any, *, what: str = "input") -> Parameter:
    """The parameter that a specification stands for.

    spec: a type or its name (`float`, "numeric", "pandas.DataFrame"), a `Frame`, a definition as the protocol
    has it (`{"type": "data.frame", "columns": […]}`), or a sample value: a frame, an array, a scalar.
    Raises InvalidInput that names the parameter.
    """
    found = _of_record(name, spec) or _of_type(name, spec) or _of_sample(name, spec)
    if found is None:
        known = "bool, int, float, str, list, numpy.ndarray, numpy.matrix, pandas.DataFrame"
        raise InvalidInput(
            f"{what} {name!r}: {spec!r} is no type that a service knows; these are {known}, gristmill.Frame, "
            "a sample of the data, or the protocol's names ("
            + ", ".join(t.value for t in ParameterType)
            + ")"
        )
    return found


def _of_record(name: str, spec: Any) -> Parameter | None:
    if isinstance(spec, Parameter):
        return Parameter(name, spec.type, spec.columns, spec.form)
    if isinstance(spec, ParameterType):
        return Parameter(name, spec)
    if isinstance(spec, Frame):
        return Parameter(name, _D, columns_of(spec.columns), Form.ARRAY if spec.array else Form.FRAME)
    if isinstance(spec, Mapping) and isinstance(spec.get("type"), str):
        inner = _of_name(str(spec["type"]))
        definition = {**spec, "name": name, "type": inner.value if inner else spec["type"]}
        (parsed,) = parse_parameters([definition], what="definitions")
        return parsed
    return None


def _of_type(name: str, spec: Any) -> Parameter | None:
    found = _of_name(spec) if isinstance(spec, str) else _of_annotation(spec)
    return Parameter(name, found) if found else None


def _of_name(text: str) -> ParameterType | None:
    """The type of a name as it is written: `pd.DataFrame`, `Optional[float]`, `list[list[float]]`."""
    text = text.strip().strip("'\"")
    if text in _NAMES:
        return _NAMES[text]
    optional = re.fullmatch(r"(?:typing\.)?Optional\[(.*)\]", text) or re.fullmatch(
        r"(.*?)\s*\|\s*None", text
    )
    if optional:
        return _of_name(optional[1])
    outer, _, inner = text.partition("[")
    last = outer.rpartition(".")[2]
    if last in {"list", "List", "Sequence"} and re.match(r"(typing\.)?(list|List|Sequence)\b", inner):
        return _M
    return _NAMES.get(last)


def _of_annotation(spec: Any) -> ParameterType | None:
    arguments = [each for each in typing.get_args(spec) if each is not type(None)]
    origin = typing.get_origin(spec)
    if origin is Union or type(spec).__name__ == "UnionType":
        return _of_annotation(arguments[0]) if len(arguments) == 1 else None
    if origin is not None:
        if arguments and typing.get_origin(arguments[0]) is not None and origin in (list, tuple):
            return _M
        return _of_annotation(origin)
    if isinstance(spec, str):
        return _of_name(spec)
    # numpy.array is a function, and what people write for the type.
    name = getattr(spec, "__name__", None)
    is_type = isinstance(spec, type) or callable(spec)
    return _NAMES.get(name) if is_type and isinstance(name, str) else None


def _of_sample(name: str, spec: Any) -> Parameter | None:
    if is_a(spec, "pandas.DataFrame", "polars.DataFrame"):
        return Parameter(name, _D, columns_of(spec))
    shape = getattr(spec, "shape", None)
    if isinstance(shape, tuple) and hasattr(spec, "dtype"):
        kind = getattr(spec.dtype, "kind", "O")
        made = {0: _KINDS.get(kind, _C), 1: _V, 2: _M}.get(len(shape))
        return Parameter(name, made) if made else None
    if isinstance(spec, (list, tuple)):
        return Parameter(name, _M if spec and isinstance(spec[0], (list, tuple)) else _V)
    if isinstance(spec, dict) and spec and all(isinstance(column, list) for column in spec.values()):
        return Parameter(name, _D, columns_of(spec))
    for kind_, type_ in ((bool, _L), (int, _I), (float, _N)):
        if isinstance(spec, kind_):
            return Parameter(name, type_)
    return None


def of_columns(frame: Any, names: Sequence[str]) -> list[Parameter]:
    """A scalar parameter for each named column of a sample frame, by the column's dtype."""
    return [Parameter(name, _KINDS.get(getattr(frame[name].dtype, "kind", "O"), _C)) for name in names]
