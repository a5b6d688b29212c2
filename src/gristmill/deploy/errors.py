"""What can go wrong between a folder and a registry, in the words of whoever ships a model."""

from __future__ import annotations

from gristmill.errors import (
    Forbidden,
    GristmillError,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    NotSupported,
    TimedOut,
    TooManyAttempts,
)

__all__ = [
    "BadFolder",
    "BadImageName",
    "BadProject",
    "BadRequirement",
    "BaseImageMissing",
    "BuildFailed",
    "BuilderForbidden",
    "BuilderUnavailable",
    "DigestMismatch",
    "NoBuilder",
    "NoSuchImage",
    "NotInRegistry",
    "PushFailed",
    "RegistryBusy",
    "RegistryCannot",
    "RegistryForbids",
    "RegistryLoginRefused",
    "RegistryRefused",
    "RegistryUnreachable",
    "SecretInFolder",
]


class BadImageName(InvalidInput):
    """Not a reference to an image by the grammar that all registries share."""


class BadFolder(InvalidInput):
    """The folder cannot become an image: a link that leaves it, a name that no image should hold."""


class BadProject(InvalidInput):
    """gristmill.toml, or an option that stands for a line of it, says what cannot be."""


class BadRequirement(InvalidInput):
    """A line of a requirements file is more than the name of a package, its versions and its markers."""


class SecretInFolder(InvalidInput):
    """A file looks like a key or a password, and nobody has named it."""


class NoBuilder(NotFound):
    """No docker, podman or buildah on this machine."""


class BuilderUnavailable(TimedOut):
    """The builder is there, and its daemon does not answer."""


class BuilderForbidden(Forbidden):
    """The builder's daemon does not let us in."""


class BaseImageMissing(NotFound):
    """The image to build upon is neither here nor where the builder looked for it."""


class BuildFailed(GristmillError):
    """The builder gave up; the text ends with its last lines."""


class NoSuchImage(NotFound):
    """The image is not on this machine."""


class PushFailed(GristmillError):
    """The image did not get into the registry; the text ends with the builder's last lines."""


class RegistryUnreachable(TimedOut):
    """No answer from the registry: the address, the network, or its certificate."""


class RegistryLoginRefused(NotAuthenticated):
    """The registry wants a login, or another one than it got."""


class RegistryForbids(Forbidden):
    """The registry knows us, and we may not do this."""


class NotInRegistry(NotFound):
    """The registry has no such repository, tag or digest, or does not show it to us."""


class RegistryBusy(TooManyAttempts):
    """The registry wants fewer requests; `retry_after` says when the next is heard, if it knows."""


class RegistryCannot(NotSupported):
    """The registry does not do it, or was told not to: deleting, most often."""


class RegistryRefused(GristmillError):
    """The registry's answer is an error of its own, or none that the protocol knows."""


class DigestMismatch(GristmillError):
    """What the registry holds is not what its digest says, or not what was pushed."""
