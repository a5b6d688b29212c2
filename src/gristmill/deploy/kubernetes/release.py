"""What is deployed: a name in a namespace, its values, its secrets, and the Kubernetes that it goes to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gristmill import __version__
from gristmill.deploy.kubernetes.errors import BadValues
from gristmill.deploy.kubernetes.values import Values, is_shared

__all__ = ["MANAGER", "Object", "Release", "label_name", "named_after"]

Object = dict[str, Any]  #: a Kubernetes object, as JSON has it

MANAGER = "gristmill"  #: field manager of what we apply, and the value of managed-by
_NEWEST = (1, 35)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Everything that the objects are made of."""

    name: str
    namespace: str
    values: Values
    secrets: dict[str, str] = field(default_factory=dict, repr=False)  #: of our own secret, by key
    kubernetes: tuple[int, int] = _NEWEST

    @property
    def shared(self) -> bool:
        """Whether replicas share a database; else it is one box."""
        return is_shared(self.values)

    @property
    def selector(self) -> dict[str, str]:
        """Labels by which its pods are found."""
        return {"app.kubernetes.io/name": "gristmill", "app.kubernetes.io/instance": self.name}

    @property
    def image(self) -> str:
        """As a container names it."""
        image = self.values["image"]
        if image["digest"]:
            return f"{image['repository']}@{image['digest']}"
        return f"{image['repository']}:{image['tag'] or f'{__version__}-python'}"

    @property
    def workload_kind(self) -> str:
        """The kind of the object that makes its pods."""
        return "Deployment" if self.shared else "StatefulSet"

    def object(self, api_version: str, kind: str, *, suffix: str = "", **rest: Any) -> Object:
        """An object of this release."""
        labels = {
            **self.selector,
            "app.kubernetes.io/version": __version__,
            "app.kubernetes.io/managed-by": MANAGER,
        }
        metadata = {"name": self.name + suffix, "namespace": self.namespace, "labels": labels}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def label_name(name: str, what: str, longest: int = 63) -> str:
    """`name`, if it can name an object by the DNS label rule. Raises BadValues."""
    if re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) is None or len(name) > longest:
        raise BadValues(
            f"{what} {name!r}: lower-case letters, digits and dashes, {longest} at most, "
            "with a letter or digit at both ends"
        )
    return name


def named_after(repository: str) -> str:
    """A name for what runs an image: the last part of its repository."""
    last = repository.rsplit("/", 1)[-1].lower()
    name = re.sub(r"[^a-z0-9]+", "-", last).strip("-")
    return re.sub(r"^[0-9-]+", "", name)[:52].strip("-") or "gristmill"
