"""The final bytes for the HTTP caller, put together from parts."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from gristmill.errors import GristmillError
from gristmill.python_shell.codec import encode

__all__ = ["AnswerTooLarge", "failure", "problem", "success", "with_files"]

_START = b'{"success":true,"errorMessage":"","outputParameters":'
_QUIET_END = b',"outputFiles":{},"consoleOutput":"","changedFiles":[]}'


class AnswerTooLarge(GristmillError):
    """The answer is over the output limit."""


def success(
    outputs: Dict[str, object],
    *,
    files: Optional[List[Tuple[str, Optional[bytes]]]] = None,
    console: str = "",
    changed: Optional[List[str]] = None,
    limit: int,
) -> bytes:
    """The answer of a call that succeeded; `files` holds base64 bytes. Raises AnswerTooLarge."""
    body = encode(outputs)
    if files or console or changed:
        end = b',"outputFiles":{%b},"consoleOutput":%b,"changedFiles":%b}' % (
            b",".join(_file(name, content) for name, content in files or ()),
            encode(console),
            encode(changed or []),
        )
    else:
        end = _QUIET_END
    size = len(_START) + len(body) + len(end)
    if size > limit:
        raise AnswerTooLarge(f"the answer has {size} bytes; {limit} are allowed")
    return b"".join((_START, body, end))


def _file(name: str, content: Optional[bytes]) -> bytes:
    return encode(name) + (b":null" if content is None else b':"' + content + b'"')


def with_files(body: bytes, files: List[Tuple[str, bytes]]) -> bytes:
    """The answer with one more field, `files`: base64 by name, of files beyond its outputs; last, if any."""
    if not files:
        return body
    return b'%b,"files":{%b}}' % (body[:-1], b",".join(_file(name, content) for name, content in files))


def failure(message: str, console: str = "", changed: Optional[List[str]] = None) -> bytes:
    """The answer of a call whose user code failed."""
    answer: Dict[str, Any] = {
        "success": False,
        "errorMessage": message,
        "outputParameters": {},
        "outputFiles": {},
        "consoleOutput": console,
        "changedFiles": changed or [],
    }
    return encode(answer)


def problem(error: BaseException, kind: Optional[str] = None) -> bytes:
    """Body of a reply that is no answer: INVALID, MISSING, BROKEN, TOO_LARGE."""
    try:
        message = str(error)
    except Exception as failed:  # an error of user code whose own text fails
        message = f"its description failed: {type(failed).__name__}"
    return encode({"message": message, "exceptionType": kind or type(error).__name__})
