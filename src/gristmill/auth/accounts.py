"""Logging in, refreshing, revoking and verifying tokens of local accounts."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from gristmill.auth.keys import SigningKey
from gristmill.auth.lockout import Lockout
from gristmill.auth.one_time import OneTimePassword
from gristmill.auth.passwords import WAITING, Passwords
from gristmill.auth.tokens import ACCESS, REFRESH, Claims, Signer, TokenPair, fingerprint
from gristmill.auth.users import ADMIN, is_username
from gristmill.auth.verdicts import Verdicts
from gristmill.errors import NotAuthenticated, NotFound, Overloaded
from gristmill.identity import Principal
from gristmill.ports import TokenFamily, TokenStore, User, UserStore

__all__ = ["Accounts", "Lifetimes"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long tokens live; seconds."""

    access: int = 3600
    inactive: int = 14 * 86400  #: a refresh token that is not used
    family: int = 90 * 86400  #: from the login on, however often it is refreshed
    #: A refresh token used again this soon after its first use was sent twice by one client, not stolen.
    grace: int = 10


class Accounts:
    """Tokens of local accounts.

    `cached` is the hot path. `synchronize` is to be called every second or so: it is how a node hears what
    other processes have revoked. What is revoked through this object is dead here at once. While the store is
    out of reach, tokens that are known hold on, for `verdicts.LONGEST` seconds after it last answered.
    """

    def __init__(
        self,
        users: UserStore,
        tokens: TokenStore,
        *,
        key: SigningKey,
        passwords: Passwords,
        lifetimes: Lifetimes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._signer = Signer(key)
        self._passwords = passwords
        self._lifetimes = lifetimes or Lifetimes()
        self._clock = clock
        self._verdicts = Verdicts(tokens, clock=clock)
        self._names = Lockout()
        self._addresses = Lockout(free=20)
        self._asking = 0  #: logins that wait for the database
        self._once: OneTimePassword | None = None
        #: Principal of a token that this node has verified lately, or None; a lookup and a comparison.
        self.cached = self._verdicts.get

    async def login(self, username: str, password: str, *, client: str | None = None) -> TokenPair:
        """A new pair. `client` is the caller's address, if failures are to be counted by it too.

        Raises NotAuthenticated, the same for an unknown user as for a wrong password, TooManyAttempts, and
        Overloaded.
        """
        if self._once is not None and self._once.matches(username, password):
            return await self._start_once(self._once)
        self._check_lockout(username, client)
        user = await self._known(
            username
        )  # before the turn: a slow database must not keep others from theirs
        async with self._passwords.turn():
            self._check_lockout(username, client)  # somebody before us in the queue may have failed
            if not await self._passwords.matches(user.password_hash if user else None, password) or not user:
                self._names.failed(username)
                if client is not None:
                    self._addresses.failed(client)
                log.warning("login_failed", client=client)
                raise NotAuthenticated("the user name or the password is wrong")
            stronger = await self._stronger(user, password)
        self._names.succeeded(username)
        if stronger is not None:
            await self._users.rehash(user.name, user.password_hash, stronger)
        return await self._start(user, stronger or user.password_hash)

    @asynccontextmanager
    async def one_time_password(self) -> AsyncIterator[str]:
        """A password of `admin` that is good, beside his own, in this process and until the context is left.

        Logins that are made by it replace what they publish, and are revoked at the end.
        """
        once = self._once = OneTimePassword()
        try:
            yield once.text
        finally:
            self._once = None
            for family in list(once.families):
                await self._revoke(family)

    async def refresh(self, refresh_token: str) -> TokenPair:
        """The next pair of the family; the old one is dead. NotAuthenticated.

        Of two uses at once one wins. A token used again later than that has leaked: the family is revoked.
        """
        claims, family = await self._family_of(refresh_token)
        now = int(self._clock())
        if fingerprint(refresh_token) != family.refresh_hash:
            if claims.gen < family.generation - 1 or now - family.used > self._lifetimes.grace:
                log.warning("refresh_token_reused", user=family.username)
                await self._revoke(family.id)
            raise NotAuthenticated("the refresh token was used already; log in again")
        pair = self._issue(family, family.generation + 1, now)
        rotated = await self._tokens.rotate(
            family.id, old_hash=family.refresh_hash, new_hash=fingerprint(pair.refresh_token), now=now
        )
        self._verdicts.drop(family.id)
        if not rotated:
            raise NotAuthenticated("the refresh token was used already; log in again")
        return pair

    async def revoke(self, refresh_token: str) -> None:
        """Kill the family of a refresh token: this pair and any that came of it. NotAuthenticated."""
        _, family = await self._family_of(refresh_token)
        await self._revoke(family.id)

    async def verify(self, token: str) -> Principal:
        """Principal of an access token; NotAuthenticated. `cached` knows it from then on."""
        known = self.cached(token)
        if known is not None:
            return known
        claims = self._signer.read(ACCESS, token, now=self._clock())
        epoch = self._verdicts.epoch
        family = await self._tokens.find(claims.sid)
        if family is None or family.generation != claims.gen or family.username != claims.sub:
            raise NotAuthenticated("the token was revoked; log in again")
        replaces = self._once is not None and family.id in self._once.families
        principal = Principal(name=family.username, role=family.role, replaces=replaces)
        self._verdicts.keep(token, principal, claims, epoch)
        return principal

    async def synchronize(self) -> None:
        """Forget the verdicts on tokens that were revoked elsewhere."""
        await self._verdicts.synchronize()

    async def purge(self) -> int:
        """Delete families that have expired; how many. Once an hour is enough."""
        now = int(self._clock())
        return await self._tokens.purge(
            created_before=now - self._lifetimes.family, used_before=now - self._lifetimes.inactive
        )

    def _check_lockout(self, username: str, client: str | None) -> None:
        self._names.check(username)
        if client is not None:
            self._addresses.check(client)

    async def _known(self, username: str) -> User | None:
        """The account of that name. Raises Overloaded where too many wait for the database already."""
        if not is_username(username):
            return None
        if self._asking >= WAITING:
            raise Overloaded("too many logins at once; try again shortly")
        self._asking += 1
        try:
            return await self._users.get(username)
        finally:
            self._asking -= 1

    async def _stronger(self, user: User, password: str) -> str | None:
        """Another hash of the password, if the stored one was made with parameters of an earlier release."""
        return await self._passwords.hash(password) if self._passwords.outdated(user.password_hash) else None

    async def _start_once(self, once: OneTimePassword) -> TokenPair:
        user = await self._users.get(ADMIN)
        if user is None:
            raise NotFound(f"there is no account {ADMIN!r} to publish by")
        family = secrets.token_urlsafe(16)
        once.families.add(family)
        pair = await self._start(user, user.password_hash, family)
        if self._once is not once:  # it ended meanwhile, perhaps before there was anything to revoke
            await self._revoke(family)
            raise NotAuthenticated("the user name or the password is wrong")
        return pair

    async def _start(self, user: User, known_hash: str, family_id: str | None = None) -> TokenPair:
        now = int(self._clock())
        family = TokenFamily(
            id=family_id or secrets.token_urlsafe(16),
            username=user.name,
            role=user.role,
            generation=0,
            refresh_hash="",
            created=now,
            used=now,
        )
        pair = self._issue(family, 0, now)
        family = replace(family, refresh_hash=fingerprint(pair.refresh_token))
        if not await self._tokens.start(family, password_hash=known_hash):
            raise NotAuthenticated("the user name or the password is wrong")
        return pair

    def _issue(self, family: TokenFamily, generation: int, now: int) -> TokenPair:
        lifetimes = self._lifetimes
        end = family.created + lifetimes.family
        expires = min(now + lifetimes.access, end)

        def token(audience: str, until: int) -> str:
            return self._signer.issue(
                audience,
                user=family.username,
                role=family.role,
                family=family.id,
                generation=generation,
                now=now,
                expires=until,
            )

        return TokenPair(
            access_token=token(ACCESS, expires),
            refresh_token=token(REFRESH, min(now + lifetimes.inactive, end)),
            expires_in=expires - now,
            expires_on=expires,
        )

    async def _family_of(self, refresh_token: str) -> tuple[Claims, TokenFamily]:
        claims = self._signer.read(REFRESH, refresh_token, now=self._clock())
        family = await self._tokens.find(claims.sid)
        if family is None:
            raise NotAuthenticated("the refresh token was revoked; log in again")
        return claims, family

    async def _revoke(self, family_id: str) -> None:
        await self._tokens.revoke(family_id)
        self._verdicts.drop(family_id)
