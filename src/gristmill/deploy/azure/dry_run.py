"""A transport that shows each request and sends none, for `--dry-run`.

It answers as Azure would if none of what is named were there yet, so that Microsoft's own clients go on
to the next request: what is shown is what they would send. Ids that only Azure knows are zeros.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import BaseAdapter

from gristmill.deploy.azure.clouds import Cloud

__all__ = ["NO_CREDENTIAL", "Shown", "dry_transport"]

_ZEROS = "00000000-0000-0000-0000-000000000000"
_SECRETS = frozenset({"access_token", "refresh_token", "password"})


class Shown(NamedTuple):
    """A request that was not sent."""

    method: str
    url: str
    body: Any  #: JSON, the fields of a form with secrets hidden, or None


class _NoCredential:
    """Of somebody who has none, and needs none."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken("none", 2**33)


NO_CREDENTIAL = _NoCredential()


def dry_transport(cloud: Cloud, show: Callable[[Shown], None]) -> RequestsTransport:
    """A transport for Microsoft's clients that calls `show` and touches no network."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", _Adapter(cloud, show))
    return RequestsTransport(session=session, session_owner=False)


class _Adapter(BaseAdapter):
    def __init__(self, cloud: Cloud, show: Callable[[Shown], None]) -> None:
        super().__init__()
        self._cloud = cloud
        self._show = show
        self._made: dict[str, dict[str, Any]] = {}

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        method, url = str(request.method), str(request.url)
        body = _body(request)
        self._show(Shown(method, url, body))
        status, answer = self._answer(method, unquote(urlsplit(url).path), body)
        found = requests.Response()
        found.status_code = status
        found.headers["Content-Type"] = "application/json"
        found.raw = io.BytesIO(b"" if answer is None else json.dumps(answer).encode())
        found.request = request
        found.url = url
        return found

    def close(self) -> None:
        """There is nothing to close."""

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "PUT":
            self._made[path.lower()] = made = self._as_made(path, body)
            return 200, made
        if method == "DELETE":
            return (200 if "managedClusters" not in path else 204), None
        last = path.rpartition("/")[2]
        answers: Mapping[str, Any] = {
            "checkNameAvailability": {"nameAvailable": True},
            "exchange": {"refresh_token": "none"},
            "listCredentials": {"username": "none", "passwords": [{"name": "password", "value": "none"}]},
            "listClusterUserCredential": {"kubeconfigs": [{"name": "clusterUser", "value": _kubeconfig()}]},
            "subscriptions": {"value": [{"subscriptionId": _ZEROS, "state": "Enabled"}]},
        }
        if last in answers:
            return 200, answers[last]
        if path.lower() in self._made:
            return 200, self._made[path.lower()]
        if last in {"registries", "managedClusters", "resourcegroups"}:
            return 200, {"value": []}
        return 404, {"error": {"code": "ResourceNotFound", "message": "nothing was asked in a dry run"}}

    def _as_made(self, path: str, body: Any) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        properties = {**(body.get("properties") or {}), "provisioningState": "Succeeded"}
        if "/registries/" in path and "roleAssignments" not in path:
            properties["loginServer"] = f"{name.lower()}.{self._cloud.registry_suffix}"
        if "/managedClusters/" in path:
            properties["identityProfile"] = {"kubeletidentity": {"objectId": _ZEROS}}
        return {**body, "id": path, "name": name, "properties": properties}


def _body(request: requests.PreparedRequest) -> Any:
    raw: Any = request.body
    text = raw.decode() if isinstance(raw, bytes) else str(raw or "")
    if not text:
        return None
    if "json" in str(request.headers.get("Content-Type")):
        return json.loads(text)
    return {key: "<hidden>" if key in _SECRETS else value for key, value in parse_qsl(text)}


def _kubeconfig() -> str:
    """Of a cluster that is nowhere."""
    text = """apiVersion: v1
kind: Config
current-context: none
clusters: [{name: none, cluster: {server: "https://none.invalid"}}]
users: [{name: none, user: {token: none}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
"""
    return base64.b64encode(text.encode()).decode()
