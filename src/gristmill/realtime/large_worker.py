"""The program that scores large calls: `python -m gristmill.realtime.large_worker SOCKET`.

A line of JSON with the model's digest, and the call's form if it is not the protocol's own, comes with three
descriptors: the body, a file for the answer, and the model's file. What is told back is a line of JSON: what
the server has to know of the answer, or the `kind` and `message` of an error.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec

from gristmill.errors import GristmillError

if TYPE_CHECKING:
    from gristmill.realtime.model import Model
    from gristmill.realtime.rows import Rows

__all__ = ["main"]

_MEMORY = 16 * 2**30  #: bytes of address space
_MODELS = 2  #: that are kept for the next calls


def main() -> None:
    """Score calls until the server closes its end."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    models: OrderedDict[str, Model] = OrderedDict()
    with socket.socket(fileno=int(sys.argv[1])) as server:
        while True:
            line, descriptors, _, _ = socket.recv_fds(server, 4096, 3)
            if not line:
                return
            try:
                told = _told(models, msgspec.json.decode(line), descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            server.sendall(msgspec.json.encode(told) + b"\n")


def _told(models: OrderedDict[str, Model], asked: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """Score one call; what the server is told of it."""
    body, answer, model = descriptors
    try:
        return _score(_loaded(models, asked["digest"], model), asked, body, answer)
    except GristmillError as error:
        return {"kind": type(error).__name__, "message": error.message}
    except MemoryError:
        return {
            "kind": "TooLarge",
            "message": "scoring these rows takes more memory than a call may use: send fewer rows at a time",
        }
    except Exception as error:  # noqa: BLE001 - it is told to whoever may read the server's log
        return {"kind": "", "message": f"scoring failed: {error!r}"}


def _loaded(models: OrderedDict[str, Model], digest: str, descriptor: int) -> Model:
    from gristmill.realtime import container
    from gristmill.realtime.model import load

    if digest not in models:
        while len(models) >= _MODELS:
            models.popitem(last=False)
        models[digest] = load(container.read(_content(descriptor)))
    models.move_to_end(digest)
    return models[digest]


def _score(model: Model, asked: dict[str, Any], body: int, answer: int) -> dict[str, Any]:
    content, said = _content(body), {}
    match asked.get("form"):
        case "v2":
            from gristmill.realtime.inference import Inference

            length = asked["jsonLength"]
            inference = Inference(content, length and length.encode(), asked["name"], asked["version"])
            text = inference.encode(_columns(model, inference(model)))
            said = {"jsonLength": inference.json_length}
        case "arrow":
            from gristmill.realtime.arrow import ArrowCall

            call = ArrowCall(content, arrow=asked["arrow"])
            columns = _columns(model, call(model))
            text = (call.encode or model.answer)(columns)
        case _:
            text = model.answer(_columns(model, model.reader.read(content)))
    with open(os.dup(answer), "wb") as file:
        file.write(text)
    return said


def _columns(model: Model, rows: Rows) -> list[list[Any]]:
    return model.run(rows.tensors, rows.rows)


def _content(descriptor: int) -> bytes:
    with open(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


if __name__ == "__main__":
    main()
