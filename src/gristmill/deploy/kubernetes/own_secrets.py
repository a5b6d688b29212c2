"""Secrets of a release: given, found on the cluster, or made once and kept."""

from __future__ import annotations

import secrets as random
import string
from collections.abc import Mapping

from gristmill.deploy.kubernetes.values import Values

__all__ = ["settled"]

_LETTERS = string.ascii_letters + string.digits


def settled(values: Values, kept: Mapping[str, str]) -> dict[str, str]:
    """Texts by key, for our own secret; what is in a secret of the user's is not among them.

    `kept` is what the cluster's secret holds now.
    """
    admin, key, database = values["admin"], values["signingKey"], values["database"]
    found: dict[str, str] = {}
    if not admin["existingSecret"]:
        name = admin["secretKey"]
        found[name] = admin["password"] or kept.get(name) or _password()
    if not key["existingSecret"]:
        name = key["secretKey"]
        found[name] = key["pem"] or kept.get(name) or _signing_key()
    if database["url"]:
        found[database["secretKey"]] = database["url"]
    return found


def _password() -> str:
    return "".join(random.choice(_LETTERS) for _ in range(24))


def _signing_key() -> str:
    """P-256, as the server makes its own."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
