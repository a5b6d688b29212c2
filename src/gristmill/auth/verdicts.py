"""Verdicts on access tokens, kept so that a signature is checked once and not with every call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from gristmill.auth.tokens import Claims
from gristmill.identity import Principal
from gristmill.ports import TokenStore

__all__ = ["LONGEST", "Verdicts"]

SIZE = 10_000
#: A verdict holds so many seconds after the store has last confirmed it: when the token was verified, and
#: with each look at what was revoked. Nobody can revoke while the database is away for all; but a node that
#: alone is cut off from it must not serve a revoked token for ever.
LONGEST = 300.0


class _Verdict(NamedTuple):
    principal: Principal
    until: float  #: the token's own end
    family: str
    generation: int
    verified: float  #: how long it holds if the store does not answer again


class Verdicts:
    """Tokens found valid, at most one of a family, `SIZE` in all."""

    def __init__(
        self, tokens: TokenStore, *, clock: Callable[[], float] = time.time, size: int = SIZE
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._size = size
        self._known: dict[str, _Verdict] = {}
        self._families: dict[str, str] = {}
        self._revision: int | None = None
        self._confirmed = 0.0  #: until when all verdicts hold, by the last look at the store
        #: Moves when verdicts were dropped: what was read from the store before is not to be kept after.
        self.epoch = 0

    def get(self, token: str) -> Principal | None:
        """Whose token it is, if that is known and still holds."""
        found = self._known.get(token)
        if found is not None:
            now = self._clock()
            if now < found[1] and (now < self._confirmed or now < found[4]):
                return found[0]
        return None

    def keep(self, token: str, principal: Principal, claims: Claims, epoch: int) -> None:
        """Remember that a token is valid, unless verdicts were dropped since `epoch`."""
        if epoch != self.epoch:
            return
        self._forget(claims.sid)
        while len(self._known) >= self._size:
            self._forget(next(iter(self._known.values())).family)
        verified = self._clock() + LONGEST
        self._known[token] = _Verdict(principal, claims.exp, claims.sid, claims.gen, verified)
        self._families[claims.sid] = token

    def drop(self, family: str) -> None:
        """Forget the verdict on a family's token, and whatever is being verified at this moment."""
        self.epoch += 1
        self._forget(family)

    async def synchronize(self) -> None:
        """Ask the store, if its revision moved, which of the families still stand, and forget the others."""
        asked = self._clock()
        revision = await self._tokens.revision()
        if revision == self._revision:
            self._confirmed = asked + LONGEST
            return
        self.epoch += 1
        standing = await self._tokens.generations(list(self._families))
        for verdict in list(self._known.values()):
            if standing.get(verdict.family, -1) != verdict.generation:
                self._forget(verdict.family)
        self._revision = revision
        self._confirmed = asked + LONGEST

    def _forget(self, family: str) -> None:
        token = self._families.pop(family, None)
        if token is not None:
            del self._known[token]
