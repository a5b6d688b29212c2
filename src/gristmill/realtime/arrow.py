"""Arrow IPC: the rows of a call, and the columns of an answer."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gristmill.errors import InvalidInput, NotSupported
from gristmill.realtime.arrays import check_cells
from gristmill.realtime.description import Output
from gristmill.realtime.rows import Reader, Rows
from gristmill.realtime.threads import spare_loop

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from gristmill.realtime.model import Model

__all__ = ["STREAM", "ArrowCall", "encode", "read"]

STREAM = "application/vnd.apache.arrow.stream"
#: What a file begins with; a stream follows it, and a footer that only those need who seek.
_FILE = b"ARROW1\0\0"
#: Cells that are read within the event loop: a column of nulls has any number of them in a few bytes.
_QUICK = 64 * 1024
#: How Arrow 0.17 named the compression of a message.
_OLD_COMPRESSION = b"ARROW:experimental_compression"


class ArrowCall:
    """One call with Arrow data: called, it gives the rows for a model."""

    def __init__(self, body: bytes, *, arrow: bool) -> None:
        self._body = body
        self._arrow = arrow
        self._outputs: Sequence[Output] = ()

    def __call__(self, model: Model) -> Rows:
        """Raises as `read`."""
        self._outputs = model.description.outputs
        return read(self._body, model.reader)

    @property
    def encode(self) -> Callable[[Sequence[Sequence[Any]]], bytes] | None:
        """Makes the answer's body of its columns; None where it is JSON as of other calls."""
        return self._encode if self._arrow else None

    def _encode(self, columns: Sequence[Sequence[Any]]) -> bytes:
        return encode(columns, self._outputs)

    def form(self) -> dict[str, Any]:
        """What it is made of in another process, beside its body."""
        return {"form": "arrow", "arrow": self._arrow}

    def told(self, said: dict[str, Any]) -> None:
        """Nothing has to be known of an answer."""


def read(body: bytes, reader: Reader) -> Rows:
    """The rows of a stream or a file. Raises InvalidInput that names the column; NotSupported; TooLong."""
    pyarrow = _pyarrow()
    try:
        arrays = _arrays(body, pyarrow)
    except (
        pyarrow.ArrowException,
        OSError,
        UnicodeError,
        OverflowError,
        EOFError,
        IndexError,
        struct.error,
    ) as error:
        raise InvalidInput(f"the body is not valid Arrow data: {str(error)[:300]}") from None
    return reader.of_arrays(arrays)


def encode(columns: Sequence[Sequence[Any]], outputs: Sequence[Output]) -> bytes:
    """A stream of one batch with the output columns, null where JSON has null."""
    pyarrow = _pyarrow()
    types = {
        "numeric": pyarrow.float64(), "integer": pyarrow.int64(),
        "logical": pyarrow.bool_(), "character": pyarrow.string(),
    }  # fmt: skip
    names = [output.name for output in outputs]
    arrays = [
        pyarrow.array(values, types[output.type], from_pandas=True)
        for output, values in zip(outputs, columns, strict=True)
    ]
    batch = pyarrow.record_batch(arrays, names=names)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise NotSupported("this server has no pyarrow: send JSON, or have it installed") from None
    return pyarrow


def _arrays(body: bytes, pyarrow: Any) -> dict[str, NDArray[Any]]:
    data = pyarrow.py_buffer(body)
    if body.startswith(_FILE):
        data = data.slice(len(_FILE))
    _refuse_compressed(pyarrow.ipc.MessageReader.open_stream(data))
    with pyarrow.ipc.open_stream(data) as stream:
        schema = stream.schema
        if len(set(schema.names)) != len(schema.names):
            twice = next(name for name in schema.names if schema.names.count(name) > 1)
            raise InvalidInput(f"the Arrow data has the column {twice[:60]!r} twice")
        batches: list[pa.RecordBatch] = []
        rows = 0
        for batch in stream:
            rows += batch.num_rows
            check_cells(rows, len(schema.names))
            spare_loop(rows * len(schema.names), _QUICK)
            batch.validate(full=True)
            batches.append(batch)
    table = pyarrow.Table.from_batches(batches, schema)
    return {name: _array(name, table.column(i), pyarrow.types) for i, name in enumerate(schema.names)}


def _array(name: str, column: pa.ChunkedArray, types: Any) -> NDArray[Any]:
    """Numbers with NaN for null, truth values, or objects that are str or None."""
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_null(kind):
        return np.full(len(column), np.nan)
    if types.is_boolean(kind) and column.null_count:
        column = column.cast("float64")
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        numbers: NDArray[Any] = column.to_numpy()
        return numbers
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        texts = np.empty(len(column), dtype=object)
        texts[:] = column.to_pylist()
        return texts
    raise InvalidInput(
        f"the Arrow column {name[:60]!r} is of type {kind}: send numbers, truth values, texts or a "
        "dictionary of texts"
    )


def _refuse_compressed(messages: Any) -> None:
    """Raise InvalidInput for compressed buffers: a few bytes of them may stand for any amount of memory."""
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            return
        if message.type != "schema" and _is_compressed(message.metadata.to_pybytes()):
            raise InvalidInput("the Arrow data is compressed: send it uncompressed")


def _is_compressed(metadata: bytes) -> bool:
    """Whether the record batch of a message, or of its dictionary, names a compression.

    A walk through the flatbuffer of Message.fbs: Message.header is field 2; RecordBatch.compression is field
    3; DictionaryBatch.data is field 1.
    """
    if _OLD_COMPRESSION in metadata:
        return True
    (message,) = struct.unpack_from("<I", metadata)
    kind = _field(metadata, message, 1)
    header = _table(metadata, message, 2)
    if kind and metadata[kind] == 2:  # a DictionaryBatch
        header = _table(metadata, header, 1)
    return _field(metadata, header, 3) != 0


def _field(data: bytes, table: int, number: int) -> int:
    """Where a table's field is, 0 where it is not set."""
    (back,) = struct.unpack_from("<i", data, table)
    (size,) = struct.unpack_from("<H", data, table - back)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = struct.unpack_from("<H", data, table - back + 4 + 2 * number)
    return table + int(offset) if offset else 0


def _table(data: bytes, table: int, number: int) -> int:
    where = _field(data, table, number)
    (offset,) = struct.unpack_from("<I", data, where)
    return where + int(offset)
