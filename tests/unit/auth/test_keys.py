"""Keys: made once, private, or given."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from gristmill.auth import load_or_create_key, read_key
from gristmill.auth.tokens import ACCESS, Signer
from gristmill.errors import InvalidInput
from gristmill.identity import Role

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def pem(
    key: Key,
    encryption: KeySerializationEncryption | None = None,
    form: PrivateFormat = PrivateFormat.PKCS8,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def certificate(key: rsa.RSAPrivateKey) -> bytes:
    from datetime import UTC, datetime, timedelta

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gristmill")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_the_first_start_makes_a_key_that_only_the_server_reads(tmp_path: Path) -> None:
    path = tmp_path / "data" / "key.pem"
    first = load_or_create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    again = load_or_create_key(path)
    assert first.algorithm == again.algorithm == "ES256"
    assert first.key.as_pem() == again.key.as_pem()
    assert "PRIVATE" not in repr(first)


def test_a_key_that_others_can_read_is_made_private_again(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    load_or_create_key(path)
    path.chmod(0o644)
    load_or_create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_starts_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: load_or_create_key(tmp_path / "key.pem").key.as_pem(), range(24)))
    assert len(set(keys)) == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("content", "algorithm"),
    [
        (pem(P256), "ES256"),
        (pem(P256, form=PrivateFormat.TraditionalOpenSSL), "ES256"),
        (pem(RSA), "RS256"),
        (pem(RSA, form=PrivateFormat.TraditionalOpenSSL), "RS256"),
        (certificate(RSA) + pem(RSA), "RS256"),
        (b"some text\n" + pem(RSA) + certificate(RSA), "RS256"),
    ],
    ids=["P-256", "P-256 SEC1", "RSA", "RSA PKCS#1", "after a certificate", "before a certificate"],
)
def test_a_given_key_decides_the_algorithm(tmp_path: Path, content: bytes, algorithm: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    key = read_key(path)
    assert key.algorithm == algorithm
    signer = Signer(key)
    token = signer.issue(ACCESS, user="ann", role=Role.READER, family="f", generation=0, now=1, expires=9)
    assert signer.read(ACCESS, token, now=2).sub == "ann"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no private key"),
        (b"\x00\xff", "no private key"),
        (certificate(RSA), "a certificate alone cannot sign"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key"),
        (pem(P256, BestAvailableEncryption(b"secret")), "encrypted"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "neither P-256 nor RSA"),
        (pem(rsa.generate_private_key(65537, 1024)), "neither P-256 nor RSA"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "neither P-256 nor RSA"),
    ],
    ids=["empty", "binary", "certificate", "broken", "encrypted", "P-384", "RSA 1024", "Ed25519"],
)
def test_a_key_that_cannot_sign_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        read_key(path)


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.pem cannot be read: No such file"):
        read_key(tmp_path / "nowhere.pem")
