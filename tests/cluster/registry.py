"""Debian's docker-registry with a login, at the same address for this machine and for the node."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node import Node
from tests.cluster.processes import running

__all__ = ["Registry", "running_registry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """It lets in only who has the password. Since it is at 127.0.0.1, docker speaks plain HTTP to it."""

    address: str  #: host and port
    username: str
    password: str


@contextlib.contextmanager
def running_registry(folder: Path, node: Node) -> Iterator[Registry]:
    """Start one that keeps all in `folder`; gone afterwards.

    It listens on a socket of `folder`, and each side has a way to it from a port of 127.0.0.1.
    """
    folder.mkdir()
    password = secrets.token_urlsafe(18)
    login = subprocess.run(
        ["htpasswd", "-Bbin", "shipper"], input=password, check=True, capture_output=True, text=True
    )
    (folder / "htpasswd").write_text(login.stdout)
    door = folder / "door"
    settings = folder / "config.json"
    settings.write_text(json.dumps(_settings(folder, door)))
    port = _free_port()
    from_port = [f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"UNIX-CONNECT:{door}"]
    with (
        running("the registry", ["docker-registry", "serve", str(settings)], folder / "log"),
        running("the way to the registry", ["socat", *from_port], folder / "way.log"),
    ):
        node.start("way-to-registry", "socat", *from_port)
        node.wait_for("the registry", door.exists)
        yield Registry(address=f"127.0.0.1:{port}", username="shipper", password=password)


def _settings(folder: Path, door: Path) -> dict[str, object]:
    return {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}, "delete": {"enabled": True}},
        "http": {"net": "unix", "addr": str(door), "secret": secrets.token_hex(16)},
        "auth": {"htpasswd": {"realm": "images", "path": str(folder / "htpasswd")}},
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
