"""Errors of user code as text: the message, then those lines of the traceback that are the user's."""

from __future__ import annotations

import linecache
import os
import sysconfig
import traceback
from types import CodeType
from typing import List

__all__ = ["compiled", "describe", "forget", "remember"]

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_FOREIGN = tuple(
    {path + os.sep for name, path in sysconfig.get_paths().items() if "lib" in name} | {_OURS, "<frozen "}
)
_LONGEST = 16_384
_DEEPEST = 4


def compiled(code: str, filename: str) -> CodeType:
    """Code of a block, whose lines show in tracebacks. Raises SyntaxError, ValueError, RecursionError."""
    remember(code, filename)
    return compile(code, filename, "exec", dont_inherit=True)


def remember(code: str, filename: str) -> None:
    """Let tracebacks find the source of `filename`, which is no file."""
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)


def forget(filename: str) -> None:
    """Undo `remember`."""
    linecache.cache.pop(filename, None)


def describe(error: BaseException) -> str:
    """Text for `errorMessage`; frames of libraries and of the shell are left out."""
    try:
        told = traceback.TracebackException(type(error), error, error.__traceback__)
        text = _told(told, _DEEPEST)
    except Exception as failed:  # an error whose own text fails
        text = f"{type(error).__name__} (its description failed: {type(failed).__name__})"
    if len(text) > _LONGEST:
        text = text[: _LONGEST // 2] + "\n[...]\n" + text[-_LONGEST // 2 :]
    return text


def _told(told: traceback.TracebackException, depth: int) -> str:
    told.stack[:] = [frame for frame in told.stack if not _is_foreign(frame.filename)]
    lines: List[str] = ["".join(told.format_exception_only()).rstrip()]
    if told.stack:
        lines.append("Traceback (most recent call last):")
        lines.append("".join(told.stack.format()).rstrip())
    cause = told.__cause__
    if cause is None and not told.__suppress_context__:
        cause = told.__context__
    if cause is not None and depth:
        lines.append("Caused by: " + _told(cause, depth - 1))
    return "\n".join(lines)


def _is_foreign(filename: str) -> bool:
    return filename.startswith(_FOREIGN) or "site-packages" in filename or "dist-packages" in filename
