"""The seven types of inputs and outputs: describe, check and coerce.

The shell imports this module, so that it runs under Python 3.8 and needs the standard library only.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Dict, Tuple

__all__ = ["Form", "Parameter", "ParameterType"]


class ParameterType(str, enum.Enum):
    """Type names of the protocol, the same for R and Python."""

    LOGICAL = "logical"
    INTEGER = "integer"
    NUMERIC = "numeric"
    CHARACTER = "character"
    VECTOR = "vector"
    MATRIX = "matrix"
    DATA_FRAME = "data.frame"


class Form(str, enum.Enum):
    """How Python code wants a data.frame: a pandas frame, or a 2-d float array in the declared column order."""

    FRAME = "frame"
    ARRAY = "array"


@dataclass(frozen=True)
class Parameter:
    """Definition of one input or output.

    `columns` and `form` are Gristmill's own additions and apply to a data.frame: with `columns` a frame must have
    exactly these, and is put into this order; `Form.ARRAY` needs them.
    """

    name: str
    type: ParameterType
    columns: Tuple[str, ...] = ()
    form: Form = Form.FRAME

    def describe(self) -> Dict[str, Any]:
        """The protocol's `ParameterDefinition`, with our additions only where they are set."""
        described: Dict[str, Any] = {"name": self.name, "type": self.type.value}
        if self.columns:
            described["columns"] = list(self.columns)
        if self.form is not Form.FRAME:
            described["form"] = self.form.value
        return described
