"""What is let through to be scored, and what is not."""

import contextlib
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from gristmill.errors import InvalidInput
from gristmill.realtime import container
from gristmill.realtime.container import HEADER_SIZE
from gristmill.realtime.publishing import Publisher
from gristmill.realtime.vetting import vet
from gristmill.testing import MemoryBlobs
from tests.realtime_models import doubling, graph, model_file

LIMIT = 10 * 2**20


def refused(file: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        vet(file, LIMIT)
    return str(caught.value)


def changed(change: Any) -> bytes:
    """The file of the doubling model, its graph changed by `change`."""
    proto = onnx.load_model_from_string(doubling())
    change(proto)
    return model_file(proto.SerializeToString())


def with_nodes(*nodes: onnx.NodeProto, **constants: Any) -> bytes:
    return model_file(graph(list(nodes), 1, constants).SerializeToString())


def test_a_good_model_is_let_through_as_it_is() -> None:
    native = container.read(vet(model_file(), LIMIT))
    assert native.payload == doubling()
    assert json.loads(native.description)["columns"][0]["name"] == "x"


def test_other_scores_than_the_models_own_are_refused_with_a_table() -> None:
    sample = {"columns": {"x": [1.0, 2.0, 3.0]}, "expected": {"Score": [2.0, 4.1, None]}}
    told = refused(model_file(sample=sample)).splitlines()
    assert "2 of 3 sample rows differ by more than 1e-06" in told[0]
    assert [line.split() for line in told[1:4]] == [
        ["row", "output", "here", "in", "Python", "difference"],
        ["3", "Score", "6.0", "null", "inf"],
        ["2", "Score", "4.0", "4.1", "0.0244"],
    ]


def test_a_tolerance_is_kept() -> None:
    sample = {"columns": {"x": [1.0]}, "expected": {"Score": [2.001]}}
    assert "differ" in refused(model_file(sample=sample, tolerance=1e-4))
    assert vet(model_file(sample=sample, tolerance=1e-3), LIMIT)


def loop(proto: onnx.ModelProto) -> None:
    body = helper.make_graph([], "b", [], [])
    proto.graph.node.append(helper.make_node("Loop", ["", "", "X"], ["l"], body=body))


def cycle(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = "Y"


def external(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")


def huge(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[:] = [2**40, 2**20]


def custom(proto: onnx.ModelProto) -> None:
    proto.opset_import.append(helper.make_opsetid("com.evil", 1))


def with_function(proto: onnx.ModelProto) -> None:
    proto.functions.add(name="f", domain="local")


def other_input(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].name = "other"


def other_type(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def more_columns(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3


def one_row(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def future(proto: onnx.ModelProto) -> None:
    proto.ir_version = 99


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (loop, "operator :Loop, which is not scored"),
        (cycle, "not valid ONNX|cannot take"),
        (external, "lies in another file"),
        (huge, "not valid ONNX|cannot take"),
        (custom, "uses operators of 'com.evil'"),
        (with_function, "has functions"),
        (other_input, r"takes \['other'\]"),
        (other_type, "not of type double"),
        (more_columns, "has 3 columns, described are 1"),
        (one_row, "any number of rows"),
        (future, "IR version 99"),
    ],
)
def test_graphs_that_are_not_scored_are_refused_with_the_reason(change: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        vet(changed(change), LIMIT)


def test_no_value_of_a_row_may_choose_how_large_a_tensor_is() -> None:
    file = with_nodes(
        helper.make_node("Cast", ["X"], ["n"], to=7),
        helper.make_node("Reshape", ["n", "flat"], ["m"]),
        helper.make_node("ConstantOfShape", ["m"], ["Y"]),
        flat=np.array([-1]),
    )
    assert "ConstantOfShape makes a tensor whose size a row's values choose" in refused(file)


def test_the_number_of_rows_may() -> None:
    file = with_nodes(
        helper.make_node("Shape", ["X"], ["shape"]),
        helper.make_node("Expand", ["two", "shape"], ["twos"]),
        helper.make_node("Mul", ["X", "twos"], ["Y"]),
        two=np.array(2.0),
    )
    assert vet(file, LIMIT)


def test_rows_that_depend_on_each_other_are_refused() -> None:
    file = with_nodes(
        helper.make_node("ReduceSum", ["X"], ["sum"], keepdims=1),
        helper.make_node("Add", ["X", "sum"], ["Y"]),
    )
    described = {"columns": {"x": [1.0, 2.0]}, "expected": {"Score": [4.0, 5.0]}}
    native = container.read(file)
    file = container.write({**json.loads(native.description), "sample": described}, native.payload)
    assert "2 of 2 sample rows differ" in refused(file)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": 2}, "format"),
        ({"surplus": 1}, "surplus"),
        ({"columns": []}, "0 columns"),
        ({"columns": [{"name": "x", "type": "numeric"}] * 2}, "'x' twice"),
        ({"columns": [{"name": "x", "type": "factor"}]}, "a factor has levels"),
        ({"columns": [{"name": "x", "type": "complex"}]}, "complex"),
        ({"task": "classification"}, "has to name its classes"),
        ({"classes": ["a"]}, "has to name its classes"),
        ({"feeds": []}, "needs feeds"),
        ({"feeds": [{"name": "X", "dtype": "double", "columns": ["y"]}]}, "'y', which is not there"),
        ({"feeds": [{"name": "X", "dtype": "string", "columns": ["x"]}]}, "cannot take 'x'"),
        ({"feeds": [{"name": "X", "dtype": "double", "columns": []}]}, "has no columns"),
        ({"outputs": []}, "needs feeds and outputs"),
        ({"outputs": [{"name": "Score", "type": "numeric", "tensor": "Z"}]}, "no output of the graph"),
        ({"outputs": [{"name": "Score", "type": "numeric", "tensor": "Y", "index": 1}]}, "column 1 of it"),
        ({"sample": {"columns": {}, "expected": {"Score": [1]}}}, "see 'x'"),
        ({"sample": {"columns": {"x": [1.0]}, "expected": {}}}, "expects no scores"),
        ({"sample": {"columns": {"x": [1.0]}, "expected": {"Score": [1.0, 2.0]}}}, "1 to 1000 rows"),
        ({"sample": {"columns": {"x": []}, "expected": {"Score": []}}}, "1 to 1000 rows"),
        ({"sample": {"columns": {"x": ["text"]}, "expected": {"Score": [1.0]}}}, "expected numeric"),
        ({"sample": {"columns": {"x": [1.0]}, "expected": {"Other": [1.0]}}}, "no output of the model"),
        ({"tolerance": 1.0}, "tolerance"),
    ],
)
def test_descriptions_that_do_not_hold_are_refused(changes: dict[str, Any], why: str) -> None:
    assert why in refused(model_file(**changes))


@pytest.mark.parametrize("graph_bytes", [b"", b"no protobuf", pickle.dumps([1]), doubling()[:-20]])
def test_a_payload_that_is_no_graph_is_refused(graph_bytes: bytes) -> None:
    refused(model_file(graph_bytes))


@given(st.integers(0, len(doubling()) - 1), st.integers(0, 255))
def test_a_graph_with_any_byte_changed_is_let_through_or_refused(place: int, byte: int) -> None:
    damaged = bytearray(doubling())
    damaged[place] = byte
    with contextlib.suppress(InvalidInput):
        assert container.read(vet(model_file(bytes(damaged)), LIMIT)).payload == bytes(damaged)


def run(file: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "gristmill.realtime.vetting", str(LIMIT)]
    return subprocess.run(command, input=file, capture_output=True, check=True)


def test_the_program_writes_the_native_model_and_tells_its_verdict_last() -> None:
    done = run(model_file())
    assert json.loads(done.stderr.splitlines()[-1]) == {}
    assert container.read(done.stdout).payload == doubling()
    done = run(model_file(b"x"))
    assert "not ONNX" in json.loads(done.stderr.splitlines()[-1])["refused"]
    assert not done.stdout


async def test_a_publisher_keeps_what_is_let_through() -> None:
    blobs = MemoryBlobs()
    publisher = Publisher(blobs, limit=LIMIT)
    with open_file(model_file()) as file:
        accepted = await publisher.accept(file)
    assert [each.columns for each in (*accepted.inputs, *accepted.outputs)] == [("x",), ("Score",)]
    assert container.read(blobs.contents[accepted.content]).payload == doubling()
    with open_file(model_file()[: HEADER_SIZE + 5]) as file, pytest.raises(InvalidInput, match="cut off"):
        await publisher.accept(file)


async def test_a_model_that_ends_the_process_that_checks_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gristmill.realtime.publishing.PROGRAM", ("-c", "import os; os.abort()"))
    with open_file(model_file()) as file, pytest.raises(InvalidInput, match=r"ended the process .*signal 6"):
        await Publisher(MemoryBlobs(), limit=LIMIT).accept(file)


@contextlib.contextmanager
def open_file(content: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield file
