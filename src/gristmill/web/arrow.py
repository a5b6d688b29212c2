"""Arrow IPC as the input of a batch: the rows of a frame, some of them in each item."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from gristmill.errors import InvalidInput, NotSupported
from gristmill.off_loop import Work, off_loop
from gristmill.schema import ParameterType
from gristmill.services import ServiceVersion

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["is_arrow", "items", "parameter_of"]

_STREAM, _FILE = b"application/vnd.apache.arrow.stream", b"application/vnd.apache.arrow.file"
_MAGIC = b"ARROW1"
#: Values that are made JSON of at a time.
_AT_ONCE = 10_000


def is_arrow(content_type: bytes | None) -> bool:
    """Whether a body of this type is Arrow IPC, as a stream or as a file."""
    return (content_type or b"").split(b";")[0].strip().lower() in {_STREAM, _FILE}


def parameter_of(service: ServiceVersion) -> str:
    """The name of the one data frame that the service takes. Raises InvalidInput if it takes others."""
    types = [parameter.type.value for parameter in service.inputs]
    if types != [ParameterType.DATA_FRAME.value]:
        raise InvalidInput(
            f"Arrow data fits a service with one input of type data.frame, and {service.name} "
            f"{service.version} takes {', '.join(types) or 'nothing'}: send JSON"
        )
    return service.inputs[0].name


async def items(file: BinaryIO, parameter: str, rows: int) -> AsyncIterator[bytes]:
    """Items of up to `rows` rows each, as JSON by column. Raises InvalidInput, NotSupported."""
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise NotSupported("this server has no pyarrow: send JSON, or have it installed") from None
    found = _items(file, parameter, rows)
    while True:
        try:
            item = await off_loop(Work.COMPUTE, next, found, None)
        except (pyarrow.ArrowException, OSError, UnicodeError, OverflowError) as error:
            raise InvalidInput(f"the body is not valid Arrow data: {error}") from None
        if item is None:
            return
        yield item


def _items(file: BinaryIO, parameter: str, rows: int) -> Iterator[bytes]:
    for batch in _batches(file):
        batch.validate(full=True)
        for start in range(0, batch.num_rows, rows):
            part = batch.slice(start, rows)
            columns = [b"%b:[%b]" % (_json(name), _values(part, column)) for column, name in _names(batch)]
            yield b"{%b:{%b}}" % (_json(parameter), b",".join(columns))


def _names(batch: pa.RecordBatch) -> list[tuple[int, str]]:
    names = list(batch.schema.names)
    if len(set(names)) != len(names):
        raise InvalidInput("the Arrow data has two columns of one name")
    return list(enumerate(names))


def _values(batch: pa.RecordBatch, column: int) -> bytes:
    """The column's values as JSON, some at a time: other threads get their turn in between."""
    values = batch.column(column)
    pieces = (values.slice(start, _AT_ONCE).to_pylist() for start in range(0, len(values), _AT_ONCE))
    return b",".join(_json(piece)[1:-1] for piece in pieces)


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)


def _batches(file: BinaryIO) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    start = file.read(len(_MAGIC))
    file.seek(0)
    if start != _MAGIC:
        yield from pa.ipc.open_stream(file)
        return
    reader = pa.ipc.open_file(file)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)
