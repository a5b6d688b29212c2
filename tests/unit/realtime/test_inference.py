"""Requests of the Open Inference Protocol as rows, and answers as tensors."""

import json
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import helper

from gristmill.errors import InvalidInput
from gristmill.realtime import container
from gristmill.realtime.inference import Inference
from gristmill.realtime.model import Model, load
from gristmill.realtime.v2_metadata import inputs
from tests.realtime_models import graph, model_file

NAN = float("nan")
COLUMNS: list[dict[str, Any]] = [
    {"name": "a", "type": "numeric", "missing": "pass"},
    {"name": "b", "type": "integer"},
    {"name": "c", "type": "logical"},
]
LEVELS = {"name": "k", "type": "factor", "levels": ["x", "y"], "missing": "pass"}
OUTPUTS: list[dict[str, Any]] = [
    {"name": "Score", "type": "numeric", "tensor": "Y"},
    {"name": "Count", "type": "integer", "tensor": "Y"},
]


def model(columns: list[dict[str, Any]]) -> Model:
    """Its score is the sum of the columns."""
    names = [column["name"] for column in columns]
    nodes = [helper.make_node("ReduceSum", ["X", "axes"], ["Y"], keepdims=1)]
    return load(
        container.read(
            model_file(
                graph(nodes, len(columns), {"axes": np.array([1])}).SerializeToString(),
                columns=columns,
                feeds=[{"name": "X", "dtype": "double", "columns": names}],
                outputs=OUTPUTS,
                sample={"columns": {name: [None] for name in names}, "expected": {"Score": [None]}},
            )
        )
    )


PLAIN, MIXED = model(COLUMNS), model([*COLUMNS, LEVELS])


def tensor(name: str, shape: list[int], datatype: str, data: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def binary(name: str, shape: list[int], datatype: str, size: int) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}


def sent(tensors: list[dict[str, Any]], blobs: bytes | None = None, **more: Any) -> Inference:
    text = json.dumps({"inputs": tensors, **more}).encode()
    if blobs is None:
        return Inference(text, None, "m", "1")
    return Inference(text + blobs, b"%d" % len(text), "m", "1")


def scored(call: Inference, made: Model = PLAIN) -> bytes:
    rows = call(made)
    return call.encode(made.run(rows.tensors, rows.rows))


def scores(call: Inference, made: Model = PLAIN) -> Any:
    return json.loads(scored(call, made))["outputs"][0]["data"]


ABC = [
    tensor("a", [2], "FP64", [0.5, None]),
    tensor("b", [2, 1], "INT32", [1, 2]),
    tensor("c", [2], "BOOL", [True, False]),
]


def test_a_tensor_for_each_column_in_any_order() -> None:
    assert scores(sent(ABC)) == scores(sent(ABC[::-1])) == [2.5, None]
    nested = [tensor("b", [2, 1], "INT64", [[1], [2]]), ABC[0], ABC[2]]
    assert scores(sent(nested)) == [2.5, None]


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "FP16", "INT64", "INT32", "INT8", "UINT8", "BOOL"])
def test_one_tensor_for_all_numeric_columns_of_every_datatype(datatype: str) -> None:
    ones = [True] * 6 if datatype == "BOOL" else [1] * 6
    assert scores(sent([tensor("any", [2, 3], datatype, ones)])) == [3, 3]
    assert scores(sent([tensor("any", [2, 3], datatype, [ones[:3], ones[:3]])])) == [3, 3]


def test_binary_tensors_come_one_after_the_other() -> None:
    blobs = np.array([0.5, NAN]).tobytes() + np.array([1, 2], "<i4").tobytes() + b"\1\0"
    tensors = [binary("a", [2], "FP64", 16), binary("b", [2, 1], "INT32", 8), binary("c", [2], "BOOL", 2)]
    assert scores(sent(tensors, blobs)) == [2.5, None]
    matrix = np.arange(6.0).reshape(2, 3)
    assert scores(sent([binary("x", [2, 3], "FP64", 48)], matrix.tobytes())) == [3, 12]


