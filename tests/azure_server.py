"""A server on loopback that stands for Azure, as far as tests/azure_specs goes.

Each request is held against the specification, and so is each answer of the server's own. What is wrong with
one is collected in `complaints`, which a test that uses it ends by looking at. `say` puts answers of a test's
choice before its own. The clients are Microsoft's; their transport sends here what is meant for Azure.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import defaultdict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from tests.azure_specs_reader import Operation, find

__all__ = ["GROUP", "KUBELET", "SUBSCRIPTION", "AzureServer", "StaticCredential", "failure"]

SUBSCRIPTION = "a925f2f7-5c63-4b7b-8799-25a5f97bc3b2"
KUBELET = "ce2ce14e-85d7-4629-bdbc-454d0519d987"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/deployresgrp"
KUBECONFIG = """apiVersion: v1
kind: Config
current-context: deployclus
clusters: [{name: deployclus, cluster: {server: "https://deployclus-1a2b3c4d.hcp.westeurope.azmk8s.io:443"}}]
users: [{name: clusterUser, user: {token: secret-of-the-cluster}}]
contexts: [{name: deployclus, context: {cluster: deployclus, user: clusterUser}}]
"""
Answer = tuple[int, Mapping[str, str], Any]


class StaticCredential:
    """A login that Azure takes."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        return AccessToken("token-of-the-directory", 2**33)


def failure(status: int, code: str, message: str, **headers: str) -> Answer:
    """An error as the Resource Manager words it."""
    return status, headers, {"error": {"code": code, "message": message}}


class _Transport(RequestsTransport):  # type: ignore[misc] # one of its bases has no types
    """Microsoft's own, with another way to the network, and a sleep that only notes how long."""

    def __init__(self, port: int) -> None:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", _ToLoopback(port))
        super().__init__(session=session, session_owner=False)
        self.slept: list[float] = []

    def sleep(self, duration: float) -> None:
        self.slept.append(duration)


class _ToLoopback(HTTPAdapter):
    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        there = urlsplit(str(request.url))
        sent = request.copy()
        sent.url = there._replace(scheme="http", netloc=f"127.0.0.1:{self._port}").geturl()
        sent.headers["Host"] = there.netloc
        kwargs["proxies"] = {}
        return super().send(sent, *args, **kwargs)


class AzureServer:
    """Azure with one subscription, in which nothing is yet."""

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {}  #: by path, in lower case
        self.asked: list[str] = []  #: "PUT Registries_Create", and "poll"
        self.bodies: dict[str, Any] = {}  #: the last one of each operation
        self.complaints: list[str] = []
        self.polls = 2  #: how often a long operation says that it is not yet finished
        self.ending: dict[str, Any] = {"status": "Succeeded"}  #: what it says at last
        self.kubeconfig = KUBECONFIG
        self.taken: set[str] = set()  #: names of registries that somebody else has
        self.filters: list[str] = []  #: $filter of requests that had one
        self._said: defaultdict[str, list[Answer]] = defaultdict(list)
        self._running: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.transport = _Transport(self._server.server_address[1])

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def finish(self) -> None:
        """End all long operations at the next look."""
        self.polls = 0
        self._running.update(dict.fromkeys(self._running, 0))

    def say(self, operation: str, *answers: Answer) -> None:
        """Give these answers to an operation first."""
        self._said[operation] += answers

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """To one request."""
        parts = urlsplit(url)
        if "/operationresults/" in parts.path:
            return self._poll(parts.path)
        operation = find(method, parts.path)
        if operation is None:
            return self._complain(f"{method} {parts.path}", ["no such operation"])
        self.asked.append(operation.id)
        self.filters += parse_qs(parts.query).get("$filter", [])
        wrong = operation.complaints(parts.query, headers, body)
        if "form" not in operation.said and headers.get("Authorization") != "Bearer token-of-the-directory":
            wrong.append("no Authorization")
        if wrong:
            return self._complain(operation.id, wrong)
        self.bodies[operation.id] = body.decode() if "form" in operation.said else json.loads(body or b"null")
        if self._said[operation.id]:
            return self._said[operation.id].pop(0)
        status, extra, value = _ANSWERS[operation.id](self, operation, parts.path)
        if status < 400 and (wrong := operation.wrong_answer(status, extra, value)):
            return self._complain(f"answer to {operation.id}", wrong)
        return status, extra, value

    def _complain(self, what: str, wrong: list[str]) -> Answer:
        self.complaints += [f"{what}: {each}" for each in wrong]
        return failure(400, "NotAsSpecified", "; ".join(wrong))

    def _poll(self, path: str) -> Answer:
        self.asked.append("poll")
        self._running[path] -= 1
        if self._running[path] >= 0:
            later = {"Retry-After": "15"}
            return (
                (202, {**later, "Location": f"https://management.azure.com{path}"}, None)
                if path.endswith("gone")
                else (200, later, {"status": "InProgress"})
            )
        if path.endswith("gone"):
            return 204, {}, None
        return 200, {}, self.ending

    def begin(self, path: str, kind: str) -> Mapping[str, str]:
        """Headers of a long operation that was begun."""
        place = f"{path}/operationresults/{len(self._running)}-{kind}"
        self._running[place] = self.polls
        name = "Location" if kind == "gone" else "Azure-AsyncOperation"
        return {name: f"https://management.azure.com{place}", "Retry-After": "15"}


