"""A loaded model: the rows of calls in, the bytes of their answers out."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import structlog

from gristmill.errors import InvalidInput
from gristmill.realtime.container import Container
from gristmill.realtime.description import INPUT, OUTPUT, Description, Output, parse
from gristmill.realtime.rows import Reader

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

__all__ = ["MOST_ROWS", "Model", "load", "open_session"]

#: Rows of one run of a graph. A model is tried with as many before it is published; calls with more are cut.
MOST_ROWS = 10_000

_BEFORE = (
    b'{"success":true,"errorMessage":"","outputParameters":{"%b":{' % OUTPUT.encode()
)  # fmt: skip
_AFTER = b'}},"outputFiles":{},"consoleOutput":"","changedFiles":[]}'
#: Rows from which on a run tells what a row costs, not what a run costs.
_MANY = 64
#: Seconds of a run of one row from which on nothing more has to be known of a model.
_SLOW = 0.005
#: What a run is taken to cost, seconds, before there was one.
_UNKNOWN = 1.0

log = structlog.get_logger("gristmill.realtime")


class Model:
    """A model that is ready to score. Runs may overlap in several threads; each uses one of them."""

    def __init__(self, description: Description, session: onnxruntime.InferenceSession, size: int) -> None:
        self.description = description
        self.size = size  #: bytes of memory, roughly
        self.reader = Reader(description)
        self._session = session
        self._feeds = [feed.name for feed in description.feeds]
        self._tensors = list(dict.fromkeys(output.tensor for output in description.outputs))
        self._outputs = [_Encoder(output, description.classes) for output in description.outputs]
        self._seconds_per_run = 20e-6
        self._seconds_per_row = 1e-6

    def measure(self) -> None:
        """Learn what runs cost from rows of the sample, before a caller waits for one.

        A model whose rows cannot be run here counts as a slow one until a run tells otherwise.
        """
        self._seconds_per_run = _UNKNOWN
        sample = {name: cells[:_MANY] for name, cells in self.description.sample.columns.items()}
        try:
            tensors = self.reader.read(msgspec.json.encode({INPUT: sample})).tensors
            many = [np.resize(tensor, (4 * _MANY, *tensor.shape[1:])) for tensor in tensors]
            for _ in range(2):  # the first run of a graph also has its memory laid out
                self._seconds_per_run = self._timed([tensor[:1] for tensor in many], 1)
                if self._seconds_per_run > _SLOW:
                    return
            took = self._timed(many, 4 * _MANY)
            self._seconds_per_row = max((took - self._seconds_per_run) / (4 * _MANY), 1e-7)
        except Exception as error:  # noqa: BLE001 - whoever calls it is told
            log.warning("model_not_measured", error=str(error))

    def _timed(self, tensors: Sequence[NDArray[Any]], rows: int) -> float:
        start = perf_counter()
        self._columns(tensors, rows)
        return perf_counter() - start

    def cost(self, rows: int) -> float:
        """Seconds that a run of so many rows is expected to take."""
        return self._seconds_per_run + rows * self._seconds_per_row

    def rows_within(self, seconds: float) -> int:
        """Rows that a run of these seconds is expected to take; at least 1."""
        return max(1, int((seconds - self._seconds_per_run) / self._seconds_per_row))

    def run(self, tensors: Sequence[NDArray[Any]], rows: int) -> list[list[Any]]:
        """Values of each output column, as JSON has them, of all rows. Raises InvalidInput if it cannot."""
        if rows > MOST_ROWS:
            return self._run_in_pieces(tensors, rows)
        start = perf_counter()
        found = self._columns(tensors, rows)
        self._learn(perf_counter() - start, rows)
        return found

    def _columns(self, tensors: Sequence[NDArray[Any]], rows: int) -> list[list[Any]]:
        found = dict(zip(self._tensors, self.raw(tensors), strict=True))
        return [encoder.values(found[encoder.tensor], rows) for encoder in self._outputs]

    def _run_in_pieces(self, tensors: Sequence[NDArray[Any]], rows: int) -> list[list[Any]]:
        whole: list[list[Any]] = [[] for _ in self._outputs]
        for first in range(0, rows, MOST_ROWS):
            last = min(rows, first + MOST_ROWS)
            piece = self.run([tensor[first:last] for tensor in tensors], last - first)
            for column, values in zip(whole, piece, strict=True):
                column.extend(values)
        return whole

    def raw(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The graph's own outputs. Raises InvalidInput with what ONNX Runtime says."""
        try:
            found: list[NDArray[Any]] = self._session.run(
                self._tensors, dict(zip(self._feeds, tensors, strict=True))
            )
        except Exception as error:  # noqa: BLE001 - each of its errors has a class of its own, below Exception
            raise InvalidInput(f"the model cannot score these rows: {_first_line(error)}") from None
        return found

    def answer(self, columns: Sequence[Sequence[Any]]) -> bytes:
        """The body of the answer to a call whose output columns these are."""
        parts = [
            encoder.prefix + msgspec.json.encode(values)
            for encoder, values in zip(self._outputs, columns, strict=True)
        ]
        return b"".join((_BEFORE, b",".join(parts), _AFTER))

    def _learn(self, seconds: float, rows: int) -> None:
        """Weigh in what a run took."""
        if rows < _MANY:
            self._seconds_per_run += 0.1 * (seconds - rows * self._seconds_per_row - self._seconds_per_run)
            self._seconds_per_run = max(self._seconds_per_run, 1e-6)
        else:
            self._seconds_per_row += 0.2 * (seconds / rows - self._seconds_per_row)