def test_levels_come_as_bytes_in_json_and_binary() -> None:
    json_levels = tensor("k", [2], "BYTES", ["y", None])
    abc = [tensor("a", [2], "FP64", [0, 0]), *ABC[1:]]
    assert scores(sent([*abc, json_levels]), MIXED) == [3, None]
    blob = b"".join(struct.pack("<I", len(text)) + text for text in (b"x", b"y"))
    assert scores(sent([*abc, binary("k", [2], "BYTES", len(blob))], blob), MIXED) == [2, 3]


def test_the_answer_has_what_was_asked_for() -> None:
    call = sent(ABC, id="42", outputs=[{"name": "Count"}])
    assert json.loads(scored(call)) == {
        "model_name": "m",
        "model_version": "1",
        "id": "42",
        "outputs": [{"name": "Count", "shape": [2], "datatype": "INT64", "data": [2, None]}],
    }
    assert call.json_length is None


def test_outputs_are_binary_one_by_one_or_all() -> None:
    one = sent(ABC, outputs=[{"name": "Count"}, {"name": "Score", "parameters": {"binary_data": True}}])
    body = scored(one)
    assert one.json_length == len(body) - 16
    answer = json.loads(body[: one.json_length])
    assert answer["outputs"][1]["parameters"] == {"binary_data_size": 16}
    np.testing.assert_array_equal(np.frombuffer(body[-16:]), [2.5, NAN])
    every = sent([tensor("x", [1, 3], "FP64", [1, 2, 0])], parameters={"binary_data_output": True})
    assert scored(every)[-16:] == struct.pack("<dq", 3.0, 3)


def test_a_null_that_a_binary_datatype_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'Count' has nulls, which INT64 cannot hold"):
        scored(sent(ABC, parameters={"binary_data_output": True}))


