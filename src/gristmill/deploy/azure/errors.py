"""What can go wrong in Azure, in the words of whoever ships a model."""

from __future__ import annotations

from gristmill.errors import (
    Conflict,
    Forbidden,
    GristmillError,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    NotSupported,
    Overloaded,
    TimedOut,
)

__all__ = [
    "AzureBusy",
    "AzureConflict",
    "AzureForbids",
    "AzureRefused",
    "AzureUnreachable",
    "BadAzureName",
    "NameTaken",
    "NoCapacity",
    "NoPullIdentity",
    "NoSubscription",
    "NotInAzure",
    "NotLoggedIn",
    "OperationFailed",
    "QuotaExceeded",
    "TookTooLong",
    "WaitInterrupted",
]


class BadAzureName(InvalidInput):
    """A name, region, version or size that Azure's own rules do not allow."""


class AzureRefused(InvalidInput):
    """Azure says that the request is wrong, or not allowed by a policy of the subscription."""


class NotLoggedIn(NotAuthenticated):
    """No login that Azure takes."""


class NoSubscription(NotFound):
    """No such subscription for this login, or several, and none of them named."""


class AzureForbids(Forbidden):
    """The login is known, and may not do this."""


class NotInAzure(NotFound):
    """No such group, registry or cluster."""


class NameTaken(Conflict):
    """A name that is unique in all of Azure belongs to somebody else."""


class AzureConflict(Conflict):
    """It exists otherwise than it was asked for, or is being changed by somebody else just now."""


class QuotaExceeded(GristmillError):
    """The subscription may not have so many."""


class NoCapacity(GristmillError):
    """The region has no such machines, or none left."""


class NoPullIdentity(NotSupported):
    """The cluster has no identity of its own which a role could be given."""


class AzureBusy(Overloaded):
    """Azure wants fewer requests, and still did after several repeats."""


class AzureUnreachable(TimedOut):
    """No answer from Azure: the network, a proxy, or a wrong cloud."""


class TookTooLong(TimedOut):
    """Azure has not finished in the time that was given; it goes on by itself."""


class OperationFailed(GristmillError):
    """Azure began it, and gave up."""


class WaitInterrupted(KeyboardInterrupt):
    """Ctrl-C while Azure worked. Azure goes on by itself; the text says how to go on here."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