class _Encoder:
    """One column of the answer."""

    def __init__(self, output: Output, classes: Sequence[str]) -> None:
        self.tensor = output.tensor
        self.prefix = msgspec.json.encode(output.name) + b":"
        self._output = output
        self._labels = np.array([*classes, None], dtype=object)

    def values(self, tensor: NDArray[Any], rows: int) -> list[Any]:
        """Its cells; NaN and numbers of no class are null."""
        column = self.column(tensor, rows)
        kind, wanted = column.dtype.kind, self._output.type
        if wanted == "character" and kind in "iu":
            known = (column >= 0) & (column < len(self._labels) - 1)
            column = self._labels[np.where(known, column, -1)]
        elif wanted == "integer":
            self._check_whole(column)
            if kind == "f":
                return [None if isnan(value) else int(value) for value in column.tolist()]
        elif wanted == "logical" and kind != "b":
            return [None if isnan(value) else bool(value) for value in column.tolist()]
        found: list[Any] = column.tolist()
        return found

    def _check_whole(self, column: NDArray[Any]) -> None:
        """Raise InvalidInput for what no integer of 64 bits can say."""
        kind = column.dtype.kind
        beyond = np.abs(column) >= 2.0**63 if kind == "f" else column >= 2**63 if kind == "u" else None
        if beyond is not None and beyond.any():
            row = int(beyond.argmax())
            raise InvalidInput(
                f"output {self._output.name!r} is declared integer, and the model gives {column[row]} for "
                f"row {row + 1}: it is infinite or beyond 64 bits. Send rows like those that the "
                "model was fitted on, or publish it with a numeric output"
            )

    def column(self, tensor: NDArray[Any], rows: int) -> NDArray[Any]:
        """The tensor's column [rows]; raises InvalidInput if the tensor has another shape."""
        flat = tensor.reshape(len(tensor), -1) if tensor.ndim and len(tensor) else tensor.reshape(0, 1)
        if len(flat) != rows or (rows and self._output.index >= flat.shape[1]):
            raise InvalidInput(
                f"the model's tensor {self.tensor!r} has the shape {tensor.shape} for {rows} rows, and "
                f"{self._output.name!r} is to be column {self._output.index} of it"
            )
        return flat[:, self._output.index] if rows else flat[:, 0]


def load(container: Container) -> Model:
    """A model that was vetted, ready to score. Raises InvalidInput."""
    description = parse(container.description)
    if description.payload != "onnx":
        raise InvalidInput("the model is not a graph: it was never vetted")
    size = 2 * len(container.payload) + 2**20
    model = Model(description, open_session(container.payload), size)
    model.measure()
    return model


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    """A session of ONNX Runtime on the processor, one thread a run, no operators but its own.

    Raises InvalidInput with its words if it cannot take the graph.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - each of its errors has a class of its own, below Exception
        raise InvalidInput(f"ONNX Runtime cannot take the model's graph: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:500] if str(error).strip() else type(error).__name__