def test_no_rows_are_no_scores() -> None:
    assert scores(sent([tensor("x", [0, 3], "FP64", [])])) == []


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ([], "the column 'a' is missing"),
        (ABC[:2], "the column 'c' is missing"),
        ([*ABC, tensor("z", [2], "FP64", [1, 2])], "no column 'z'"),
        ([*ABC, ABC[0]], "'a' came twice"),
        ([tensor("a", [3], "FP64", [1, 2, 3]), *ABC[1:]], "differ in length"),
        ([tensor("a", [3], "FP64", [1, 2]), *ABC[1:]], "has 3 elements, and 2 came"),
        ([tensor("a", [2], "FP64", ["1", "2"]), *ABC[1:]], "'a': its data is no list of FP64"),
        ([tensor("a", [2], "FP64", 1), *ABC[1:]], "'a': its data is no list of FP64"),
        ([tensor("a", [2], "TEXT", [1, 2]), *ABC[1:]], "'TEXT' is no datatype"),
        ([tensor("a", [2], "BYTES", ["1", "2"]), *ABC[1:]], "'a': expected numeric, and got texts"),
        ([tensor("a", [2, 1], "FP64", [[1, 2]]), *ABC[1:]], "has not the shape"),
        ([tensor("a", [1, 2], "FP64", [1, 2]), *ABC[1:]], r"has to be \[rows\] or \[rows, 1\]"),
        ([tensor("a", [], "FP64", []), *ABC[1:]], "its shape has to be"),
        ([tensor("a", [1, 1, 1], "FP64", [1]), *ABC[1:]], "its shape has to be"),
        ([tensor("a", [-1], "FP64", []), *ABC[1:]], "its shape has to be"),
        ([tensor("a", [2**39], "FP64", []), *ABC[1:]], "too many for one call"),
        ([ABC[0], tensor("b", [2], "INT32", [1, None]), ABC[2]], "'b': row 2 is null"),
        ([ABC[0], tensor("b", [2], "INT8", [1, 300]), ABC[2]], "'b': a number is beyond INT8"),
        ([*ABC[:2], tensor("c", [2], "INT32", [1, 2])], "'c': expected logical"),
        ([tensor("x", [2, 2], "FP64", [1, 2, 3, 4])], r"has to be \[rows, 3\]"),
        ([tensor("x", [1, 3], "BYTES", ["1", "2", "3"])], r"has to be \[rows, 3\], numbers"),
        ([tensor("x", [1, 3], "FP64", [1, None, 3])], "'b': row 1 is null"),
        ([{"name": "a", "shape": [2], "datatype": "FP64"}], "neither data nor binary_data_size"),
        ([binary("a", [2], "FP64", 16)], "not a number of bytes that came"),
    ],
)
def test_what_does_not_fit_is_refused_by_tensor(tensors: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        scored(sent(tensors))


def test_a_model_with_levels_takes_no_matrix() -> None:
    with pytest.raises(InvalidInput, match="column 'k' of the model holds texts"):
        scored(sent([tensor("x", [1, 4], "FP64", [1, 2, 1, 0])]), MIXED)


@pytest.mark.parametrize(
    ("datatype", "size", "blob", "why"),
    [
        ("FP64", 15, b"x" * 15, "are 16 bytes"),
        ("FP64", 17, b"x" * 16, "not a number of bytes"),
        ("FP64", 16, b"x" * 17, "1 bytes of the body belong to no tensor"),
        ("FP64", True, b"x" * 16, "not a number of bytes"),
        ("BYTES", 3, b"x" * 3, "end within the length"),
        ("BYTES", 6, struct.pack("<I", 3) + b"xx", "end within an element"),
        ("BYTES", 5, struct.pack("<I", 1) + b"\xff", "is not UTF-8"),
        ("BYTES", 5, struct.pack("<I", 1) + b"x", "has 2 elements, and 1 came"),
    ],
)
def test_binary_data_that_do_not_add_up_are_refused(datatype: str, size: int, blob: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        scored(sent([binary("a", [2], datatype, size)], blob))


@pytest.mark.parametrize("length", [b"", b"x", b"-1", b"0", b"9999", b"9" * 30])
def test_a_length_that_is_not_that_of_the_json_is_refused(length: bytes) -> None:
    with pytest.raises(InvalidInput, match="Inference-Header-Content-Length"):
        Inference(b'{"inputs":[]}', length, "m", "1")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"inputs":{}}', b'{"inputs":[1]}', b"\xff", b"[" * 9999]
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="no inference request"):
        Inference(body, None, "m", "1")(load(container.read(model_file())))


def test_outputs_that_the_model_does_not_have_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no output 'Sum'; it has 'Score', 'Count'"):
        sent(ABC, outputs=[{"name": "Sum"}])(PLAIN)
    with pytest.raises(InvalidInput, match="no classification extension"):
        sent(ABC, outputs=[{"name": "Score", "parameters": {"classification": 2}}])(PLAIN)


def test_metadata_name_datatypes_that_can_hold_what_the_columns_may_have() -> None:
    columns = [{**column, "missing": missing} for column in COLUMNS for missing in ("pass", "refuse")]
    named = [{**column, "name": f"c{i}"} for i, column in enumerate(columns)]
    found = inputs(model([*named, LEVELS]).description)
    assert [each["datatype"] for each in found] == ["FP64", "FP64", "FP64", "INT64", "FP64", "BOOL", "BYTES"]
    assert msgspec.json.encode(found[0]) == b'{"name":"c0","datatype":"FP64","shape":[-1]}'


@pytest.mark.parametrize("missing", [False, True])
def test_many_rows_in_json_are_scored_as_few_are(missing: bool) -> None:
    columns = {"a": [i / 7 for i in range(100)], "b": [*range(100)], "c": [i % 2 for i in range(100)]}
    wanted: list[float | None] = [sum(row) for row in zip(*columns.values(), strict=True)]
    if missing:
        columns["a"][70], wanted[70] = None, None
    tensors = [tensor(name, [100], "FP64", cells) for name, cells in columns.items()]
    assert scores(sent(tensors)) == wanted
    matrix = [list(row) for row in zip(*columns.values(), strict=True)]
    assert scores(sent([tensor("x", [100, 3], "FP64", matrix)])) == wanted
