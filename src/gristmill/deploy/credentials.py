"""Logins at registries: those that are given, and those that docker and podman keep."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gristmill.deploy.errors import BadProject

__all__ = ["Login", "from_environment", "stored_login"]

_USERNAME, _PASSWORD = "GRISTMILL_REGISTRY_USERNAME", "GRISTMILL_REGISTRY_PASSWORD"
_HUB = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An account at a registry, or the token that it gives to those who have logged in by other means."""

    username: str
    password: str = field(repr=False)
    identity_token: str | None = field(default=None, repr=False)  #: goes before the password


def from_environment(
    username: str | None = None, password: str | None = None, environment: Mapping[str, str] = os.environ
) -> Login | None:
    """The login that is given; what is left out comes from the environment. None if there is none."""
    name = username or environment.get(_USERNAME)
    secret = password or environment.get(_PASSWORD)
    if not name and not secret:
        return None
    if not name or not secret:
        flag, variable = ("--password-stdin", _PASSWORD) if name else ("--username", _USERNAME)
        raise BadProject(f"a login at a registry needs both account and password: {flag} or {variable}")
    if name.startswith("-") or not name.isprintable() or ":" in name:
        raise BadProject(f"{name[:80]!r} cannot be the name of an account at a registry")
    if "\n" in secret or "\r" in secret or "\0" in secret:
        raise BadProject("the registry's password is one line")
    return Login(username=name, password=secret)


def stored_login(registry: str, environment: Mapping[str, str] = os.environ) -> Login | None:
    """What `docker login` or `podman login` keeps for this registry; None if neither does."""
    names = _HUB if registry in _HUB else (registry, f"https://{registry}", f"https://{registry}/v2/")
    for path in _files(environment):
        said = _read(path)
        for name in names:
            if found := _of(said, name, environment):
                return found
    return None


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME") or Path.home())
    if chosen := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(chosen)
    yield Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    yield Path(f"/run/containers/{os.getuid()}/auth.json")
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "containers" / "auth.json"


def _read(path: Path) -> dict[str, Any]:
    """What is no such file holds no login: docker itself will complain of it in better words."""
    try:
        said = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _of(said: dict[str, Any], name: str, environment: Mapping[str, str]) -> Login | None:
    helper = _table(said, "credHelpers").get(name) or said.get("credsStore")
    if isinstance(helper, str) and (found := _asked(helper, name, environment)):
        return found
    entry = _table(said, "auths").get(name)
    if not isinstance(entry, dict):
        return None
    token = entry.get("identitytoken")
    try:
        text = base64.b64decode(str(entry.get("auth", "")), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    username, colon, password = text.partition(":")
    if not colon and not token:
        return None
    return Login(
        username=username,
        password=password.rstrip("\0"),
        identity_token=token if isinstance(token, str) else None,
    )


def _table(said: dict[str, Any], key: str) -> dict[str, Any]:
    found = said.get(key)
    return found if isinstance(found, dict) else {}


def _asked(helper: str, name: str, environment: Mapping[str, str]) -> Login | None:
    """A program that is told the server: docs.docker.com/reference/cli/docker/login/#credential-stores."""
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", helper):
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the user's own choice, by the file's setting
            [f"docker-credential-{helper}", "get"],
            input=name.encode(),
            capture_output=True,
            timeout=30,
            env=dict(environment),
            check=False,
        )
        said = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("Secret"), str):
        return None
    username = str(said.get("Username", ""))
    if username == "<token>":
        return Login(username="", password="", identity_token=said["Secret"])
    return Login(username=username, password=said["Secret"])
