"""The one error tree of Gristmill.

No error knows an HTTP status: `gristmill.web.problems` maps each class to one. The shell imports this module
too, so that it runs under Python 3.8 and needs the standard library only.
"""

from __future__ import annotations

from typing import Optional

__all__ = [
    "CallEndedShell",
    "Conflict",
    "Draining",
    "Forbidden",
    "Gone",
    "GristmillError",
    "InvalidInput",
    "LimitExceeded",
    "NotAuthenticated",
    "NotFound",
    "NotSupported",
    "Overloaded",
    "QuotaExceeded",
    "RuntimeUnavailable",
    "ShellDied",
    "TimedOut",
    "TooLarge",
    "TooManyAttempts",
    "TooManyCalls",
]


class GristmillError(Exception):
    """Base of everything that Gristmill raises on purpose; its text is fit to be shown to the caller."""

    #: Seconds after which a repeat makes sense, or None.
    retry_after: Optional[float] = None
    #: What it is about, where a client knows it: the service, the parameter, what was expected, what came.
    service: Optional[str] = None
    parameter: Optional[str] = None
    expected: Optional[str] = None
    got: Optional[str] = None

    def __init__(self, message: str, *, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.message = message
        if retry_after is not None:
            self.retry_after = retry_after


class InvalidInput(GristmillError):
    """What the caller sent is malformed, ill-typed or not allowed."""


class RuntimeUnavailable(InvalidInput):
    """The service asks for a language that this machine cannot run."""


class NotAuthenticated(GristmillError):
    """No valid token, or wrong credentials."""


class Forbidden(GristmillError):
    """The caller is known, and may not do this."""


class QuotaExceeded(Forbidden):
    """It would be more than this user, or all together, may have."""


class NotFound(GristmillError):
    """There is no such thing, or it is not the caller's."""


class Conflict(GristmillError):
    """A thing of this name exists already."""


class Gone(GristmillError):
    """The session's shell has ended, and its workspace with it."""


class TooLarge(GristmillError):
    """The request's body is over the configured size."""


class TooManyAttempts(GristmillError):
    """Too many failed logins; `retry_after` says when the next is heard."""


class NotSupported(GristmillError):
    """The operation is part of the protocol, and this server does not carry it out."""


class Overloaded(GristmillError):
    """Every shell is busy and the queue is full, or waiting took too long; retry later."""

    retry_after = 1.0


class TooManyCalls(Overloaded):
    """The queue is full, and this caller's own calls fill more of it than anybody else's; retry later."""


class Draining(Overloaded):
    """The server is shutting down and takes no new work."""


class ShellDied(GristmillError):
    """The process that ran this call ended before it answered."""

    retry_after = 1.0


class CallEndedShell(ShellDied):
    """The code that ran ended its own process (an exit, a crash): the same call would do so again."""


class LimitExceeded(ShellDied):
    """The call went past a limit (memory, output size …) and its shell was stopped."""


class TimedOut(GristmillError):
    """The call ran longer than the execution limit and was stopped."""
