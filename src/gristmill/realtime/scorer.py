"""Calls of one model: those that wait together are one run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from gristmill.calls import Answer, StageTimes
from gristmill.realtime.model import Model
from gristmill.realtime.rows import Rows
from gristmill.realtime.threads import no_thread, portable
from gristmill.realtime.waiting import Waiting

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Call", "Encode", "Scorer"]

log = structlog.get_logger("gristmill.realtime")

#: Makes the body of an answer of its output columns. Raises InvalidInput.
Encode = Callable[[Sequence[Sequence[Any]]], bytes]
_Outcome = Answer | BaseException

#: Seconds that a run may take within the event loop; longer ones go to a thread.
_INLINE = 0.0005
#: Bytes of bodies with texts that may be run within the event loop: what they cost is in their length.
_INLINE_TEXTS = 64 * 1024
#: Seconds that a run of several calls may take: what a call waits for others is bounded by it.
_TOGETHER = 0.005
_NO_ROWS = Rows(0, [])


class Call:
    """Rows that wait for their answer; `size` is in bytes of tensors, 0 once they are given back."""

    __slots__ = ("body", "decoding", "encode", "future", "rows", "size", "submitted", "taken")

    def __init__(
        self, rows: Rows, size: int, future: asyncio.Future[Answer], decoding: float, body: int
    ) -> None:
        self.rows = rows
        self.size = size
        self.future = future
        self.submitted = perf_counter()
        self.decoding = decoding  #: seconds
        self.body = body  #: bytes of what was sent
        self.encode: Encode | None = None  #: None: as the protocol has answers
        self.taken = False  #: into a run


class Scorer:
    """Gathers the calls of a model. No timer: a call runs once the loop has read what had come by then.

    Whatever a run, an encoder or the executor raises, each call is answered once, and with its own error.
    """

    def __init__(self, model: Model, executor: Executor, threads: int, waiting: Waiting) -> None:
        self.model = model
        self.calls = self.rows = self.runs = 0
        self._loop = asyncio.get_running_loop()
        self._executor = executor
        self._free = threads
        self._texts = any(feed.dtype == "string" for feed in model.description.feeds)
        self._all_waiting = waiting
        self._queue: deque[Call] = deque()
        self._scheduled = False

    def submit(
        self, rows: Rows, decoding: float = 0.0, encode: Encode | None = None
    ) -> asyncio.Future[Answer]:
        """The answer to come. Raises Overloaded. `decoding`: seconds that reading the rows took."""
        return self.add(rows, decoding, encode).future

    def add(self, rows: Rows, decoding: float = 0.0, encode: Encode | None = None, body: int = 0) -> Call:
        """As `submit`: the call, which `leave` takes. `body`: bytes that were sent."""
        size = sum(tensor.nbytes for tensor in rows.tensors)
        self._all_waiting.add(size)
        call = Call(rows, size, self._loop.create_future(), decoding, body)
        call.encode = encode
        self._queue.append(call)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return call

    def leave(self, call: Call) -> None:
        """Let go a call whose caller has left: unless it has begun, its memory is given back at once."""
        call.future.cancel()
        if not call.taken:
            self._give_back(call)
            call.rows = _NO_ROWS

    def _flush(self) -> None:
        self._scheduled = False
        while self._queue and self._free:
            calls = self._take()
            if calls and self._begin(calls) and self._queue:
                if not self._scheduled:
                    self._scheduled = True
                    self._loop.call_soon(self._flush)  # whoever else waits for the loop comes first
                return

    def _take(self) -> list[Call]:
        """The calls of the next run; those whose caller has left are dropped."""
        calls: list[Call] = []
        room = self.model.rows_within(_TOGETHER)
        while self._queue and (not calls or self._queue[0].rows.rows <= room):
            call = self._queue.popleft()
            call.taken = True
            if call.future.done():
                self._give_back(call)
                continue
            calls.append(call)
            room -= call.rows.rows
        return calls

    def _begin(self, calls: list[Call]) -> bool:
        """Run the calls here, or have a thread do it; tells whether they are answered by now."""
        outcomes: Sequence[_Outcome] = ()
        handed_over = False
        try:
            quick = self._is_quick(calls)
            found = _together(self.model, calls) if quick else None
            if found is None:
                self._hand_over(_singly if quick else _run, calls)
                handed_over = True
            else:
                outcomes = found
        except Exception as error:  # noqa: BLE001 - the calls have been taken, and are answered below
            log.warning("scoring_not_begun", calls=len(calls), error=repr(error))
        finally:
            if not handed_over:
                self._settle(calls, outcomes)
        return not handed_over

    def _is_quick(self, calls: list[Call]) -> bool:
        if self.model.cost(sum(call.rows.rows for call in calls)) > _INLINE:
            return False
        return not self._texts or sum(call.body for call in calls) <= _INLINE_TEXTS

    def _hand_over(self, run: Callable[[Model, list[Call]], list[_Outcome]], calls: list[Call]) -> None:
        """Have a thread run the calls. Raises RuntimeError where there is none."""
        running = self._loop.run_in_executor(self._executor, run, self.model, calls)
        self._free -= 1
        running.add_done_callback(lambda done: self._finished(calls, done))

    def _finished(self, calls: list[Call], done: asyncio.Future[list[_Outcome]]) -> None:
        self._free += 1
        outcomes: Sequence[_Outcome] = ()
        try:
            if not done.cancelled():
                outcomes = done.result()
        except Exception as error:  # noqa: BLE001 - the calls are answered below
            log.warning("scoring_not_ended", calls=len(calls), error=repr(error))
        finally:
            self._settle(calls, outcomes)
        self._flush()

    def _settle(self, calls: list[Call], outcomes: Sequence[_Outcome]) -> None:
        """Answer all calls of a run: the one place where it is done. Who has no outcome may try again."""
        self.runs += 1
        self.calls += len(calls)
        for place, call in enumerate(calls):
            self._give_back(call)
            self.rows += call.rows.rows
            if call.future.done():
                continue
            outcome = outcomes[place] if place < len(outcomes) else no_thread()
            if isinstance(outcome, Answer):
                call.future.set_result(outcome)
            else:
                call.future.set_exception(portable(outcome))

    def _give_back(self, call: Call) -> None:
        self._all_waiting.bytes -= call.size
        call.size = 0


def _run(model: Model, calls: list[Call]) -> list[_Outcome]:
    """One run for all calls; one each where the rows of one of them make it fail."""
    found = _together(model, calls)
    return _singly(model, calls) if found is None else found


def _singly(model: Model, calls: list[Call]) -> list[_Outcome]:
    """A run for each call."""
    return [outcome for call in calls for outcome in _together(model, [call]) or ()]


def _together(model: Model, calls: list[Call]) -> list[_Outcome] | None:
    """One run for all calls; None where it fails and they are several. Raises nothing."""
    start = perf_counter()
    try:
        columns = model.run(_joined(calls), sum(call.rows.rows for call in calls))
    except BaseException as error:  # noqa: BLE001 - whatever a graph or a library raises is the call's answer
        return [error] if len(calls) == 1 else None
    ran = perf_counter()
    answers: list[_Outcome] = []
    first = 0
    for call in calls:
        last = first + call.rows.rows
        try:
            part = columns if len(calls) == 1 else [column[first:last] for column in columns]
            answers.append(Answer((call.encode or model.answer)(part), True, _times(call, start, ran)))
        except BaseException as error:  # noqa: BLE001 - the caller's, and none of the others'
            answers.append(error)
        first = last
    return answers


def _joined(calls: list[Call]) -> list[NDArray[Any]]:
    if len(calls) == 1:
        return calls[0].rows.tensors
    tensors = zip(*(call.rows.tensors for call in calls), strict=True)
    return [np.concatenate(parts) for parts in tensors]


def _times(call: Call, start: float, ran: float) -> StageTimes:
    queue, run, encode = start - call.submitted, ran - start, perf_counter() - ran
    return StageTimes(int(queue * 1e6), 0, int(call.decoding * 1e6), int(run * 1e6), int(encode * 1e6))
