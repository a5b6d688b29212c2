"""The services of the fault harness: their code, and how they are published and changed."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

from ..home import Unavailable
from .wire import Answer, Connection

__all__ = ["VANDAL", "definition", "put", "workspace"]

FORM = {"Content-Type": "multipart/form-data; boundary=FAULTS"}
#: Code that breaks its own shell in the way that it is told.
VANDAL = """
import os, signal, stat
what = str(what)
if what == "exit":
    os._exit(3)
if what == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
for name in os.listdir("/proc/self/fd"):
    try:
        if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
            if what == "garbage":
                os.write(int(name), b"\\x00garbage that is no frame" * 8)
            elif what == "close":
                os.close(int(name))
    except OSError:
        pass
y = 1.0
"""


def code(constant: int, language: str) -> str:
    """y = 2 x + constant, with the objects of `workspace`."""
    return f"y <- x * two + {constant}" if language == "R" else f"y = x * two + {constant}"


def definition(text: str, *, inputs: dict[str, str], runtime: str = "Python", **more: Any) -> bytes:
    """The body that publishes a standard service."""
    return json.dumps(
        {
            "code": text,
            "runtimeType": runtime,
            "inputParameterDefinitions": [{"name": n, "type": t} for n, t in inputs.items()],
            "outputParameterDefinitions": [{"name": "y", "type": "numeric"}],
            **more,
        }
    ).encode()


async def workspace(connection: Connection, runtime: str) -> str:
    """Id of a snapshot with the object `two`: services with it have a content that their shells open."""
    two = "two <- 2" if runtime == "R" else "two = 2"
    session = (await _done(connection, "POST", "/sessions", {"runtimeType": runtime}))["sessionId"]
    await _done(connection, "POST", f"/sessions/{session}/execute", {"code": two})
    taken = await _done(connection, "POST", f"/sessions/{session}/snapshot", {"name": f"two-{runtime}"})
    await _done(connection, "DELETE", f"/sessions/{session}", None)
    return str(taken["snapshotId"])


async def _done(connection: Connection, method: str, path: str, body: Any) -> Any:
    """What was answered. Raises Unavailable for an error."""
    answer = await connection.ask(method, path, json.dumps(body).encode() if body else b"")
    if answer.status >= 400:
        raise Unavailable(f"{method} {path} answered {answer.status}: {answer.body[:300]!r}")
    return answer.json() if answer.body else None


def model_file(constant: int) -> bytes:
    """A realtime model with the column x, whose score is 2 x + constant."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("Mul", ["X", "two"], ["T"]), helper.make_node("Add", ["T", "c"], ["Y"])]
    values = {"two": [[2.0]], "c": [[float(constant)]]}
    graph = helper.make_graph(
        nodes,
        "faults",
        [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, 1])],
        [helper.make_tensor_value_info("Y", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    payload: bytes = model.SerializeToString()
    described = {
        "format": 1,
        "payload": "onnx",
        "task": "regression",
        "columns": [{"name": "x", "type": "numeric"}],
        "feeds": [{"name": "X", "dtype": "double", "columns": ["x"]}],
        "outputs": [{"name": "y", "type": "numeric", "tensor": "Y"}],
        "sample": {"columns": {"x": [1.0]}, "expected": {"y": [2.0 + constant]}},
    }
    text = json.dumps(described).encode()
    digest = hashlib.sha256(text + payload).digest()
    return struct.pack("<8sHHIQ32s", b"blob-gm\n", 1, 0, len(text), len(payload), digest) + text + payload


def form(file: bytes) -> bytes:
    """A model as a form."""
    head = (
        b'--FAULTS\r\nContent-Disposition: form-data; name="model"; filename="m"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    return head + file + b"\r\n--FAULTS--\r\n"


async def put(
    connection: Connection, method: str, name: str, constant: int, *, realtime: bool, **more: Any
) -> Answer:
    """Publish (POST) or change (PATCH) the service `name`, version 1, so that it has this constant."""
    if realtime:
        body = form(model_file(constant))
        return await connection.ask(method, f"/realtime-services/{name}/1", body, FORM)
    runtime = more.get("runtime", "Python")
    if method == "PATCH":
        body = json.dumps({"code": code(constant, runtime)}).encode()
    else:
        body = definition(code(constant, runtime), inputs={"x": "numeric"}, **more)
    return await connection.ask(method, f"/services/{name}/1", body)
