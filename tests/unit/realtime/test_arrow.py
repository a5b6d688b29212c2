"""Rows that come as Arrow IPC, and answers that leave as it."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gristmill.errors import InvalidInput
from gristmill.realtime import arrow
from gristmill.realtime.arrays import MOST_CELLS
from gristmill.realtime.description import Output, parse
from gristmill.realtime.rows import Reader
from tests.realtime_models import description

MIXED: list[dict[str, Any]] = [
    {"name": "größe", "type": "numeric", "missing": "pass"},
    {"name": "n", "type": "integer"},
    {"name": "yes", "type": "logical", "missing": "pass"},
    {"name": "kind", "type": "factor", "levels": ["a", "b", "1", "TRUE"]},
    {"name": "text", "type": "character", "missing": "pass"},
]
FEEDS: list[dict[str, Any]] = [
    {"name": "numbers", "dtype": "double", "columns": ["größe", "yes", "kind"]},
    {"name": "whole", "dtype": "int64", "columns": ["n"]},
    {"name": "texts", "dtype": "string", "columns": ["text"]},
]
NAN = float("nan")
GOOD: dict[str, Any] = {
    "größe": pa.array([1.5, None]),
    "n": pa.array([2**53 + 1, -3]),
    "yes": pa.array([True, None]),
    "kind": pa.array(["b", "a"]).dictionary_encode(),
    "text": pa.array(["é", None]),
}


def reader() -> Reader:
    sample = {"columns": {each["name"]: [None] for each in MIXED}, "expected": {"Score": [1.0]}}
    return Reader(parse(json.dumps(description(columns=MIXED, feeds=FEEDS, sample=sample)).encode()))


def stream(columns: dict[str, Any], *, compression: str | None = None, file: bool = False) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_file if file else pa.ipc.new_stream
    with make(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@pytest.mark.parametrize("file", [False, True])
def test_a_stream_and_a_file_go_into_the_tensors_and_nulls_are_nan(file: bool) -> None:
    rows = arrow.read(stream(dict(reversed(GOOD.items())), file=file), reader())
    numbers, whole, texts = rows.tensors
    np.testing.assert_array_equal(numbers, [[1.5, 1, 1], [NAN, NAN, 0]])
    assert whole.tolist() == [[2**53 + 1], [-3]]
    assert texts.tolist() == [["é"], [""]]


def test_batches_of_a_stream_are_joined() -> None:
    table = pa.concat_tables([pa.table(GOOD).combine_chunks()] * 3)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert arrow.read(sink.getvalue().to_pybytes(), reader()).tensors[1][:, 0].tolist() == [2**53 + 1, -3] * 3


@pytest.mark.parametrize(
    ("name", "cells", "row"),
    [
        ("größe", pa.array([2, 3], "int8"), [2, 1, 1]),
        ("größe", pa.array([0.5, NAN], "float"), [0.5, 1, 1]),
        ("größe", pa.nulls(2), [NAN, 1, 1]),
        ("yes", pa.array([0, 1], "uint8"), [1.5, 0, 1]),
        ("yes", pa.array([1.0, None]), [1.5, 1, 1]),
        ("kind", pa.array(["1", "a"], "string_view"), [1.5, 1, 2]),
        ("kind", pa.array([1, 1]), [1.5, 1, 2]),
        ("kind", pa.array([True, True]), [1.5, 1, 3]),
    ],
)
def test_types_that_fit_are_taken(name: str, cells: Any, row: list[float]) -> None:
    rows = arrow.read(stream({**GOOD, name: cells}), reader())
    np.testing.assert_array_equal(rows.tensors[0][0], row)


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("größe", pa.array(["1", "2"]), "'größe': expected numeric, and got texts"),
        ("größe", pa.array([0, 1], pa.timestamp("s")), "'größe' is of type timestamp"),
        ("größe", pa.array([[1.0], []]), "'größe' is of type list"),
        ("n", pa.array([1, None]), "'n': row 2 is null"),
        ("n", pa.array([1.0, NAN]), "'n': row 2 is null"),
        ("n", pa.array([1.5, 1]), "'n': expected integer, and got numbers with fractions"),
        ("n", pa.array([1e300, 1]), "'n': expected integer, and got numbers with fractions, or beyond"),
        ("n", pa.array([2**63, 1], "uint64"), "'n': expected integer, and got numbers beyond 64 bits"),
        ("yes", pa.array([0, 2]), "'yes': expected logical, and got numbers other than 0 and 1"),
        ("kind", pa.array(["b", None]), "'kind': row 2 is null"),
        ("kind", pa.array(["b", "c"]), "'kind': the model does not know the level 'c'"),
        ("kind", pa.array([1.5, 2]), "'kind': expected factor, and got numbers"),
        ("text", pa.array([b"a", b"b"]), "'text' is of type binary"),
        ("other", pa.array([1, 2]), "no column 'other'"),
    ],
)
def test_what_does_not_fit_is_refused_by_column(name: str, cells: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        arrow.read(stream({**GOOD, name: cells}), reader())


def test_columns_that_lack_or_come_twice_are_refused() -> None:
    with pytest.raises(InvalidInput, match="the column 'n' is missing"):
        arrow.read(stream({name: cells for name, cells in GOOD.items() if name != "n"}), reader())
    twice = pa.Table.from_arrays([pa.array([1.0])] * 2, ["größe", "größe"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, twice.schema) as writer:
        writer.write_table(twice)
    with pytest.raises(InvalidInput, match="the column 'größe' twice"):
        arrow.read(sink.getvalue().to_pybytes(), reader())


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("file", [False, True])
def test_compressed_data_is_refused_before_it_grows(compression: str, file: bool) -> None:
    many = {"größe": pa.array(np.zeros(10_000))}
    with pytest.raises(InvalidInput, match="is compressed"):
        arrow.read(stream(many, compression=compression, file=file), reader())
    texts = {"kind": pa.array(["a" * 500, "b"]).dictionary_encode()}
    with pytest.raises(InvalidInput, match="is compressed"):
        arrow.read(stream(texts, compression=compression), reader())


def test_few_bytes_that_stand_for_many_cells_are_refused() -> None:
    with pytest.raises(InvalidInput, match="too many for one call"):
        arrow.read(stream({"größe": pa.nulls(MOST_CELLS + 1)}), reader())


def test_damaged_data_is_refused_and_never_a_defect() -> None:
    good = stream(GOOD)
    assert arrow.read(good, reader()).rows == 2
    for length in range(0, len(good), 7):
        try:
            whole = arrow.read(good[:length], reader()).rows in {0, 2}  # a stream may end after any batch
        except InvalidInput:
            continue
        assert whole
    for place in range(0, len(good), 3):
        damaged = bytearray(good)
        damaged[place] ^= 0xFF
        try:
            arrow.read(bytes(damaged), reader())
        except InvalidInput:
            continue


def test_an_answer_is_a_stream_with_the_output_columns() -> None:
    outputs = [
        Output(name="Score", type="numeric", tensor="Y"),
        Output(name="Label", type="character", tensor="L"),
        Output(name="Count", type="integer", tensor="Y"),
    ]
    found = pa.ipc.open_stream(arrow.encode([[1.5, NAN], ["a", None], [1, None]], outputs)).read_all()
    assert found.to_pydict() == {"Score": [1.5, None], "Label": ["a", None], "Count": [1, None]}
