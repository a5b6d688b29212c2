"""How to get a client: by name and password, by token, by the environment, or by the profile."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass
from typing import Any

from gristmill.client.api import AsyncClient
from gristmill.client.blocking_api import Client
from gristmill.client.connection import Connection
from gristmill.client.driving import run
from gristmill.client.errors import InvalidInput, NotAuthenticated
from gristmill.client.login import Login
from gristmill.client.profile import Profile, Saved, normal_url
from gristmill.client.retrying import Retrying
from gristmill.client.wire import BlockingWire, LoopWire, Options, Wire

__all__ = ["DEFAULT_URL", "connect", "connect_async", "current"]

DEFAULT_URL = "http://127.0.0.1:12800"
_current: Client | None = None


def connect(
    url: str | None = None,
    *,
    username: str | None = None,
    password: str | None = None,
    token: str | None = None,
    save: bool = False,
    timeout: float = 300.0,
    retries: int = 4,
    patience: float = 60.0,
    verify: bool | str = True,
    transport: Any = None,
) -> Client:
    """Connect to a server, and make it the one that `gristmill.publish` and its like speak to.

    url: the server's address; if not given GRISTMILL_URL, else where one has logged in to last, else this
        machine.
    username, password: of an account; a missing password is asked for on a terminal.
    token: an access token instead, of this server or of the identity provider that it trusts.
    save: keep the login (tokens, not the password) in the profile, as `gristmill login` does.
    timeout: seconds to wait for an answer.
    retries: how often to repeat what cannot have been carried out, such as a refused connection or a 503, and
        logins, reads and calls of services whose connection broke; these may then run twice. 0: never.
    patience: seconds for which a server that has answered before is waited for, when it is gone or refuses: a
        restart, or a new version that is rolled out, is no error then.
    verify: the path of a file with certificate authorities to trust, or False to trust any certificate.
    transport: replaces the network in tests: a transport of httpx.

    Without any of these it looks for GRISTMILL_TOKEN, then GRISTMILL_USERNAME and GRISTMILL_PASSWORD, then
    the profile that `gristmill login` wrote. Raises NotAuthenticated, TooManyAttempts, Unreachable.
    """
    how = _How.choose(url, username, password, token, save=save)
    options = Options(how.url, timeout, verify, transport)
    connection = run(how.connection(BlockingWire, options, Retrying(retries, patience)))
    global _current  # noqa: PLW0603 - a notebook speaks to one server, and names it once
    _current = Client(AsyncClient(connection))
    return _current


async def connect_async(
    url: str | None = None,
    *,
    username: str | None = None,
    password: str | None = None,
    token: str | None = None,
    save: bool = False,
    timeout: float = 300.0,
    retries: int = 4,
    patience: float = 60.0,
    verify: bool | str = True,
    transport: Any = None,
) -> AsyncClient:
    """Connect to a server from a coroutine; the arguments are those of `connect`."""
    how = _How.choose(url, username, password, token, save=save)
    options = Options(how.url, timeout, verify, transport)
    return AsyncClient(await how.connection(LoopWire, options, Retrying(retries, patience)))


def current() -> Client:
    """The client of the last `connect`; without one, as `connect()` finds it."""
    return _current if _current is not None else connect()


@dataclass(frozen=True)
class _How:
    url: str
    token: str | None = None
    credentials: tuple[str, str] | None = None
    saved: Saved | None = None
    profile: Profile | None = None

    @staticmethod
    def choose(
        url: str | None, username: str | None, password: str | None, token: str | None, *, save: bool
    ) -> _How:
        """What is given goes before the environment, and that before the profile."""
        if token is not None and (username is not None or password is not None):
            raise InvalidInput("give a token, or username and password, not both")
        profile = Profile()
        address = normal_url(url or os.environ.get("GRISTMILL_URL") or profile.current or DEFAULT_URL)
        if token is None and username is None and password is None:
            token = os.environ.get("GRISTMILL_TOKEN")
            password = os.environ.get("GRISTMILL_PASSWORD")
        if token:
            return _How(address, token=token)
        if username is not None or password is not None:
            name = username or os.environ.get("GRISTMILL_USERNAME") or "admin"
            credentials = (name, password or _ask_password(name, address))
            return _How(address, credentials=credentials, profile=profile if save else None)
        saved = profile.load(address)
        if saved is None:
            raise Login(address).hint()
        return _How(address, saved=saved, profile=profile)

    async def connection(self, wire_class: type[Any], options: Options, retrying: Retrying) -> Connection:
        """A connection that is logged in."""
        login = Login(
            self.url,
            token=self.token,
            saved=self.saved,
            credentials=self.credentials,
            profile=self.profile,
            retrying=retrying,
        )
        wire: Wire = wire_class(options)
        if self.credentials is not None:
            try:
                await login.enter(wire)
            except BaseException:
                await wire.close()
                raise
        return Connection(self.url, wire, login, retrying)


def _ask_password(username: str, url: str) -> str:
    given = os.environ.get("GRISTMILL_PASSWORD")
    if given:
        return given
    if not sys.stdin.isatty() and "ipykernel" not in sys.modules:
        raise NotAuthenticated(f"no password for {username} at {url}: pass it, or set GRISTMILL_PASSWORD")
    return getpass.getpass(f"Password of {username} at {url}: ")
