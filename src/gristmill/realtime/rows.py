"""The rows of a call, from JSON straight into the tensors of a graph."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import numpy as np

from gristmill.coerce import coerce
from gristmill.errors import InvalidInput
from gristmill.realtime.arrays import first_missing, in_order, missing_error
from gristmill.realtime.description import INPUT, Column, Description, Feed
from gristmill.realtime.many_rows import LONG, matrix_of
from gristmill.realtime.threads import spare_loop
from gristmill.schema import FrameValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Reader", "Rows"]

_DTYPES: dict[str, Any] = {
    "double": np.float64, "float": np.float32, "int64": np.int64, "bool": np.bool_, "string": np.object_,
}  # fmt: skip
_JSON_TYPES: dict[str, Any] = {
    "numeric": list[float | None],
    "integer": list[float | None],
    "logical": list[bool | None],
    "character": list[str | None],
    "factor": list[str | None],
}
#: Rows from which on what a call costs are its cells.
_MANY = 64
#: Bytes of a body that is read cell by cell within the event loop: some milliseconds.
_QUICK = 32 * 1024
_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Rows(NamedTuple):
    """Rows in tensors: one for each feed, [rows, columns of the feed]."""

    rows: int
    tensors: list[NDArray[Any]]


class Reader:
    """Reads the rows of one model's calls; safe to share between threads."""

    def __init__(self, description: Description) -> None:
        self._columns = description.columns
        self._feeds = [_Filler(feed, description.columns) for feed in description.feeds]
        self._parameter = description.inputs()[0]
        whole = {name for feed in description.feeds if feed.dtype == "int64" for name in feed.columns}
        self._whole = {c.name for c in self._columns if c.name in whole and c.type == "integer"}
        frame = msgspec.defstruct(
            "Frame",
            [
                (f"c{i}", self._json_type(column), msgspec.field(name=column.name))
                for i, column in enumerate(self._columns)
            ],
            gc=False,
        )
        call = msgspec.defstruct(
            "Call", [("frame", frame, msgspec.field(name=INPUT))], forbid_unknown_fields=True, gc=False
        )
        self._decoder: Any = msgspec.json.Decoder(call)
        only = self._feeds[0] if len(self._feeds) == 1 else None
        #: Where the one tensor is nothing but the columns, in order.
        self._plain = only is not None and only.plain and only.columns == list(range(len(self._columns)))

    def _without_others(self, sent: Any) -> Any:
        """Columns or records without what the model does not look at, as R's `predict` takes them."""
        names = set(self._parameter.columns)
        if isinstance(sent, dict):
            return {name: cells for name, cells in sent.items() if name in names}
        if isinstance(sent, list) and all(isinstance(record, dict) for record in sent):
            return [{name: cell for name, cell in record.items() if name in names} for record in sent]
        return sent

    def _json_type(self, column: Column) -> Any:
        return list[_Whole] if column.name in self._whole else _JSON_TYPES[column.type]

    def read(self, body: bytes) -> Rows:
        """The rows of a caller's JSON. Raises TooLong; InvalidInput that names column and fault."""
        if self._plain and len(body) >= LONG:
            matrix = matrix_of(body, self._parameter.columns)
            if matrix is not None:
                return Rows(len(matrix), [np.ascontiguousarray(matrix, dtype=self._feeds[0].dtype)])
        try:
            columns = msgspec.structs.astuple(self._decoder.decode(body).frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._read_slowly(body)
        count = len(columns[0])
        if self._plain:
            try:
                cells = _matrix(columns, count)
            except ValueError:  # columns of different lengths
                return self._read_slowly(body)
            if b"null" in body if count < _MANY else np.isnan(cells).any():
                self._refuse_missing(columns)
            return Rows(count, [np.ascontiguousarray(cells, dtype=self._feeds[0].dtype)])
        return self.of_columns(columns) if set(map(len, columns)) == {count} else self._read_slowly(body)

    def of_columns(self, columns: Sequence[Sequence[Any] | NDArray[Any]]) -> Rows:
        """The rows of columns in the model's order, of one length. Raises InvalidInput.

        Lists with cells as of JSON, or arrays of numbers with NaN for null.
        """
        self._refuse_missing(columns)
        count = len(columns[0])
        return Rows(count, [feed.fill(columns, count) for feed in self._feeds])

    def of_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> Rows:
        """The rows of arrays [rows] by column, as `in_order` takes them. Raises InvalidInput."""
        return self.of_columns(in_order(self._columns, self._whole, arrays))

    def of_matrix(self, matrix: NDArray[Any]) -> Rows:
        """The rows of numbers [rows, columns of the model], NaN for null. Raises InvalidInput."""
        if not self._plain:
            return self.of_arrays({column.name: matrix[:, i] for i, column in enumerate(self._columns)})
        if matrix.dtype.kind == "f" and np.isnan(matrix).any():
            self._refuse_missing(list(matrix.T))
        return Rows(len(matrix), [np.ascontiguousarray(matrix, dtype=self._feeds[0].dtype)])

    def _read_slowly(self, body: bytes) -> Rows:
        """What is not the plain form: rows as records, other types that fit, or an error to explain.

        Raises TooLong for what has to be read in a thread.
        """
        spare_loop(len(body), _QUICK)
        try:
            sent = msgspec.json.decode(body or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"the body is not JSON: {error}") from None
        if not isinstance(sent, dict) or set(sent) != {INPUT}:
            got = sorted(sent)[:5] if isinstance(sent, dict) else type(sent).__name__
            raise InvalidInput(
                f"the body has to be an object with {INPUT!r}, and nothing beside; it has {got}"
            )
        frame = coerce(self._parameter, self._without_others(sent[INPUT]))
        assert isinstance(frame, FrameValue)
        if not frame.rows:
            return self.of_columns([[] for _ in self._columns])
        found = [
            self._checked(column, cells.kind, cells.values)
            for column, cells in zip(self._columns, frame.columns, strict=True)
        ]
        return self.of_columns(found)

    def _refuse_missing(self, columns: Sequence[Sequence[Any] | NDArray[Any]]) -> None:
        for column, cells in zip(self._columns, columns, strict=True):
            if column.missing == "refuse" and (row := first_missing(cells)) is not None:
                raise missing_error(column.name, row)

    def _checked(self, column: Column, kind: str, cells: list[Any]) -> list[Any]:
        """Cells of a column that came as `kind`, as the model's column has them. Raises InvalidInput."""
        if column.name in self._whole and not all(_is_whole(cell) for cell in cells):
            kind = "numbers that are none of 64 bits"
        elif kind == "whole":
            kind = "numeric"
        if kind == column.type or (column.type == "factor" and kind == "character"):
            return cells
        if kind == "logical" and all(cell is None for cell in cells):
            return cells
        if column.type in {"numeric", "integer"} and kind in {"logical", "integer", "numeric"}:
            return [None if cell is None else float(cell) for cell in cells]
        if column.type == "logical" and kind in {"integer", "numeric"} and set(cells) <= {0, 1, None}:
            return cells
        if column.type == "factor" and kind in {"integer", "logical"}:
            return [None if cell is None else _level_text(cell) for cell in cells]
        raise InvalidInput(f"input {INPUT!r}, column {column.name!r}: expected {column.type}, and got {kind}")


def _matrix(columns: Sequence[Sequence[float | None]], count: int) -> NDArray[np.float64]:
    """Columns as [rows, columns], null as NaN. Raises ValueError if one has not `count` cells."""
    if count == 1:
        return np.array([[cell for (cell,) in columns]], dtype=np.float64)
    if count >= _MANY:
        cells = np.empty((len(columns), count))
        pack = struct.Struct(f"{count}d").pack_into  # half the time that numpy takes for a list
        try:
            for row, column in zip(cells, columns, strict=True):
                pack(row.data, 0, *column)
        except struct.error:  # a null, or another number of cells
            return np.array(columns, dtype=np.float64).T
        return cells.T
    return np.array(columns, dtype=np.float64).T


class _Filler:
    """Fills one tensor with columns."""

    def __init__(self, feed: Feed, columns: Sequence[Column]) -> None:
        places = {column.name: place for place, column in enumerate(columns)}
        self.dtype = _DTYPES[feed.dtype]
        self.columns = [places[name] for name in feed.columns]
        self._converters = [_converter(feed.dtype, columns[place]) for place in self.columns]
        kinds = {columns[place].type for place in self.columns}
        self.plain = feed.dtype in {"double", "float"} and kinds <= {"numeric", "integer", "logical"}

    def fill(self, columns: Sequence[Any], count: int) -> NDArray[Any]:
        """The tensor, [count, columns of the feed]."""
        tensor = np.empty((count, len(self.columns)), self.dtype)
        for i, (place, convert) in enumerate(zip(self.columns, self._converters, strict=True)):
            cells = columns[place]
            tensor[:, i] = convert(cells) if convert is not None else cells
        return tensor


def _converter(dtype: str, column: Column) -> Callable[[Sequence[Any]], Any] | None:
    """How cells become what numpy takes; None where numpy does that, null to NaN included."""
    if column.type == "factor":
        return _text_of_factor(column) if dtype == "string" else _codes_of_factor(column, dtype)
    if dtype == "string":
        return lambda cells: ["" if cell is None else cell for cell in cells]
    return None


def _codes_of_factor(column: Column, dtype: str) -> Callable[[Sequence[Any]], Any]:
    missing = float("nan") if dtype in {"double", "float"} else -1
    codes: dict[Any, Any] = {level: i for i, level in enumerate(column.levels)}
    codes[None] = missing

    def convert(cells: Sequence[Any]) -> list[Any]:
        if column.unseen == "missing":
            return list(map(codes.get, cells, repeat(missing)))
        try:
            return [codes[cell] for cell in cells]
        except KeyError as unknown:
            raise _unknown_level(column, unknown.args[0]) from None

    return convert


def _text_of_factor(column: Column) -> Callable[[Sequence[Any]], Any]:
    known: Mapping[Any, str] = {**{level: level for level in column.levels}, None: ""}

    def convert(cells: Sequence[Any]) -> list[str]:
        if column.unseen == "missing":
            return ["" if cell is None else cell for cell in cells]
        try:
            return [known[cell] for cell in cells]
        except KeyError as unknown:
            raise _unknown_level(column, unknown.args[0]) from None

    return convert


def _unknown_level(column: Column, level: str) -> InvalidInput:
    known = ", ".join(repr(each) for each in column.levels[:10]) + (", …" if len(column.levels) > 10 else "")
    return InvalidInput(
        f"input {INPUT!r}, column {column.name!r}: the model does not know the level {level[:60]!r}; "
        f"it knows {known}"
    )


def _is_whole(cell: Any) -> bool:
    """Whether a cell is null, or fits into 64 bits as it is."""
    return cell is None or (isinstance(cell, (int, float)) and float(cell).is_integer() and abs(cell) < 2**63)


def _level_text(cell: Any) -> str:
    """As R writes a number or a truth value that is a level."""
    return str(cell).upper() if isinstance(cell, bool) else str(cell)
