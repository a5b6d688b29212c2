"""Who the client is to the server: tokens, how they are renewed, and where they are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from gristmill.client.errors import NotAuthenticated, UnexpectedAnswer, Unreachable
from gristmill.client.failures import failure
from gristmill.client.profile import Profile, Saved
from gristmill.client.retrying import Retrying
from gristmill.client.wire import Answer, Request, Wire

__all__ = ["Login"]

_JSON = {"Content-Type": "application/json"}
#: How long to wait for another process that is renewing the same login, seconds.
_PATIENCE = 15.0


class Login:
    """The tokens of one client, renewed when the server no longer takes them.

    With `credentials` (user name and password) it can log in anew when even the refresh token is dead; with a
    `profile` it shares its tokens with other processes of the user.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        saved: Saved | None = None,
        credentials: tuple[str, str] | None = None,
        profile: Profile | None = None,
        retrying: Retrying | None = None,
    ) -> None:
        self._url = url
        self._token = token
        self._saved = saved
        self._credentials = credentials
        self._profile = profile
        self._retrying = retrying or Retrying()

    @property
    def token(self) -> str | None:
        """The access token to send."""
        return self._saved.access_token if self._saved else self._token

    @property
    def username(self) -> str | None:
        """The account, where it is known; whoever brings a token may be anyone."""
        return self._saved.username if self._saved else None

    async def enter(self, wire: Wire) -> None:
        """Log in with the credentials. Raises NotAuthenticated, TooManyAttempts."""
        assert self._credentials is not None
        username, password = self._credentials
        body = {"username": username, "password": password}
        answer = await self._post(wire, "/login", body, changes=False)
        if answer.status != 200:
            raise failure(answer, f"logging in to {self._url} as {username}")
        self._keep(username, answer)

    async def renew(self, wire: Wire, refused: str | None) -> bool:
        """Get a token in place of one that was refused; False if there is no way but to log in by hand."""
        async with wire.lock():
            if self.token != refused:  # another thread or task was faster
                return True
            if self._profile is not None and self._saved is not None:
                return await self._renew_shared(wire, refused)
            return await self._exchange(wire)

    async def leave(self, wire: Wire) -> None:
        """Revoke the tokens and forget them, also in the profile."""
        if self._saved is not None:
            path = "/login/refreshToken"
            await wire.send(Request("DELETE", path, params={"refreshToken": self._saved.refresh_token}))
        if self._profile is not None:
            self._profile.remove(self._url)
        self._saved = self._token = self._credentials = None

    async def _renew_shared(self, wire: Wire, refused: str | None) -> bool:
        """With the profile locked: another process may have renewed already."""
        assert self._profile is not None
        end = time.monotonic() + _PATIENCE
        while True:
            with self._profile.try_lock() as mine:
                if mine or time.monotonic() > end:
                    found = self._profile.load(self._url)
                    if found is not None and found.access_token != refused:
                        self._saved = found
                        return True
                    return await self._exchange(wire)
            await wire.sleep(0.05)

    async def _exchange(self, wire: Wire) -> bool:
        if self._saved is not None and self._saved.refresh_token:
            body = {"refreshToken": self._saved.refresh_token}
            # A refresh token is good for one use: a second could pass for a thief's, and revoke all.
            answer = await self._post(wire, "/login/refreshToken", body, changes=True)
            if answer.status == 200:
                self._keep(self._saved.username, answer)
                return True
        if self._credentials is None:
            return False
        await self.enter(wire)
        return True

    async def _post(self, wire: Wire, path: str, body: Mapping[str, Any], *, changes: bool) -> Answer:
        request = Request("POST", path, _JSON, json.dumps(body).encode(), changes=changes)
        try:
            return await self._retrying.send(wire, lambda: wire.send(request), repeatable=not changes)
        except Unreachable as error:
            # Whatever this login was for must not be taken for what broke, and be sent again.
            error.broken = False
            raise

    def _keep(self, username: str, answer: Answer) -> None:
        try:
            found = json.loads(answer.content)
            self._saved = Saved(
                username=username,
                access_token=found["access_token"],
                refresh_token=found.get("refresh_token") or "",
                expires_on=float(found.get("expires_on") or time.time() + 3600),
            )
        except (ValueError, KeyError, TypeError):
            raise UnexpectedAnswer(
                f"{self._url} answered the login with something else than tokens"
            ) from None
        if self._profile is not None:
            current = self._profile.load(self._url) is None
            self._profile.save(self._url, self._saved, current=current)

    def hint(self) -> NotAuthenticated:
        """The error when there is no token to send."""
        return NotAuthenticated(
            f"not logged in to {self._url}: run `gristmill login {self._url}`, "
            "or connect with username and password, or with a token"
        )
