"""What can go wrong between us and a cluster, in the words of whoever deploys."""

from __future__ import annotations

from gristmill.errors import Forbidden, GristmillError, InvalidInput, NotAuthenticated, NotFound, TimedOut

__all__ = [
    "BadKubeconfig",
    "BadValues",
    "ClusterRefused",
    "ClusterUnreachable",
    "LoginRefused",
    "NotAllowed",
    "NotThere",
    "RolloutFailed",
]


class BadKubeconfig(InvalidInput):
    """The kubeconfig is missing, or what it says cannot be used; the text names file and context."""


class BadValues(InvalidInput):
    """A value is not one that the chart takes, or values do not go together."""


class ClusterUnreachable(TimedOut):
    """Nothing answers at the cluster's address, or not in time."""


class LoginRefused(NotAuthenticated):
    """The cluster does not take our credentials: expired, most often."""


class NotAllowed(Forbidden):
    """The cluster knows us, and we may not do this."""


class NotThere(NotFound):
    """The cluster has no such object, or no such kind of objects."""


class ClusterRefused(InvalidInput):
    """The cluster did not take an object; the text is its own."""


class RolloutFailed(GristmillError):
    """A new revision did not get ready; the text says why, and what runs now."""
