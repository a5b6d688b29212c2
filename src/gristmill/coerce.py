"""JSON to values: check each input against its definition, and coerce where the protocol says so.

Plain lists are checked at C speed, by the set of their elements' types. The shell imports this module, so
that it runs under Python 3.8 and needs the standard library only.
"""

from __future__ import annotations

import struct
import sys
from itertools import chain
from math import nan
from operator import itemgetter
from struct import pack
from typing import Any, Callable, Dict, List, NoReturn, Sequence, Tuple

from gristmill.errors import InvalidInput
from gristmill.schema import (
    ArrayValue,
    Column,
    Form,
    FrameValue,
    MatrixValue,
    Parameter,
    ParameterType,
    Value,
)

__all__ = ["Inputs", "coerce", "infer"]

_NULL = type(None)
_FLOATS = {float}
_LISTS = {list}
_NUMBERS = frozenset((float, int, bool, _NULL))
_SCALARS = frozenset((float, int, bool, str, _NULL))
_KINDS = {bool: "logical", str: "character", float: "numeric", _NULL: "logical"}
#: R's integers; -2147483648 is its NA.
_INT32 = 2147483647
_INT64 = 9223372036854775807
#: Up to here doubles hold all whole numbers.
_EXACT = 1 << 53
#: Of packed doubles the bytes with sign and exponent, and those of them that say: not as far as `_EXACT`.
_TOPS = slice(7 if sys.byteorder == "little" else 0, None, 8)
_NARROW = bytes(each for each in range(256) if each & 0x7F < 0x43)
#: Cells that row objects with differing keys may make of nulls, beyond those that were sent.
_SPARE_CELLS = 1_000_000

Coercion = Callable[[Parameter, Any], Value]


class Inputs:
    """The inputs of one service, ready to check calls: `Inputs(parameters)(decoded)`."""

    __slots__ = ("_plan", "names", "parameters")

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.names = tuple(each.name for each in self.parameters)
        self._plan = [(each.name, _coercion(each), each) for each in self.parameters]

    def __call__(self, given: Any) -> List[Value]:
        """Values in the order of the definitions; raises InvalidInput."""
        if type(given) is not dict:
            if given == []:  # R's empty list, as JSON writers there have it
                return self({})
            raise InvalidInput(f"expected an object of the inputs by name, got {_told(given)}")
        try:
            values = [coercion(parameter, given[name]) for name, coercion, parameter in self._plan]
        except KeyError:
            values = []
        if len(values) != len(given) or len(values) != len(self._plan):
            self._refuse_names(given)
        return values

    def _refuse_names(self, given: Dict[str, Any]) -> NoReturn:
        missing = [name for name in self.names if name not in given]
        surplus = [name for name in given if name not in self.names]
        parts = []
        if missing:
            parts.append(f"missing {_listed(missing)}")
        if surplus:
            parts.append(f"not an input: {_listed(surplus)}")
        expected = _listed(self.names) if self.names else "none"
        raise InvalidInput(f"the inputs do not match, {'; '.join(parts)}; expected {expected}")


def coerce(parameter: Parameter, value: object) -> Value:
    """A value of the parameter's type; InvalidInput names the parameter, what was expected and what came."""
    return _coercion(parameter)(parameter, value)


def infer(name: str, value: object) -> Value:
    """A value without a definition: scalar, array (vector), array of arrays (matrix), object (data.frame).

    An array of objects is a data.frame by rows. Raises InvalidInput.
    """
    if type(value) is dict:
        return _frame(Parameter(name, ParameterType.DATA_FRAME), value)
    if type(value) is list:
        kinds = set(map(type, value))
        if kinds == _LISTS:
            return _matrix(Parameter(name, ParameterType.MATRIX), value)
        if kinds == {dict}:
            return _frame(Parameter(name, ParameterType.DATA_FRAME), value)
        return _vector(Parameter(name, ParameterType.VECTOR), value)
    if type(value) is int:
        wide = abs(value) > _INT64
        return (_numeric if wide else _integer)(Parameter(name, ParameterType.NUMERIC), value)
    if value is None or isinstance(value, (bool, float, str)):
        return value
    raise InvalidInput(f"input {name!r}: cannot take {_told(value)}")


def _coercion(parameter: Parameter) -> Coercion:
    if parameter.type is ParameterType.DATA_FRAME and parameter.form is Form.ARRAY:
        return _array
    return _COERCIONS[parameter.type]


def _single(value: Any) -> Any:
    """A vector of one, where a scalar is declared, is that scalar."""
    return value[0] if type(value) is list and len(value) == 1 else value


def _logical(parameter: Parameter, value: Any) -> Value:
    value = _single(value)
    if value is None or type(value) is bool:
        return value
    raise _refusal(parameter, value)


