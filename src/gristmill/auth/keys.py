"""The key that signs tokens: made at first start, or a PEM file that all nodes share."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc.jwk import ECKey, RSAKey

from gristmill.errors import InvalidInput

__all__ = ["SigningKey", "load_or_create_key", "read_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key, and the one algorithm that goes with it."""

    algorithm: str  #: ES256 or RS256
    key: ECKey | RSAKey = field(repr=False)


def read_key(path: Path) -> SigningKey:
    """The private key of a PEM file, in which certificates may stand too.

    P-256 signs by ES256, RSA of at least 2048 bits by RS256. Raises InvalidInput for anything else.
    """
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"the signing key {path} cannot be read: {error.strerror}") from error
    try:
        private = load_pem_private_key(_private_part(pem), password=None)
    except TypeError:
        raise InvalidInput(f"the signing key {path} is encrypted: give one without a pass phrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput(
            f"{path} holds no private key in PEM form: a certificate alone cannot sign tokens"
        ) from None
    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        return SigningKey(algorithm="ES256", key=ECKey.import_key(_pem(private)))
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        return SigningKey(algorithm="RS256", key=RSAKey.import_key(_pem(private)))
    raise InvalidInput(f"the signing key {path} is neither P-256 nor RSA of 2048 bits or more")


def load_or_create_key(path: Path) -> SigningKey:
    """The key at `path`, which the first start makes, with mode 0600; several starts at once get the same."""
    if not path.exists():
        _create(path)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return read_key(path)


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_pem(ec.generate_private_key(ec.SECP256R1())))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename it never replaces the key of who was faster
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _private_part(pem: bytes) -> bytes:
    """The block of the private key: the loader takes only the first, and certificates often come before."""
    start = pem.find(b"-----BEGIN ")
    while start >= 0:
        if b"PRIVATE KEY-----" in pem[start : start + 64].split(b"\n", 1)[0]:
            return pem[start:]
        start = pem.find(b"-----BEGIN ", start + 1)
    return b""


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
