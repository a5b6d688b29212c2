"""What a start settles: the password of admin, and the key that signs tokens."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.e2e.protocol import accepted, refused
from tests.e2e.surroundings import without_r
from tests.servers import ADMIN_PASSWORD, Server, start_server

pytestmark = pytest.mark.timeout(120)

ONE_SHELL = ("--pool-initial", "1", "--pool-max", "1")


def log_in(server: Server, password: str = ADMIN_PASSWORD) -> httpx.Response:
    return httpx.post(f"{server.url}/login", json={"username": "admin", "password": password}, timeout=60)


def stored(data: Path) -> bytes:
    """All that the server keeps, in one."""
    return b"\0".join(path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file())


def test_a_generated_password_is_shown_once_and_only_its_hash_is_kept(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    environment = {**without_r(tmp_path), "GRISTMILL_ADMIN_PASSWORD": ""}
    server = serve(*ONE_SHELL, environment=environment)
    (password,) = re.findall(r"admin with the password (\S+)", server.log.read_text())
    assert len(password) >= 20
    accepted(log_in(server, password), "tokens")
    refused(log_in(server, password[:-1]), 401)
    assert server.stop() == 0
    server.log.write_text("")
    (server.data / "signing-key.pem").chmod(0o644)
    again = serve(*ONE_SHELL, environment=environment)
    accepted(log_in(again, password), "tokens")
    assert "with the password" not in again.log.read_text()
    assert (again.data / "signing-key.pem").stat().st_mode & 0o777 == 0o600
    kept = stored(again.data)
    assert b"$argon2id$" in kept
    assert password.encode() not in kept
    assert base64.b64encode(password.encode()) not in kept


def rsa_key(folder: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / "rsa.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def test_tokens_are_signed_by_the_key_that_is_given(serve: Callable[..., Server], tmp_path: Path) -> None:
    environment = without_r(tmp_path)
    server = serve(*ONE_SHELL, "--signing-key", str(rsa_key(tmp_path)), environment=environment)
    token = accepted(log_in(server), "tokens")["access_token"]
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "==")) == {"alg": "RS256", "typ": "JWT"}
    bearer = {"Authorization": f"Bearer {token}"}
    accepted(httpx.get(f"{server.url}/services", headers=bearer), "services")
    assert not (server.data / "signing-key.pem").exists()
    assert server.stop() == 0
    other = serve(*ONE_SHELL, environment=environment)
    refused(httpx.get(f"{other.url}/services", headers=bearer), 401)
    assert (other.data / "signing-key.pem").stat().st_mode & 0o777 == 0o600


def test_a_start_with_a_key_that_cannot_sign_says_so(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    with pytest.raises(RuntimeError, match=r"gristmill serve: .*key\.pem .*no private key") as told:
        start_server(tmp_path, *ONE_SHELL, "--signing-key", str(path), environment=without_r(tmp_path))
    assert "Traceback" not in str(told.value)
