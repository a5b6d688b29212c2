"""What a realtime model says of itself: its columns, the tensors of its graph, and rows to try it on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import msgspec

from gristmill.errors import InvalidInput
from gristmill.schema import Parameter, ParameterType

__all__ = ["INPUT", "OUTPUT", "Column", "Description", "Feed", "Output", "check_tensors", "parse"]

#: Names of the only input and the only output of a realtime service, as the protocol has them.
INPUT, OUTPUT = "inputData", "outputData"

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Short = Annotated[str, msgspec.Meta(max_length=1000)]
_Kind = Literal["numeric", "integer", "logical", "character"]
_Cells = dict[str, list[float | int | bool | str | None]]
#: Column kinds that a tensor of each type can take.
_FITTING = {
    "double": {"numeric", "integer", "logical", "factor"},
    "float": {"numeric", "integer", "logical", "factor"},
    "int64": {"integer", "logical", "factor"},
    "bool": {"logical"},
    "string": {"character", "factor"},
}
_MOST_COLUMNS, _MOST_ROWS = 10_000, 1_000


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Column(_Part, frozen=True):
    """An input column. A null is NaN to the graph, or refused; so is a level that the model does not know."""

    name: _Name
    type: Literal["numeric", "integer", "logical", "character", "factor"]
    levels: tuple[str, ...] = ()
    missing: Literal["pass", "refuse"] = "refuse"
    unseen: Literal["refuse", "missing"] = "refuse"


class Feed(_Part, frozen=True):
    """An input tensor of the graph, [rows, columns]; a factor is its level's number in all but strings."""

    name: _Name
    dtype: Literal["double", "float", "int64", "bool", "string"]
    columns: tuple[_Name, ...]


class Output(_Part, frozen=True):
    """A column of the answer: one of a tensor [rows] or [rows, k] of the graph.

    Of type character with an int64 tensor it holds numbers of `classes`.
    """

    name: _Name
    type: _Kind
    tensor: _Name
    index: Annotated[int, msgspec.Meta(ge=0, le=_MOST_COLUMNS)] = 0


class Sample(_Part, frozen=True):
    """Rows, and the scores that the model's own language gave them; both by column."""

    columns: _Cells
    expected: _Cells


class Origin(_Part, frozen=True):
    """Where the model comes from; only told, never acted on."""

    language: _Short = ""
    model: _Short = ""
    packages: dict[_Short, _Short] = {}


class Description(_Part, frozen=True):
    """All of it. `feeds` and `outputs` are there once the payload is a graph."""

    format: Literal[1]
    payload: Literal["onnx", "r"]
    task: Literal["regression", "classification"]
    columns: tuple[Column, ...]
    sample: Sample
    origin: Origin = Origin()
    response: _Short = ""
    classes: tuple[str, ...] = ()
    feeds: tuple[Feed, ...] = ()
    outputs: tuple[Output, ...] = ()
    tolerance: Annotated[float, msgspec.Meta(ge=0, le=0.1)] = 1e-6

    def inputs(self) -> tuple[Parameter, ...]:
        """The service's input parameter."""
        names = tuple(column.name for column in self.columns)
        return (Parameter(INPUT, ParameterType.DATA_FRAME, columns=names),)

    def results(self) -> tuple[Parameter, ...]:
        """The service's output parameter."""
        names = tuple(output.name for output in self.outputs)
        return (Parameter(OUTPUT, ParameterType.DATA_FRAME, columns=names),)

    def encoded(self) -> bytes:
        """As JSON, for a container."""
        return msgspec.json.encode(self)


_decoder = msgspec.json.Decoder(Description)


def parse(text: bytes) -> Description:
    """The description of a container. Raises InvalidInput that says where it is wrong."""
    try:
        found = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the model's description cannot be read: {error}") from None
    _check_columns(found)
    _check_sample(found)
    if found.payload == "onnx":
        check_tensors(found)
    return found


def _check_columns(found: Description) -> None:
    if not 1 <= len(found.columns) <= _MOST_COLUMNS:
        raise InvalidInput(f"the model has {len(found.columns)} columns: 1 to {_MOST_COLUMNS} are possible")
    _unique("column", [column.name for column in found.columns])
    _unique("class", found.classes)
    if (found.task == "classification") != bool(found.classes):
        raise InvalidInput("the model has to name its classes if it is a classifier, and only then")
    for column in found.columns:
        _unique(f"level of {column.name!r}", column.levels)
        if (column.type == "factor") != bool(column.levels):
            raise InvalidInput(f"column {column.name!r}: a factor has levels, and nothing else has")


def check_tensors(found: Description) -> None:
    """Raise InvalidInput unless feeds and outputs fit the columns."""
    if not found.feeds or not found.outputs or len(found.outputs) > _MOST_COLUMNS:
        raise InvalidInput("the model needs feeds and outputs that say what its tensors hold")
    _unique("feed", [feed.name for feed in found.feeds])
    _unique("output", [output.name for output in found.outputs])
    kinds = {column.name: column.type for column in found.columns}
    passing = {column.name for column in found.columns if column.missing == "pass"}
    for feed in found.feeds:
        if not feed.columns:
            raise InvalidInput(f"feed {feed.name!r} has no columns")
        for name in feed.columns:
            if name not in kinds:
                raise InvalidInput(f"feed {feed.name!r} takes the column {name!r}, which is not there")
            if kinds[name] not in _FITTING[feed.dtype]:
                raise InvalidInput(f"feed {feed.name!r} of {feed.dtype} cannot take {name!r} ({kinds[name]})")
            if name in passing and feed.dtype in {"int64", "bool"} and kinds[name] != "factor":
                raise InvalidInput(f"feed {feed.name!r} of {feed.dtype} cannot hold the nulls of {name!r}")
    for name in found.sample.expected:
        if name not in {output.name for output in found.outputs}:
            raise InvalidInput(f"the sample expects {name!r}, which is no output of the model")


def _check_sample(found: Description) -> None:
    sample, names = found.sample, {column.name for column in found.columns}
    if set(sample.columns) != names:
        odd = min(set(sample.columns) ^ names)
        raise InvalidInput(f"the sample's columns are not the model's: see {odd!r}")
    if not sample.expected:
        raise InvalidInput("the sample expects no scores: nothing would show that the model scores right")
    lengths = {len(cells) for part in (sample.columns, sample.expected) for cells in part.values()}
    if len(lengths) != 1 or not 1 <= max(lengths) <= _MOST_ROWS:
        raise InvalidInput(f"the sample needs 1 to {_MOST_ROWS} rows, the same number in every column")


def _unique(what: str, names: Sequence[str] | Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidInput(f"the model has the {what} {name[:60]!r} twice")
        seen.add(name)
