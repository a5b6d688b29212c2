"""Calls of one model: those that wait together are one run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gristmill.calls import Answer, StageTimes
from gristmill.errors import GristmillError
from gristmill.realtime.model import Model
from gristmill.realtime.rows import Rows
from gristmill.realtime.waiting import Waiting

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Encode", "Scorer"]

#: Makes the body of an answer of its output columns. Raises InvalidInput.
Encode = Callable[[Sequence[Sequence[Any]]], bytes]

#: Seconds that a run may take within the event loop; longer ones go to a thread.
_INLINE = 0.0005
#: Seconds that a run of several calls may take: what a call waits for others is bounded by it.
_TOGETHER = 0.005


class _Call(NamedTuple):
    rows: Rows
    size: int
    future: asyncio.Future[Answer]
    submitted: float
    decoding: float  #: seconds
    encode: Encode | None  #: None: as the protocol has answers


class Scorer:
    """Gathers the calls of a model. No timer: a call runs once the loop has read what had come by then."""

    def __init__(self, model: Model, executor: Executor, threads: int, waiting: Waiting) -> None:
        self.model = model
        self.calls = self.rows = self.runs = 0
        self._loop = asyncio.get_running_loop()
        self._executor = executor
        self._free = threads
        self._all_waiting = waiting
        self._queue: deque[_Call] = deque()
        self._scheduled = False

    def submit(
        self, rows: Rows, decoding: float = 0.0, encode: Encode | None = None
    ) -> asyncio.Future[Answer]:
        """The answer to come. Raises Overloaded. `decoding`: seconds that reading the rows took."""
        size = sum(tensor.nbytes for tensor in rows.tensors)
        self._all_waiting.add(size)
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._queue.append(_Call(rows, size, future, perf_counter(), decoding, encode))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        self._scheduled = False
        while self._queue and self._free:
            calls = self._take()
            rows = sum(call.rows.rows for call in calls)
            if self.model.cost(rows) <= _INLINE:
                self._settle(calls, _run(self.model, calls))
                if self._queue and not self._scheduled:
                    self._scheduled = True
                    self._loop.call_soon(self._flush)  # whoever else waits for the loop comes first
                    return
            elif calls:
                self._free -= 1
                running = self._loop.run_in_executor(self._executor, _run, self.model, calls)
                running.add_done_callback(lambda done, calls=calls: self._finished(calls, done))  # type: ignore[misc]

    def _take(self) -> list[_Call]:
        """The calls of the next run; those whose caller has left are dropped."""
        calls: list[_Call] = []
        room = self.model.rows_within(_TOGETHER)
        while self._queue and (not calls or self._queue[0].rows.rows <= room):
            call = self._queue.popleft()
            if call.future.done():
                self._all_waiting.bytes -= call.size
                continue
            calls.append(call)
            room -= call.rows.rows
        return calls

    def _finished(self, calls: list[_Call], done: asyncio.Future[list[Answer | BaseException]]) -> None:
        self._free += 1
        error = done.exception()
        self._settle(calls, [_unexpected(error)] * len(calls) if error is not None else done.result())
        self._flush()

    def _settle(self, calls: list[_Call], outcomes: Sequence[Answer | BaseException]) -> None:
        self.runs += 1
        self.calls += len(calls)
        for call, outcome in zip(calls, outcomes, strict=True):
            self._all_waiting.bytes -= call.size
            self.rows += call.rows.rows
            if call.future.done():
                continue
            if isinstance(outcome, Answer):
                call.future.set_result(outcome)
            else:
                call.future.set_exception(outcome)


def _unexpected(error: BaseException) -> BaseException:
    return error if isinstance(error, Exception) else RuntimeError(f"scoring ended with {error!r}")


def _run(model: Model, calls: list[_Call]) -> list[Answer | BaseException]:
    """One run for all calls; one each where the rows of one of them make it fail."""
    if not calls:
        return []
    start = perf_counter()
    try:
        columns = model.run(_joined(calls), sum(call.rows.rows for call in calls))
    except GristmillError as error:
        return [error] if len(calls) == 1 else [_run(model, [call])[0] for call in calls]
    ran = perf_counter()
    answers: list[Answer | BaseException] = []
    first = 0
    for call in calls:
        last = first + call.rows.rows
        part = columns if len(calls) == 1 else [column[first:last] for column in columns]
        first = last
        try:
            body = (call.encode or model.answer)(part)
        except Exception as error:  # noqa: BLE001 - the caller's, and none of the others'
            answers.append(error)
        else:
            answers.append(Answer(body, True, _times(call, start, ran)))
    return answers


def _joined(calls: list[_Call]) -> list[NDArray[Any]]:
    if len(calls) == 1:
        return calls[0].rows.tensors
    tensors = zip(*(call.rows.tensors for call in calls), strict=True)
    return [np.concatenate(parts) for parts in tensors]


def _times(call: _Call, start: float, ran: float) -> StageTimes:
    queue, run, encode = start - call.submitted, ran - start, perf_counter() - ran
    return StageTimes(int(queue * 1e6), 0, int(call.decoding * 1e6), int(run * 1e6), int(encode * 1e6))
