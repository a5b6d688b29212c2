"""Accounts of a running server, managed as its administrator does it."""

from __future__ import annotations

import asyncio
import subprocess

import httpx

from gristmill.app.users import with_users
from gristmill.db import default_url
from gristmill.identity import Role
from tests.servers import GRISTMILL, Server

__all__ = ["add_account", "add_user", "from_address", "manage_users", "password_of"]


def password_of(name: str) -> str:
    """What `add_user` gives to everybody of this name."""
    return f"the password of {name}"


def manage_users(server: Server, *words: str, password: str | None = None) -> str:
    """`gristmill user …` beside the running server; what it printed."""
    flags = [] if password is None else ["--password-stdin"]
    told = subprocess.run(
        [GRISTMILL, "user", *words, "--data", str(server.data), *flags],
        input=password,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def add_account(server: Server, name: str, role: str = "contributor") -> None:
    """As `gristmill user add` does it, without the time that a new process takes."""
    url = default_url(server.data)
    asyncio.run(with_users(url, lambda users: users.add(name, password_of(name), Role(role))))


def add_user(server: Server, name: str, role: str) -> httpx.Client:
    """A client of a new account, logged in; the caller's to close."""
    add_account(server, name, role)
    return server.client(name, password_of(name))


def from_address(server: Server, last: int) -> httpx.Client:
    """A client without a token that calls from 127.0.0.`last`: failed logins are counted by address too."""
    transport = httpx.HTTPTransport(local_address=f"127.0.0.{last}", verify=False)
    return httpx.Client(base_url=server.url, transport=transport, timeout=60)
