"""From what one says to `gristmill deploy` to the chart's values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gristmill.deploy.kubernetes.errors import BadValues
from gristmill.deploy.kubernetes.release import label_name, named_after
from gristmill.deploy.kubernetes.values import Values, checked, defaults, merged, read_file, with_setting

__all__ = ["Login", "Plan", "planned"]

_IMAGE = re.compile(
    r"(?P<repository>(?:[a-zA-Z0-9](?:[-a-zA-Z0-9.]*[a-zA-Z0-9])?(?::[0-9]{1,5})?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Of a registry that asks for one."""

    username: str
    password: str = field(repr=False)
    registry: str | None = None  #: the image's, if not given


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be deployed, by the chart's values, which it would take."""

    name: str
    values: Values = field(repr=False)


def planned(
    image: str,
    *,
    name: str | None = None,
    replicas: int | None = None,
    service_type: str | None = None,
    pull_secrets: Sequence[str] = (),
    login: Login | None = None,
    admin_password: str | None = None,
    files: Iterable[Path] = (),
    settings: Iterable[str] = (),
    values: Values | None = None,
) -> Plan:
    """Values: the chart's, over them files, `values`, `settings`, and the rest. Raises BadValues."""
    parts = _IMAGE.fullmatch(image)
    if parts is None:
        raise BadValues(f"{image!r} is not the name of an image, such as registry.example.com/bos-rf:1.0.0")
    found = defaults()
    for path in files:
        found = merged(found, read_file(path))
    found = merged(found, values or {})
    for setting in settings:
        found = with_setting(found, setting)
    tag = parts["tag"] or ("" if parts["digest"] else "latest")
    said: Values = {
        "image": {"repository": parts["repository"], "tag": tag, "digest": parts["digest"] or ""},
    }
    if replicas is not None:
        said["replicas"] = replicas
    if service_type is not None:
        said["service"] = {"type": service_type}
    if pull_secrets:
        said["imagePullSecrets"] = list(pull_secrets)
    if login is not None:
        said["imageCredentials"] = {
            "registry": login.registry or _registry(parts["repository"]),
            "username": login.username,
            "password": login.password,
        }
    if admin_password is not None:
        said["admin"] = {"password": admin_password}
    found = checked(merged(found, said))
    chosen = name or found["fullnameOverride"] or named_after(parts["repository"])
    return Plan(name=label_name(chosen, "the name", 52), values=found)


def _registry(repository: str) -> str:
    """The host in an image's name; Docker Hub, as Docker itself writes it, if there is none."""
    first, slash, _ = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return "https://index.docker.io/v1/"
