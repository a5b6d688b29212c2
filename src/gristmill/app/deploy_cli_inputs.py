"""Passwords for `gristmill deploy`: from files, standard input or the environment, never from flags."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gristmill.app.client_cli_common import Exit, fail

if TYPE_CHECKING:
    from gristmill.deploy.kubernetes.planning import Login

__all__ = ["admin_password_of", "login_of"]


def admin_password_of(path: Path | None, *, stdin: bool) -> str | None:
    """What it is to be, or None if none is given."""
    if path is not None and stdin:
        fail("give --admin-password-from or --password-stdin, not both", Exit.USAGE)
    if stdin:
        return _from_stdin()
    return _first_line(path) if path is not None else None


def login_of(username: str | None, path: Path | None, *, stdin: bool) -> Login | None:
    """A login of the image's registry, or None."""
    from gristmill.deploy.kubernetes.planning import Login

    if path is not None and stdin:
        fail("give --registry-password-from or --registry-password-stdin, not both", Exit.USAGE)
    if username is None:
        if path is not None or stdin:
            fail("the registry's password goes with --registry-username", Exit.USAGE)
        return None
    if stdin:
        return Login(username=username, password=_from_stdin())
    password = _first_line(path) if path is not None else os.environ.get("GRISTMILL_REGISTRY_PASSWORD")
    if not password:
        fail(
            f"no password for {username} at the registry: --registry-password-stdin, "
            "--registry-password-from FILE, or GRISTMILL_REGISTRY_PASSWORD",
            Exit.USAGE,
        )
    return Login(username=username, password=password)


def _from_stdin() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail("there is no password on standard input", Exit.USAGE)
    return password


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read: {error}", Exit.NOT_FOUND)
    if not lines or not lines[0]:
        fail(f"{path}: its first line is empty, and no password", Exit.REFUSED)
    return lines[0]
