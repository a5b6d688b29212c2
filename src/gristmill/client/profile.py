"""The profile: where one is logged in, shared by scripts, notebooks and the command line.

A file of JSON, by default `~/.config/gristmill`, readable by its owner alone. It holds addresses, user names
and tokens, never a password.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gristmill.client.errors import GristmillError

__all__ = ["Profile", "Saved", "normal_url"]

#: Not on Windows: there, two processes may both renew a token, and one of them has to log in again.
_fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None


@dataclass(frozen=True)
class Saved:
    """One login."""

    username: str
    access_token: str
    refresh_token: str
    expires_on: float  #: seconds since 1970; the access token's end


def normal_url(url: str) -> str:
    """An address as the profile's keys have it: with its scheme, without a slash at the end."""
    url = url.strip().rstrip("/")
    return url if "://" in url else f"http://{url}"


class Profile:
    """The logins of one user on one machine, by address; one of them is current."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _default_path()

    @property
    def current(self) -> str | None:
        """Address of the server that was logged in to last."""
        current = self._read().get("current")
        return current if isinstance(current, str) else None

    def logins(self) -> dict[str, Saved]:
        """All logins by address."""
        found = self._read().get("servers", {})
        return {url: Saved(**entry) for url, entry in found.items()}

    def load(self, url: str) -> Saved | None:
        """The login at an address, if there is one."""
        return self.logins().get(normal_url(url))

    def save(self, url: str, saved: Saved, *, current: bool = True) -> None:
        """Keep a login, and make it the current one unless told otherwise."""
        content = self._read()
        content.setdefault("servers", {})[normal_url(url)] = asdict(saved)
        if current or not content.get("current"):
            content["current"] = normal_url(url)
        self._write(content)

    def make_current(self, url: str) -> None:
        """Let a login be the one that is meant when no server is named."""
        content = self._read()
        if normal_url(url) in content.get("servers", {}):
            self._write({**content, "current": normal_url(url)})

    def remove(self, url: str) -> None:
        """Forget a login; none is no error."""
        content = self._read()
        servers = content.get("servers", {})
        if servers.pop(normal_url(url), None) is None:
            return
        if content.get("current") == normal_url(url):
            content["current"] = next(iter(servers), None)
        self._write(content)

    @contextlib.contextmanager
    def try_lock(self) -> Iterator[bool]:
        """Hold the profile against other processes while a token is renewed; yields whether it was free."""
        if _fcntl is None:
            yield True
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                _fcntl.flock(handle, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise GristmillError(
                f"the profile {self.path} cannot be read: {error}. Remove it and log in again, "
                "or name another with GRISTMILL_PROFILE"
            ) from None
        return content if isinstance(content, dict) else {}

    def _write(self, content: Mapping[str, Any]) -> None:
        """Whole or not at all: into a new file of mode 0600, which then takes the old one's place."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, new = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
            os.replace(new, self.path)
        except BaseException:
            os.unlink(new)
            raise


def _default_path() -> Path:
    named = os.environ.get("GRISTMILL_PROFILE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "gristmill"
