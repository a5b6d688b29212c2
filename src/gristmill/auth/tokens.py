"""Tokens as text: JWTs of one issuer, one algorithm and one of two audiences.

Only the signature is judged here; whether a token is still valid, the token store knows.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from gristmill.auth.keys import SigningKey
from gristmill.errors import NotAuthenticated
from gristmill.identity import Role

__all__ = ["ACCESS", "REFRESH", "Claims", "Signer", "TokenPair", "fingerprint"]

ISSUER = "gristmill"
ACCESS = "gristmill"
REFRESH = "gristmill/refresh"
#: Far more than a token of ours has; spares hashing whatever else is sent.
LONGEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """What a login or a refresh yields."""

    access_token: str
    refresh_token: str
    expires_in: int  #: of the access token, seconds
    expires_on: int  #: of the access token, epoch seconds


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says; all of them are always there."""

    iss: str
    aud: str
    sub: str  #: user name
    role: Role  #: at issue; for the holder's information, the store's word counts
    jti: str
    sid: str  #: token family
    gen: int  #: generation in its family
    iat: int
    exp: int


class Signer:
    """Issues and reads tokens of one key."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._header = {"alg": key.algorithm, "typ": "JWT"}

    def issue(
        self, audience: str, *, user: str, role: Role, family: str, generation: int, now: int, expires: int
    ) -> str:
        """A signed token."""
        claims = Claims(
            iss=ISSUER,
            aud=audience,
            sub=user,
            role=role,
            jti=secrets.token_urlsafe(16),
            sid=family,
            gen=generation,
            iat=now,
            exp=expires,
        )
        payload = msgspec.json.encode(claims)
        return jws.serialize_compact(self._header, payload, self._key.key, [self._key.algorithm])

    def read(self, audience: str, token: str, *, now: float) -> Claims:
        """The claims of a token that we issued for `audience` and that has not expired; NotAuthenticated."""
        if len(token) > LONGEST:
            raise NotAuthenticated("the token is not valid")
        try:
            signed = jws.deserialize_compact(token, self._key.key, [self._key.algorithm])
            claims = msgspec.json.decode(signed.payload, type=Claims)
        except (JoseError, ValueError, msgspec.MsgspecError):
            raise NotAuthenticated("the token is not valid") from None
        if claims.iss != ISSUER or claims.aud != audience:
            raise NotAuthenticated("the token is not valid")
        if claims.exp <= now:
            raise NotAuthenticated("the token has expired; log in again, or refresh it")
        return claims


def fingerprint(token: str) -> str:
    """What is stored of a refresh token: its SHA-256. It holds 128 random bits, so that no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
