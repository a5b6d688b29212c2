"""How a registry asks for a login, and how it is answered: Basic, and tokens of a realm.

https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/auth/token.md and oauth.md. A registry
says where the token is to be had, which is not believed blindly: a password goes only over TLS (or to this
machine), and only to the registry's own host or its domain.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gristmill.deploy.credentials import Login
from gristmill.deploy.errors import RegistryLoginRefused, RegistryRefused

if TYPE_CHECKING:
    import httpx

__all__ = ["Challenge", "Credentials", "Standard", "challenges", "is_loopback"]

_PARAMETER = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)(?:\s+|$)(?![=])")
_LARGEST_TOKEN = 256 * 1024
#: Hosts of tokens that are not in the registry's domain.
_KNOWN_REALMS = dict.fromkeys(("docker.io", "index.docker.io", "registry-1.docker.io"), "auth.docker.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What a WWW-Authenticate header asks for."""

    scheme: str  #: lower case: `basic`, `bearer`
    realm: str = ""
    service: str = ""
    scope: str = ""


class Credentials(Protocol):
    """How to answer a registry's challenge; Azure's way by tokens of its directory is one."""

    def answer(self, challenge: Challenge, client: httpx.Client, registry: str) -> str | None:
        """The Authorization header for it; None to go on without. `client` has no login of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """The ways of the distribution specification, with a login or anonymously."""

    login: Login | None = None
    realms: frozenset[str] = frozenset()  #: hosts that may see the login though they are not the registry's

    def answer(self, challenge: Challenge, client: httpx.Client, registry: str) -> str | None:
        """Basic as it is; for Bearer a token is fetched."""
        if challenge.scheme == "basic":
            return _basic(self.login) if self.login and not self.login.identity_token else None
        if challenge.scheme != "bearer":
            return None
        realm = _checked_realm(challenge.realm)
        if self.login is not None:
            self._allow(realm, registry)
        return f"Bearer {self._token(challenge, client)}"

    def _allow(self, realm: httpx.URL, registry: str) -> None:
        """Refuse to show the login to a host that has nothing to do with the registry."""
        import httpx

        host, own = realm.host, httpx.URL(f"https://{registry}").host
        if is_loopback(host) and is_loopback(own):
            return
        if not (host in {own, _KNOWN_REALMS.get(own), *self.realms} or _same_domain(host, own)):
            raise RegistryLoginRefused(
                f"{registry} sends us to {host} for a token, which is not in its own domain: the password is "
                "not shown to it"
            )

    def _token(self, challenge: Challenge, client: httpx.Client) -> str:
        what = {"service": challenge.service, "scope": challenge.scope}
        asked = {key: value for key, value in what.items() if value}
        if self.login is not None and self.login.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": self.login.identity_token, **asked}
            request = client.build_request("POST", challenge.realm, data={**form, "client_id": "gristmill"})
        elif self.login is not None:
            headers = {"Authorization": _basic(self.login)}
            parameters = _params(challenge, {**asked, "account": self.login.username})
            request = client.build_request("GET", challenge.realm, params=parameters, headers=headers)
        else:
            request = client.build_request("GET", challenge.realm, params=_params(challenge, asked))
        answer = client.send(request, stream=True)
        try:
            if answer.status_code in {400, 401, 403}:
                raise RegistryLoginRefused(_refused(challenge, self.login))
            return _token_in(answer)
        finally:
            answer.close()


def challenges(headers: list[str]) -> list[Challenge]:
    """What WWW-Authenticate headers ask for, each in turn; what cannot be read is left out."""
    found = []
    for header in headers:
        rest = header[:8192]
        while match := _SCHEME.match(rest):
            rest = rest[match.end() :]
            parameters: dict[str, str] = {}
            while pair := _PARAMETER.match(rest):
                quoted, plain = pair[2], pair[3]
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
                parameters.setdefault(pair[1].lower(), value)
                rest = rest[pair.end() :]
            found.append(
                Challenge(
                    scheme=match[1].lower(),
                    realm=parameters.get("realm", ""),
                    service=parameters.get("service", ""),
                    scope=parameters.get("scope", ""),
                )
            )
    return found


def is_loopback(host: str) -> bool:
    """Whether it is this machine, by its name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _checked_realm(text: str) -> httpx.URL:
    import httpx

    try:
        realm = httpx.URL(text)
    except httpx.InvalidURL:
        raise RegistryRefused(f"the registry's realm for tokens is no address: {text[:200]!r}") from None
    if realm.scheme not in {"http", "https"} or not realm.host or realm.userinfo:
        raise RegistryRefused(f"the registry's realm for tokens is no address: {text[:200]!r}")
    if realm.scheme == "http" and not is_loopback(realm.host):
        raise RegistryLoginRefused(
            f"the registry sends us to http://{realm.host} for a token, without TLS: nothing is sent there"
        )
    return realm


def _same_domain(host: str, own: str) -> bool:
    """`auth.example.com` and `example.com` are of `registry.example.com`; nothing is of `co.uk`."""
    parent = own.partition(".")[2]
    labels = parent.split(".")
    if len(labels) < 2 or (len(labels) == 2 and len(labels[0]) <= 3) or labels[-1].isdigit():
        return False
    return host == parent or host.endswith(f".{parent}")


def _basic(login: Login) -> str:
    import base64

    return f"Basic {base64.b64encode(f'{login.username}:{login.password}'.encode()).decode()}"


def _params(challenge: Challenge, asked: dict[str, str]) -> httpx.QueryParams:
    """Each scope is a parameter of its own, and the realm may have parameters already."""
    import httpx

    pairs: list[tuple[str, str | int | float | bool | None]] = [
        *httpx.URL(challenge.realm).params.multi_items()
    ]
    for key, value in asked.items():
        pairs += [(key, each) for each in value.split(" ")] if key == "scope" else [(key, value)]
    return httpx.QueryParams(pairs)


def _token_in(answer: httpx.Response) -> str:
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > _LARGEST_TOKEN:
            break
    try:
        said: Any = json.loads(body) if answer.status_code == 200 else None
    except ValueError:
        said = None
    token = said.get("token") or said.get("access_token") if isinstance(said, dict) else None
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,65536}", token):
        host = answer.request.url.host
        raise RegistryRefused(f"{host} gave no token: its answer was {answer.status_code}")
    return token


def _refused(challenge: Challenge, login: Login | None) -> str:
    who = f"the account {login.username!r} or its password" if login else "anonymous callers"
    return f"{challenge.service or challenge.realm} does not take {who}"
