"""Debian's docker-registry with a login, by password or tokens, with TLS or without; images of few bytes."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.containers import free_port

__all__ = ["MANIFEST", "USERNAME", "Registry", "certificate", "running_registry", "token_server"]

USERNAME = "ann"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One that runs."""

    address: str
    password: str = field(repr=False)

    def put(self, repository: str, *tags: str, layer: bytes = b"a layer") -> str:
        """An image of one small layer, by its digest; sent as the specification says."""
        login = (USERNAME, self.password)
        with httpx.Client(base_url=f"http://{self.address}/v2/{repository}/", auth=login) as client:
            parts = [self._blob(client, content) for content in (b"{}", layer)]
            kinds = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar")
            config, only = (part | {"mediaType": kind} for part, kind in zip(parts, kinds, strict=True))
            said = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [only]}
            body = json.dumps(said).encode()
            for tag in tags:
                headers = {"Content-Type": MANIFEST}
                client.put(f"manifests/{tag}", content=body, headers=headers).raise_for_status()
        return _digest(body)

    @staticmethod
    def _blob(client: httpx.Client, content: bytes) -> dict[str, Any]:
        begun = client.post("blobs/uploads/").raise_for_status()
        digest = {"digest": _digest(content)}
        place = httpx.URL(begun.headers["location"])
        client.put(place.copy_merge_params(digest), content=content).raise_for_status()
        return digest | {"size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextlib.contextmanager
def running_registry(
    folder: Path, *, auth: dict[str, Any] | None = None, tls: bool = False, deletes: bool = True
) -> Iterator[Registry]:
    """Start one that keeps all in `folder`; `auth` instead of a password file."""
    password = secrets.token_urlsafe(12)
    command = ["htpasswd", "-Bbin", USERNAME]
    login = subprocess.run(command, input=password, check=True, capture_output=True, text=True)
    (folder / "htpasswd").write_text(login.stdout)
    address = f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}, "delete": {"enabled": deletes}},
        "http": {"addr": address, "secret": secrets.token_hex(8)},
        "auth": auth or {"htpasswd": {"realm": "images", "path": str(folder / "htpasswd")}},
    }
    if tls:
        certificate(folder)
        settings["http"]["tls"] = {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    (folder / "registry.json").write_text(json.dumps(settings))
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "registry.json")], stdout=log, stderr=log
        )
    try:
        _wait(f"{'https' if tls else 'http'}://{address}/v2/", process, folder / "registry.log")
        yield Registry(address=address, password=password)
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, verify=False)
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the registry does not start:\n{log.read_text()}")
        time.sleep(0.02)  # it says nothing when it is ready


def certificate(folder: Path) -> ec.EllipticCurvePrivateKey:
    """`cert.pem` and `key.pem`, for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), _loopback()]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return key


def _loopback() -> x509.IPAddress:
    import ipaddress

    return x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenServer:
    """Gives tokens to who has the password."""

    realm: str
    auth: dict[str, Any]  #: for the registry that takes its tokens
    password: str = field(repr=False)
    asked: list[dict[str, list[str]]]  #: parameters of each request


@contextlib.contextmanager
def token_server(folder: Path) -> Iterator[TokenServer]:
    """What stands beside a registry whose logins are elsewhere, as the specification of tokens has it."""
    key = certificate(folder)
    password = secrets.token_urlsafe(12)
    asked: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(parse_qs(urlsplit(self.path).query))
            login = base64.b64encode(f"{USERNAME}:{password}".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {login}":
                self.send_error(401)
                return
            body = json.dumps({"token": _token(key, folder, asked[-1])}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    realm = f"http://127.0.0.1:{server.server_port}/token"
    auth = {
        "realm": realm,
        "service": "images",
        "issuer": "tests",
        "rootcertbundle": str(folder / "cert.pem"),
    }
    try:
        yield TokenServer(realm=realm, auth={"token": auth}, password=password, asked=asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _token(key: ec.EllipticCurvePrivateKey, folder: Path, asked: dict[str, list[str]]) -> str:
    from joserfc import jwt
    from joserfc.jwk import ECKey

    now = int(time.time())
    access = []
    for scope in asked.get("scope", []):
        kind, name, actions = scope.split(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    claims = {"iss": "tests", "sub": USERNAME, "aud": asked["service"][0], "exp": now + 60, "nbf": now - 10}
    chain = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    der = base64.b64encode(chain.public_bytes(serialization.Encoding.DER)).decode()
    signing = ECKey.import_key((folder / "key.pem").read_bytes())
    header = {"alg": "ES256", "typ": "JWT", "x5c": [der]}
    return jwt.encode(header, {**claims, "iat": now, "jti": secrets.token_hex(4), "access": access}, signing)
