"""Tokens that a server did not issue, or that it would not issue now."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

__all__ = ["Forger", "claims_of"]

Claims = dict[str, Any]


def _cut(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _head(algorithm: str) -> str:
    return _cut(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())


def claims_of(token: str) -> Claims:
    """What a JWT says, unverified."""
    payload = token.split(".")[1]
    claims: Claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


class Forger:
    """Varies a real token of a server whose data directory it can read."""

    def __init__(self, data: Path, real: str) -> None:
        pem = (data / "signing-key.pem").read_bytes()
        private = load_pem_private_key(pem, None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        self._key = ECKey.import_key(pem)
        self._public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._real = real
        self._claims = claims_of(real)

    def signed(self, **changes: Any) -> str:
        """By the server's own key, with changed claims; None takes a claim out."""
        claims = {key: value for key, value in {**self._claims, **changes}.items() if value is not None}
        return self._sign({"alg": "ES256", "typ": "JWT"}, self._key, claims)

    def forgeries(self) -> dict[str, str]:
        """Tokens that nobody may accept, by what is wrong with them."""
        head, payload, signature = self._real.split(".")
        foreign, now = ECKey.generate_key("P-256"), int(time.time())
        changed = _cut(json.dumps({**self._claims, "role": "owner", "sub": "admin", "gen": 0}).encode())
        embedded = {"alg": "ES256", "typ": "JWT", "jwk": foreign.as_dict(private=False)}
        return {
            "expired": self.signed(iat=now - 7200, exp=now - 1),
            "expired long ago": self.signed(exp=1),
            "without an end": self.signed(exp=None),
            "whose end is a text": self.signed(exp=str(now + 3600)),
            "of another issuer": self.signed(iss="somebody"),
            "for another audience": self.signed(aud="somewhere"),
            "for renewing": self.signed(aud="gristmill/refresh"),
            "of an unknown login": self.signed(sid=secrets.token_urlsafe(16)),
            "without a login": self.signed(sid=None),
            "of a generation to come": self.signed(gen=self._claims["gen"] + 1),
            "of another user": self.signed(sub="somebody-else"),
            "signed by a foreign key": self._sign({"alg": "ES256", "typ": "JWT"}, foreign, self._claims),
            "signed by a key that it brings along": self._sign(embedded, foreign, self._claims),
            "signed by a foreign RSA key": self._sign(
                {"alg": "RS256"}, RSAKey.generate_key(2048), self._claims
            ),
            "unsigned": f"{_head('none')}.{payload}.",
            "unsigned in capitals": f"{_head('NONE')}.{payload}.",
            "unsigned with a signature": f"{_head('none')}.{payload}.{signature}",
            "signed by the public key as a secret": self._hmac(payload, self._public),
            "signed by the public key without its end of line": self._hmac(payload, self._public.strip()),
            "signed by an empty secret": self._hmac(payload, b""),
            "signed by a secret in the header's place": self._sign(
                {"alg": "HS256"}, OctKey.import_key(secrets.token_bytes(32)), self._claims
            ),
            "with other claims": f"{head}.{changed}.{signature}",
            "with its signature cut": f"{head}.{payload}.{signature[:-4]}",
            "without its signature": f"{head}.{payload}.",
            "of two parts": f"{head}.{payload}",
            "with a signature of zeros": f"{head}.{payload}.{_cut(bytes(64))}",
        }

    def _sign(self, header: dict[str, Any], key: ECKey | OctKey | RSAKey, claims: Claims) -> str:
        return jws.serialize_compact(header, json.dumps(claims).encode(), key, [header["alg"]])

    def _hmac(self, payload: str, secret: bytes) -> str:
        signed = f"{_head('HS256')}.{payload}"
        return f"{signed}.{_cut(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
