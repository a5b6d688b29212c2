"""The program that scores large calls: `python -m gristmill.realtime.large_worker SOCKET`.

A line of JSON with the model's digest comes with three descriptors: the body, a file for the answer, and the
model's file. What is told back is a line of JSON: empty, or with the `kind` and `message` of an error.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from gristmill.errors import GristmillError

if TYPE_CHECKING:
    from gristmill.realtime.model import Model

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
                told = _told(models, msgspec.json.decode(line)["digest"], descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            server.sendall(msgspec.json.encode(told) + b"\n")


def _told(models: OrderedDict[str, Model], digest: str, descriptors: list[int]) -> dict[str, str]:
    """Score one call; what the server is told of it."""
    body, answer, model = descriptors
    try:
        _score(_loaded(models, digest, model), body, answer)
    except GristmillError as error:
        return {"kind": type(error).__name__, "message": error.message}
    except MemoryError:
        return {
            "kind": "TooLarge",
            "message": "scoring these rows takes more memory than a call may use: send fewer rows at a time",
        }
    except Exception as error:  # noqa: BLE001 - it is told to whoever may read the server's log
        return {"kind": "", "message": f"scoring failed: {error!r}"}
    return {}


def _loaded(models: OrderedDict[str, Model], digest: str, descriptor: int) -> Model:
    from gristmill.realtime import container
    from gristmill.realtime.model import load

    if digest not in models:
        while len(models) >= _MODELS:
            models.popitem(last=False)
        models[digest] = load(container.read(_content(descriptor)))
    models.move_to_end(digest)
    return models[digest]


def _score(model: Model, body: int, answer: int) -> None:
    rows = model.reader.read(_content(body))
    text = model.answer(model.run(rows.tensors, rows.rows))
    with open(os.dup(answer), "wb") as file:
        file.write(text)


def _content(descriptor: int) -> bytes:
    with open(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


if __name__ == "__main__":
    main()
