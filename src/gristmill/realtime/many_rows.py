"""Many rows of numbers, from JSON into a matrix without a Python object for each number."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import simdjson

from gristmill.realtime.description import INPUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LONG", "matrix_of"]

#: Bytes of a body from which on this pays.
LONG = 2048
#: Bytes of a body for which a parser's memory is not kept.
_KEPT = 4 * 2**20


class _Parsers(threading.local):
    """A parser for each thread: it keeps its memory from one body to the next."""

    def __init__(self) -> None:
        self.parser = simdjson.Parser()


_parsers = _Parsers()


def matrix_of(body: bytes, names: Sequence[str]) -> NDArray[np.float64] | None:
    """Columns of these names as [rows, columns]; None where the body is not just numbers by column."""
    parser = _parsers.parser if len(body) < _KEPT else simdjson.Parser()
    try:
        sent: Any = parser.parse(body)
        if list(sent.keys()) != [INPUT]:
            return None
        frame = sent[INPUT]
        return np.array([np.frombuffer(frame[name].as_buffer(of_type="d")) for name in names]).T
    # Nulls, texts, records, lengths that differ, or no JSON: whoever reads the body then says what it is.
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError):
        return None
