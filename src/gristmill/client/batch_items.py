"""Records, or a frame, → the items of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gristmill.client.connection import to_json
from gristmill.client.description import Description, arguments
from gristmill.client.encoding import encode
from gristmill.client.errors import GristmillError, InvalidInput
from gristmill.client.types import is_a, told
from gristmill.schema import Parameter, ParameterType

__all__ = ["items_of", "plain_columns"]

_SCALARS = frozenset(
    (ParameterType.LOGICAL, ParameterType.INTEGER, ParameterType.NUMERIC, ParameterType.CHARACTER)
)


def items_of(about: Description, records: Any, rows: int) -> bytes:
    """A JSON array with the inputs of each item. Raises InvalidInput that names the record.

    records: a list with the inputs of each item by name, or, where the service has one input, with its
        values; or a frame, whose rows are items of a service that takes scalars, and are cut into items of
        `rows` rows for a service that takes one frame.
    """
    if rows < 1:
        raise InvalidInput(f"{about.label}: rows is {rows}, and an item has one row at least")
    if is_a(records, "pandas.DataFrame", "polars.DataFrame") or isinstance(records, Mapping):
        parts = list(_of_frame(about, plain_columns(records), rows))
    elif isinstance(records, (str, bytes)) or not isinstance(records, Iterable):
        raise InvalidInput(f"{about.label}: expected a list of inputs or a DataFrame, got {told(records)}")
    else:
        parts = [_of_record(about, number, record) for number, record in enumerate(records)]
    if not parts:
        raise InvalidInput(f"{about.label}: a batch needs one item at least")
    return b"[" + b",".join(parts) + b"]"


def plain_columns(frame: Any) -> dict[str, Any]:
    """Columns of a frame by name, as JSON takes them."""
    encoded = encode(Parameter("records", ParameterType.DATA_FRAME), frame)
    return dict(encoded)


def _of_record(about: Description, number: int, record: Any) -> bytes:
    names = {each.name for each in about.inputs}
    by_name = isinstance(record, Mapping) and (set(record) & names or len(about.inputs) != 1)
    try:
        given = arguments(about, () if by_name else (record,), record if by_name else {})
        return to_json({each.name: encode(each, given[each.name]) for each in about.inputs})
    except GristmillError as error:
        found = type(error)(f"record {number}: {error.message}")
        found.service, found.parameter = about.label, error.parameter
        raise found from None


def _of_frame(about: Description, columns: Mapping[str, Any], rows: int) -> Iterator[bytes]:
    count = max((len(column) for column in columns.values()), default=0)
    if [each.type for each in about.inputs] == [ParameterType.DATA_FRAME]:
        name = about.inputs[0].name
        for start in range(0, count, rows):
            yield to_json({name: {key: cells[start : start + rows] for key, cells in columns.items()}})
        return
    if not all(each.type in _SCALARS for each in about.inputs):
        raise InvalidInput(
            f"{about.label}: a frame is a batch for a service of one frame or of scalars, and this one takes "
            f"{', '.join(each.type.value for each in about.inputs)}: give a list with the inputs of each item"
        )
    missing = [each.name for each in about.inputs if each.name not in columns]
    if missing:
        raise InvalidInput(f"{about.label}: the frame has no column {missing[0]!r}")
    for row in range(count):
        yield to_json({each.name: columns[each.name][row] for each in about.inputs})