def _integer(parameter: Parameter, value: Any) -> Value:
    value = _single(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    if value is None or (type(value) is int and -_INT64 <= value <= _INT64):
        return value
    raise _refusal(parameter, value)


def _numeric(parameter: Parameter, value: Any) -> Value:
    value = _single(value)
    if value is None or type(value) is float:
        return value
    if type(value) is int:
        try:
            made = float(value)
        except OverflowError:
            raise _refusal(parameter, value) from None
        if made == value:
            return made
        raise _inexact(parameter, value, "", "declare the input integer, or send text")
    raise _refusal(parameter, value)


def _character(parameter: Parameter, value: Any) -> Value:
    value = _single(value)
    if value is None or type(value) is str:
        return value
    raise _refusal(parameter, value)


def _vector(parameter: Parameter, value: Any) -> Value:
    if type(value) is not list:
        if type(value) not in _SCALARS:
            raise _refusal(parameter, value)
        value = [value]
    return _column(parameter, value, "")


def _matrix(parameter: Parameter, value: Any) -> Value:
    if type(value) is not list or not set(map(type, value)) <= _LISTS:
        raise _refusal(parameter, value)
    widths = set(map(len, value))
    if len(widths) > 1:
        raise InvalidInput(
            f"input {parameter.name!r}: expected a matrix, got rows of {min(widths)} to {max(widths)} values"
        )
    cols = widths.pop() if widths else 0
    return MatrixValue(len(value), cols, _column(parameter, list(chain.from_iterable(value)), ""))


def _frame(parameter: Parameter, value: Any) -> Value:
    names, lists = _lists(parameter, value)
    if set(map(type, chain.from_iterable(lists))) == _FLOATS and all(lists):
        columns = [Column("numeric", values) for values in lists]
    else:
        columns = [_column(parameter, values, name) for name, values in zip(names, lists)]
    return FrameValue(names, columns, len(lists[0]) if lists else 0)


def _array(parameter: Parameter, value: Any) -> Value:
    """Packing checks the types on the way, faster than a look at each."""
    names, lists = _lists(parameter, value)
    rows = len(lists[0])
    form = f"{rows}d"
    try:
        if rows == 1:
            data = pack(f"{len(lists)}d", *chain.from_iterable(lists))
        else:
            data = b"".join([pack(form, *values) for values in lists])
        if not data[_TOPS].translate(None, _NARROW):
            return ArrayValue(parameter.columns, data, rows)
    except (struct.error, OverflowError):
        pass  # nulls, or what is refused
    packed = [_packed(parameter, name, values) for name, values in zip(names, lists)]
    return ArrayValue(parameter.columns, b"".join(packed), rows)


def _packed(parameter: Parameter, name: str, values: List[Any]) -> bytes:
    """A column with nulls or large numbers, or one that is refused."""
    for each in values:
        if type(each) not in _NUMBERS:
            raise InvalidInput(
                f"input {parameter.name!r}: expected numbers in column {name!r}, got {_told(each)}"
            )
    try:
        changed = _changed(values)
        data = pack(f"{len(values)}d", *[nan if each is None else each for each in values])
    except (struct.error, OverflowError):
        raise _past_doubles(parameter, name) from None
    if changed is not None:
        raise _inexact(parameter, changed, name, "send it as text, in another input")
    return data


def _lists(parameter: Parameter, value: Any) -> Tuple[List[str], List[List[Any]]]:
    """Names and equally long lists of a data.frame's columns, in the declared order if there is one."""
    if type(value) is list:
        value = _columns_of_rows(parameter, value)
    elif type(value) is not dict:
        raise _refusal(parameter, value)
    names = list(parameter.columns or value)
    lists = list(map(value.get, names))
    if len(value) != len(names) or set(map(type, lists)) != _LISTS:
        _check_columns(parameter, value)
        lists = [_listed_cell(parameter, name, each) for name, each in zip(names, lists)]
    if len(set(map(len, lists))) > 1:
        lengths = ", ".join(f"{name!r} {len(each)}" for name, each in list(zip(names, lists))[:8])
        raise InvalidInput(
            f"input {parameter.name!r}: expected columns of one length, got values in {lengths}"
        )
    return names, lists


def _columns_of_rows(parameter: Parameter, rows: List[Any]) -> Dict[str, List[Any]]:
    """Row objects to columns; a key that a row lacks is null there, as R's jsonlite leaves NA out."""
    if not rows:
        return {name: [] for name in parameter.columns}
    if set(map(type, rows)) != {dict}:
        strange = next(each for each in rows if type(each) is not dict)
        raise InvalidInput(
            f"input {parameter.name!r}: expected a data.frame (object of columns or array of row objects), "
            f"got an array with {_told(strange)}"
        )
    names = list(rows[0])
    if len(names) > 1 and set(map(len, rows)) == {len(names)}:
        try:
            return dict(zip(names, map(list, zip(*map(itemgetter(*names), rows)))))
        except KeyError:
            pass  # equally many keys, and not the same: the long way
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    if len(names) * len(rows) > 16 * sum(map(len, rows)) + _SPARE_CELLS:
        raise InvalidInput(f"input {parameter.name!r}: the row objects have too few keys in common")
    return {name: [row.get(name) for row in rows] for name in names}


def _check_columns(parameter: Parameter, value: Dict[str, Any]) -> None:
    if not parameter.columns:
        return
    missing = [name for name in parameter.columns if name not in value]
    surplus = [name for name in value if name not in parameter.columns]
    parts = []
    if missing:
        parts.append(f"column {_listed(missing)} is missing")
    if surplus:
        parts.append(f"there is no column {_listed(surplus)}")
    if parts:
        raise InvalidInput(f"input {parameter.name!r}: {'; '.join(parts)}")


def _listed_cell(parameter: Parameter, name: str, value: Any) -> List[Any]:
    """A column that came as a scalar is a column of one."""
    if type(value) is list:
        return value
    if type(value) in _SCALARS:
        return [value]
    raise InvalidInput(f"input {parameter.name!r}: expected an array in column {name!r}, got {_told(value)}")


def _column(parameter: Parameter, values: List[Any], column: str) -> Column:
    kinds = set(map(type, values))
    if len(kinds) > 1:
        kinds.discard(_NULL)
    if len(kinds) == 1:
        (only,) = kinds
        if only in _KINDS:
            return Column(_KINDS[only], values)
    elif not kinds:
        return Column("logical", values)
    if kinds <= {int, float}:
        return _numbers(parameter, values, column, all_int=float not in kinds)
    where = f" in column {column!r}" if column else ""
    nested = next((each for each in values if type(each) not in _SCALARS), None)
    if nested is not None:
        raise InvalidInput(f"input {parameter.name!r}: expected plain values{where}, got {_told(nested)}")
    got = " and ".join(sorted({_told_kind(each) for each in kinds}))
    raise InvalidInput(f"input {parameter.name!r}: expected values of one type{where}, got {got}")


def _numbers(parameter: Parameter, values: List[Any], column: str, *, all_int: bool) -> Column:
    present = [each for each in values if each is not None] if None in values else values
    least, most = min(present), max(present)
    if all_int and least >= -_INT32 and most <= _INT32:
        return Column("integer", values)
    if least >= -_EXACT and most <= _EXACT:
        return Column("numeric", values)
    try:
        float(least), float(most)
    except OverflowError:
        raise _past_doubles(parameter, column) from None
    changed = _changed(present)
    if changed is None:
        return Column("numeric", values)
    if all_int:
        return Column("whole", values)
    raise _inexact(parameter, changed, column, "send whole numbers only, or send it as text")


def _changed(values: List[Any]) -> Any:
    """The first whole number that as a double would be another; None without one. Raises OverflowError."""
    return next((each for each in values if type(each) is int and float(each) != each), None)


def _inexact(parameter: Parameter, value: int, column: str, way_out: str) -> InvalidInput:
    where = f" in column {column!r}" if column else ""
    return InvalidInput(
        f"input {parameter.name!r}: {_told(value)}{where} is past 2^53, and would become another number: "
        f"{way_out}"
    )


def _past_doubles(parameter: Parameter, column: str) -> InvalidInput:
    where = f" in column {column!r}" if column else ""
    return InvalidInput(f"input {parameter.name!r}: a number{where} is past the range of doubles")


_COERCIONS: Dict[ParameterType, Coercion] = {
    ParameterType.LOGICAL: _logical,
    ParameterType.INTEGER: _integer,
    ParameterType.NUMERIC: _numeric,
    ParameterType.CHARACTER: _character,
    ParameterType.VECTOR: _vector,
    ParameterType.MATRIX: _matrix,
    ParameterType.DATA_FRAME: _frame,
}
_EXPECTED = {
    ParameterType.LOGICAL: "logical (true or false)",
    ParameterType.INTEGER: "integer (a whole number within 64 bits)",
    ParameterType.NUMERIC: "numeric (a number)",
    ParameterType.CHARACTER: "character (a string)",
    ParameterType.VECTOR: "a vector (an array of values)",
    ParameterType.MATRIX: "a matrix (an array of rows)",
    ParameterType.DATA_FRAME: "a data.frame (object of columns or array of row objects)",
}


def _refusal(parameter: Parameter, value: Any) -> InvalidInput:
    return InvalidInput(f"input {parameter.name!r}: expected {_EXPECTED[parameter.type]}, got {_told(value)}")


def _told_kind(kind: type) -> str:
    return {bool: "logical", str: "strings", int: "numbers", float: "numbers"}.get(kind, kind.__name__)


def _told(value: Any) -> str:
    """What came, in a few words; long values are cut."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        inner = " of arrays" if value and isinstance(value[0], list) else ""
        return f"an array{inner} of length {len(value)}"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    text = repr(value) if not isinstance(value, int) or abs(value) < 1 << 200 else "a huge number"
    return ("the string " if isinstance(value, str) else "") + (
        text if len(text) <= 40 else text[:37] + "..."
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name if len(name) <= 60 else name[:57] + "...") for name in names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