def _put_group(server: AzureServer, operation: Operation, path: str) -> Answer:
    return 201, {}, _keep(server, operation, path, {"provisioningState": "Succeeded"})


def _put_registry(server: AzureServer, operation: Operation, path: str) -> Answer:
    name = operation.values["registryName"].lower()
    own = {"loginServer": f"{name}.azurecr.io", "provisioningState": "Succeeded"}
    made = _keep(server, operation, path, own)
    begun = {**made, "properties": {**made["properties"], "provisioningState": "Creating"}}
    return 201, server.begin(path, "made"), begun


def _put_cluster(server: AzureServer, operation: Operation, path: str) -> Answer:
    identity = {"kubeletidentity": {"objectId": KUBELET}}
    made = _keep(server, operation, path, {"provisioningState": "Succeeded", "identityProfile": identity})
    creating = {key: value for key, value in made["properties"].items() if key != "identityProfile"}
    begun = {**made, "properties": {**creating, "provisioningState": "Creating"}}
    return 201, server.begin(path, "made"), begun


def _keep(server: AzureServer, operation: Operation, path: str, own: Mapping[str, Any]) -> dict[str, Any]:
    sent = server.bodies[operation.id]
    made = {**sent, "id": path, "name": path.rpartition("/")[2]}
    made["properties"] = {**(sent.get("properties") or {}), **own}
    server.things[path.lower()] = made
    return dict(made)


def _get(server: AzureServer, operation: Operation, path: str) -> Answer:
    found = server.things.get(path.lower())
    if found is None:
        return failure(404, "ResourceNotFound", f"The Resource '{path}' was not found.")
    return 200, {}, found


def _list(server: AzureServer, operation: Operation, path: str) -> Answer:
    under = f"{path.lower()}/"
    found = [
        value
        for key, value in server.things.items()
        if key.startswith(under) and "/" not in key[len(under) :]
    ]
    return 200, {}, {"value": found}


def _delete(server: AzureServer, operation: Operation, path: str) -> Answer:
    if server.things.pop(path.lower(), None) is None:
        if operation.id == "ResourceGroups_Delete":
            return failure(404, "ResourceGroupNotFound", "Resource group could not be found.")
        return 204, {}, None
    return 202, server.begin(path, "gone"), None


def _check_name(server: AzureServer, operation: Operation, path: str) -> Answer:
    name = server.bodies[operation.id]["name"]
    own = any(key.endswith(f"/registries/{name.lower()}") for key in server.things)
    if name not in server.taken and not own:
        return 200, {}, {"nameAvailable": True}
    message = f"The registry {name} is already in use."
    return 200, {}, {"nameAvailable": False, "reason": "AlreadyExists", "message": message}


def _assign(server: AzureServer, operation: Operation, path: str) -> Answer:
    known = path.lower() in server.things
    made = _keep(server, operation, path, {})
    return (200 if known else 201), {}, made


def _assignments(server: AzureServer, operation: Operation, path: str) -> Answer:
    under = f"{path.lower()}/"
    found = [value for key, value in server.things.items() if key.startswith(under)]
    if server.filters[-1] != f"principalId eq '{KUBELET}'":
        return failure(400, "InvalidFilter", f"{server.filters[-1]!r}")
    return 200, {}, {"value": found}


def _admin(server: AzureServer, operation: Operation, path: str) -> Answer:
    passwords = [{"name": "password", "value": "secret-of-the-admin"}]
    return 200, {}, {"username": operation.values["registryName"], "passwords": passwords}


def _kubeconfig(server: AzureServer, operation: Operation, path: str) -> Answer:
    value = base64.b64encode(server.kubeconfig.encode()).decode()
    return 200, {}, {"kubeconfigs": [{"name": "clusterUser", "value": value}]}


_ANSWERS = {
    "Subscriptions_List": lambda *_: (
        200,
        {},
        {"value": [{"subscriptionId": SUBSCRIPTION, "displayName": "Models", "state": "Enabled"}]},
    ),
    "ResourceGroups_List": _list,
    "ResourceGroups_Get": _get,
    "ResourceGroups_CreateOrUpdate": _put_group,
    "ResourceGroups_Delete": _delete,
    "Registries_CheckNameAvailability": _check_name,
    "Registries_ListByResourceGroup": _list,
    "Registries_Get": _get,
    "Registries_Create": _put_registry,
    "Registries_Delete": _delete,
    "Registries_ListCredentials": _admin,
    "Authentication_ExchangeAadAccessTokenForAcrRefreshToken": lambda *_: (
        200,
        {},
        {"refresh_token": "token-of-the-registry"},
    ),
    "RoleAssignments_Create": _assign,
    "RoleAssignments_ListForScope": _assignments,
    "ManagedClusters_ListByResourceGroup": _list,
    "ManagedClusters_Get": _get,
    "ManagedClusters_CreateOrUpdate": _put_cluster,
    "ManagedClusters_Delete": _delete,
    "ManagedClusters_ListClusterAdminCredentials": _kubeconfig,
    "ManagedClusters_ListClusterUserCredentials": _kubeconfig,
}


def _handler(server: AzureServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, value = server.answer(self.command, self.path, dict(self.headers), body)
            content = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name.replace("_", "-"), text)
            if value is not None:
                self.send_header("Content-Type", "application/json; charset=utf-8")
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Nothing: what was asked is in `asked`."""

    return Handler
