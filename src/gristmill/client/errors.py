"""Every error that the client raises: the one tree of `gristmill.errors`, and what only a client can meet."""

from __future__ import annotations

from gristmill.errors import (
    Conflict,
    Draining,
    Forbidden,
    Gone,
    GristmillError,
    InvalidInput,
    LimitExceeded,
    NotAuthenticated,
    NotFound,
    NotSupported,
    Overloaded,
    RuntimeUnavailable,
    ShellDied,
    TimedOut,
    TooLarge,
    TooManyAttempts,
)

__all__ = [
    "BatchFailed",
    "CodeFailed",
    "Conflict",
    "Draining",
    "Forbidden",
    "Gone",
    "GristmillError",
    "InvalidInput",
    "LimitExceeded",
    "NotAuthenticated",
    "NotFound",
    "NotPortable",
    "NotSupported",
    "Overloaded",
    "RuntimeUnavailable",
    "ShellDied",
    "TimedOut",
    "TooLarge",
    "TooManyAttempts",
    "UnexpectedAnswer",
    "Unreachable",
    "invalid",
]


class Unreachable(GristmillError):
    """No answer came: nothing listens there, or the connection broke.

    `unsent` is true when the request cannot have reached the server, so that repeating it is safe; `broken`,
    when the connection ended under way, so that the server may or may not have done what was asked.
    """

    def __init__(self, message: str, *, unsent: bool = False, broken: bool = False) -> None:
        super().__init__(message)
        self.unsent = unsent
        self.broken = broken


class UnexpectedAnswer(GristmillError):
    """What answered does not speak the protocol: another program at that address, or a proxy before it."""


class CodeFailed(GristmillError):
    """The service's, or the session's, own code failed; the text holds the traceback of the other side."""

    def __init__(self, message: str, *, remote: str = "", console_output: str = "") -> None:
        super().__init__(message)
        self.remote = remote  #: the runtime's message and the traceback, as they came
        self.console_output = console_output  #: what the code had printed until then


class BatchFailed(GristmillError):
    """The server could not run a batch to its end, or it was cancelled; results that it has are kept."""


class NotPortable(InvalidInput):
    """The code needs what would not be there on the server; nothing was sent."""


def invalid(parameter: str, expected: str, got: str, *, what: str = "input") -> InvalidInput:
    """The error for a value that does not fit its parameter."""
    error = InvalidInput(f"{what} {parameter!r}: expected {expected}, got {got}")
    error.parameter, error.expected, error.got = parameter, expected, got
    return error
