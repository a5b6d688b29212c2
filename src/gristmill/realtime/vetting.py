"""The program that vets a model: `python -m gristmill.realtime.vetting BYTES < model > native-model`.

A process of its own with little memory and time, because parsers and runtimes written in C++ meet bytes here
that anybody may have sent. What is scored later has been through all of it: a strict parser, an allow-list of
operators, a run on the sample, and one on as many rows as the server ever runs at once.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from gristmill.errors import GristmillError
from gristmill.realtime import container
from gristmill.realtime.comparing import compare
from gristmill.realtime.description import INPUT, Description, check_tensors, parse
from gristmill.realtime.model import MOST_ROWS, Model, open_session

__all__ = ["main", "vet"]

_MEMORY = 6 * 2**30  #: bytes of address space
_SECONDS = 240  #: of CPU


def main() -> None:
    """Read the model, vet it, write what the server loads; the verdict is the last line of standard error."""
    limit = int(sys.argv[1])
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints goes nowhere
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * limit, 4 * limit))
    try:
        native = vet(sys.stdin.buffer.read(limit + 1), limit)
    except GristmillError as error:
        verdict = {"refused": error.message, "kind": type(error).__name__}
    except (MemoryError, RecursionError) as error:
        verdict = {
            "refused": f"the model needs more than the server gives it: {error!r}",
            "kind": "InvalidInput",
        }
    else:
        with target:
            target.write(native)
        verdict = {}
    print("\n" + json.dumps(verdict), file=sys.stderr, flush=True)  # noqa: T201 - the server reads it


def vet(data: bytes, limit: int) -> bytes:
    """The file of the native model. Raises InvalidInput, TooLarge."""
    found = container.read(data, limit=limit)
    description, graph = parse(found.description), found.payload
    if description.payload == "r":
        description, graph = _converted(description, graph)
    from gristmill.realtime.graph_check import check_graph

    check_graph(graph, description)
    model = Model(description, open_session(graph), len(graph))
    _try_sample(model)
    return container.write(msgspec.to_builtins(description), graph)


def _converted(description: Description, payload: bytes) -> tuple[Description, bytes]:
    """What R exported, as a graph."""
    from gristmill.realtime.from_r import convert

    made = convert(msgspec.to_builtins(description), payload)
    described = {
        **msgspec.to_builtins(description),
        "payload": "onnx",
        "feeds": made.feeds,
        "outputs": made.outputs,
    }
    converted = msgspec.convert(described, Description)
    check_tensors(converted)
    return converted, made.model.SerializeToString()


def _try_sample(model: Model) -> None:
    """Score the sample, together, row by row, and repeated to the most rows of a run."""
    columns = model.description.sample.columns
    count = len(next(iter(columns.values())))
    together = _scored(model, columns)
    compare(model.description, together)
    singly: dict[str, list[Any]] = {name: [] for name in together}
    for row in range(count):
        for name, cells in _scored(model, {key: [cells[row]] for key, cells in columns.items()}).items():
            singly[name] += cells
    compare(model.description, singly)
    repeats = -(-MOST_ROWS // count)
    _scored(model, {name: (cells * repeats)[:MOST_ROWS] for name, cells in columns.items()})


def _scored(model: Model, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Output columns by name, of rows that come as a caller's do."""
    rows = model.reader.read(msgspec.json.encode({INPUT: columns}))
    values: Sequence[list[Any]] = model.run(rows.tensors, rows.rows)
    return {output.name: cells for output, cells in zip(model.description.outputs, values, strict=True)}


if __name__ == "__main__":
    main()
