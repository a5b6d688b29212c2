"""Requests to a shell, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from gristmill import errors
from gristmill.frames import TIMES, Frame, Kind, Status
from gristmill.services import ServiceVersion

__all__ = ["Answer", "Request", "StageTimes", "failure_body"]


class StageTimes(NamedTuple):
    """Where the time of one call went, in microseconds."""

    queue: int
    load: int
    decode: int
    run: int
    encode: int

    def items(self) -> Iterable[tuple[str, int]]:
        """Stage names with their times, in the order in which they happen."""
        return zip(self._fields, self, strict=True)


class Answer(NamedTuple):
    """What a shell answered: `body` is ready for the caller; `ok` is False when user code failed."""

    body: bytes
    ok: bool
    times: StageTimes


_NO_TIMES = StageTimes(0, 0, 0, 0, 0)
_ERRORS: dict[int, type[errors.GristmillError]] = {
    Status.INVALID: errors.InvalidInput,
    Status.MISSING: errors.NotFound,
    Status.BROKEN: errors.ShellDied,
    Status.TOO_LARGE: errors.LimitExceeded,
}


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One frame to a shell and the future that its reply resolves; work in hand, so not frozen."""

    kind: Kind
    body: bytes
    future: asyncio.Future[Answer]
    limit: float | None  #: seconds it may run, None for no limit
    service: ServiceVersion | None = None
    meta: bytes = b""
    lane: str = ""  #: not empty: direct calls go first, and lanes take turns; a batch has a lane
    user: str = ""  #: whose call it is: users take turns
    descriptor: int | None = None  #: sent along; stays the sender's to close
    id: int = 0  #: on its shell; the reply carries it
    submitted: float = 0.0  #: loop time
    sent: float = 0.0
    moves: int = 0  #: how often loading its service ended the shell that tried
    cause: errors.GristmillError | None = None  #: how the last of these ended
    alone: bool = False  #: run with nothing beside it: a group with it in died
    handle: int = 0
    expected: float = 0.0  #: seconds that it was expected to take when it was sent
    waited_for_load: int = 0  #: microseconds that the shell spent on loading its service first

    def resolve(self, frame: Frame) -> None:
        """Hand a reply to whoever waits; a late reply, whose caller has left, is normal."""
        if self.future.done():
            return
        if frame.status <= Status.FAILED:
            self.future.set_result(Answer(frame.body, frame.status == Status.OK, self._times(frame.meta)))
        else:
            self.future.set_exception(_error(frame))

    def fail(self, error: errors.GristmillError) -> None:
        """Tell whoever waits that there will be no reply."""
        if not self.future.done():
            self.future.set_exception(error)

    def _times(self, meta: bytes) -> StageTimes:
        if len(meta) != TIMES.size:
            return _NO_TIMES
        load, decode, run, encode = TIMES.unpack(meta)
        queue = int((self.sent - self.submitted) * 1e6)
        return StageTimes(queue, load + self.waited_for_load, decode, run, encode)


def _error(frame: Frame) -> errors.GristmillError:
    kind = _ERRORS.get(frame.status, errors.ShellDied)
    try:
        message = str(msgspec.json.decode(frame.body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        message = "the shell refused the request and did not say why"
    return kind(message)


def failure_body(message: str) -> bytes:
    """The answer to a call whose user code failed in a way that its shell could not report."""
    return msgspec.json.encode(
        {
            "success": False,
            "errorMessage": message,
            "outputParameters": {},
            "outputFiles": {},
            "consoleOutput": "",
            "changedFiles": [],
        }
    )
