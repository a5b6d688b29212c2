"""A model's columns and outputs as the Open Inference Protocol describes tensors; without numpy."""

from __future__ import annotations

from typing import Any

from gristmill.realtime.description import Column, Description, Output

__all__ = ["inputs", "output_datatype", "outputs"]

_DATATYPES = {
    "numeric": "FP64", "integer": "INT64", "logical": "BOOL", "character": "BYTES", "factor": "BYTES",
}  # fmt: skip


def inputs(description: Description) -> list[dict[str, Any]]:
    """A tensor [rows] for each column."""
    return [
        {"name": column.name, "datatype": _input_datatype(column), "shape": [-1]}
        for column in description.columns
    ]


def outputs(description: Description) -> list[dict[str, Any]]:
    """A tensor [rows] for each column of the answer."""
    return [
        {"name": output.name, "datatype": output_datatype(output), "shape": [-1]}
        for output in description.outputs
    ]


def output_datatype(output: Output) -> str:
    """In which an output is sent."""
    return _DATATYPES[output.type]


def _input_datatype(column: Column) -> str:
    """Where nulls may come, one that has NaN; others that fit are accepted, too."""
    found = _DATATYPES[column.type]
    return "FP64" if found in {"INT64", "BOOL"} and column.missing == "pass" else found
