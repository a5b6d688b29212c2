"""The log of a server: events on standard error, for people or as JSON lines.

Tracebacks name places and say what was raised; they never show the values of variables, among which are
tokens, and are bounded in size. What libraries and the event loop report goes the same way.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

__all__ = ["loop_failed", "set_up"]

#: Of one exception: its innermost calls; of its message and of all text together: characters.
_FRAMES, _LINE, _TEXT = 25, 400, 12_000

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def set_up(*, as_json: bool, stream: TextIO | None = None) -> None:
    """Send the events of this process, and what libraries log, to `stream`; default: standard error."""
    out = _Lasting(stream or sys.stderr)
    renderer: Any = structlog.processors.JSONRenderer(default=repr)
    if not as_json:
        renderer = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_plain),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(out),  # type: ignore[arg-type]  # it writes and flushes
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING, force=True)


def loop_failed(_: asyncio.AbstractEventLoop, context: MutableMapping[str, Any]) -> None:
    """An event loop's exception handler: what nobody else caught. Values of its context are not shown."""
    error = context.get("exception")
    task = context.get("task") or context.get("future")
    name = task.get_name() if isinstance(task, asyncio.Task) else None
    structlog.get_logger("asyncio").error(
        "loop_error", message=_cut(str(context.get("message", ""))), task=name, exc_info=error
    )


class _Lasting:
    """A stream to which writing never fails.

    A terminal that was closed, or a disk that is full, must end neither a request nor a shutdown. What could
    not be written is counted, and told when writing is possible again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        try:
            if self._lost:
                self._stream.write(f"({self._lost} lines of the log could not be written)\n")
                self._lost = 0
            return self._stream.write(text)
        except (OSError, ValueError):  # ValueError: it was closed
            self._lost += 1
            return 0

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._lost += 1

    def isatty(self) -> bool:
        return self._stream.isatty()


class _FromLibraries(logging.Handler):
    """Passes on what libraries log by Python's own means."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        try:
            text = _cut(record.getMessage())
        except (TypeError, ValueError):  # its arguments do not fit its format
            text = _cut(str(record.msg))
        log.log(
            record.levelno,
            "library_message",
            logger=record.name,
            message=text,
            exc_info=record.exc_info or None,
        )


def _plain(exc_info: _ExcInfo) -> str:
    """A traceback without values, its longest lines and its middle cut."""
    shown = traceback.TracebackException(*exc_info, limit=-_FRAMES, compact=True, max_group_width=5)
    text = "\n".join(_cut(line) for line in "".join(shown.format()).rstrip("\n").split("\n"))
    if len(text) > _TEXT:
        middle = f"\n... ({len(text) - _TEXT:,} characters left out)\n"
        raised = _cut(f"{exc_info[0].__name__}: {exc_info[1]}".split("\n", 1)[0])
        text = f"{text[: _TEXT // 3]}{middle}{text[-_TEXT * 2 // 3 :]}\n(of {raised})"
    return text


def _cut(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[:_LINE]} ... ({len(line) - _LINE:,} more)"
