"""What looks like a secret: it goes into an image only if somebody names it, since an image is given away."""

from __future__ import annotations

import fnmatch
from pathlib import PurePosixPath

__all__ = ["SCANNED", "looks_secret"]

#: How much of a file is looked at.
SCANNED = 64 * 1024
_NAMES = (
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.ovpn"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk"),
    *(
        ".env",
        ".env.*",
        "*.env",
        ".netrc",
        "_netrc",
        ".pgpass",
        ".htpasswd",
        ".npmrc",
        ".pypirc",
        ".git-credentials",
    ),
    *(".renviron", "kubeconfig", "kubeconfig.*", "*.kubeconfig", "service-account*.json", "credentials.json"),
)
_HARMLESS = ("*.pub", ".env.example", ".env.sample", ".env.template", "example.env")
_FOLDERS = {".aws", ".azure", ".docker", ".gnupg", ".kube", ".ssh"}
_MARKS = (
    b"PRIVATE KEY-----",
    b"PuTTY-User-Key-File-",
    b'"type": "service_account"',
    b"aws_secret_access_key",
)


def looks_secret(path: str, head: bytes) -> str | None:
    """Why a file is taken for a secret, by its path and its first bytes; None if it is not."""
    where = PurePosixPath(path)
    name = where.name.lower()
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in _HARMLESS):
        return None
    if found := _FOLDERS.intersection(where.parts[:-1]):
        return f"it is in {found.pop()}"
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in _NAMES):
        return "by its name"
    if any(mark in head for mark in _MARKS):
        return "it holds a private key or a password"
    return None
