"""The API server by plain HTTP: the tests look at the cluster by other means than the code that they test."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tests.cluster.certificates import Pki

__all__ = ["Api", "NotInTime", "as_admin"]

GROUPS = {
    "deployments": "apis/apps/v1",
    "replicasets": "apis/apps/v1",
    "statefulsets": "apis/apps/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
}
Thing = dict[str, Any]  # an object of Kubernetes, as JSON


class NotInTime(AssertionError):
    """What was waited for did not come about."""


class Api:
    """Objects by kind (in the plural), namespace and name."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, kind: str, name: str, *, namespace: str = "") -> Thing:
        return self._call("GET", _path(kind, namespace, name))

    def list(self, kind: str, *, namespace: str = "", labels: str = "") -> list[Thing]:
        answer = self._call("GET", _path(kind, namespace), params={"labelSelector": labels} if labels else {})
        items: list[Thing] = answer["items"]
        return items

    def create(self, kind: str, thing: Thing, *, namespace: str = "") -> Thing:
        return self._call("POST", _path(kind, namespace), json=thing)

    def delete(self, kind: str, name: str, *, namespace: str = "", grace: int | None = None) -> None:
        options = {} if grace is None else {"gracePeriodSeconds": str(grace)}
        self._call("DELETE", _path(kind, namespace, name), params=options)

    def patch(self, kind: str, name: str, change: Thing, *, namespace: str = "", part: str = "") -> Thing:
        """`part`: `status`, for instance."""
        path = _path(kind, namespace, name) + (f"/{part}" if part else "")
        content = json.dumps(change)
        return self._call(
            "PATCH", path, content=content, headers={"Content-Type": "application/merge-patch+json"}
        )

    def version(self) -> str:
        version: str = self._call("GET", "/version")["gitVersion"]
        return version

    def logs(self, pod: str, *, namespace: str, lines: int = 40) -> str:
        path = _path("pods", namespace, pod) + "/log"
        return self._client.get(path, params={"tailLines": str(lines)}).raise_for_status().text

    def watch(self, kind: str) -> Iterator[Thing]:
        """Each object of the kind, in all namespaces, and again when it changes; ends with the connection."""
        params = {"watch": "true", "timeoutSeconds": "3600"}
        timeout = httpx.Timeout(30, read=None)
        with self._client.stream("GET", _path(kind, ""), params=params, timeout=timeout) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                event = json.loads(line)
                if event["type"] in {"ADDED", "MODIFIED"}:
                    yield event["object"]

    def wait(
        self,
        kind: str,
        name: str,
        what: str,
        holds: Callable[[Thing], object],
        *,
        namespace: str = "",
        seconds: float,
    ) -> Thing:
        """The object, once `holds` says so of it; NotInTime, with its last status, otherwise."""
        end = time.monotonic() + seconds
        thing = self.get(kind, name, namespace=namespace)
        while not holds(thing):
            if time.monotonic() > end:
                status = json.dumps(thing.get("status"), indent=1)
                raise NotInTime(f"{kind} {name}: not {what} within {seconds:g} s\n{status}")
            time.sleep(0.1)
            thing = self.get(kind, name, namespace=namespace)
        return thing

    def _call(self, method: str, path: str, **request: Any) -> Thing:
        answer = self._client.request(method, path, **request)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text.strip()}")
        thing: Thing = answer.json()
        return thing


def as_admin(pki: Pki) -> Api:
    """With all rights."""
    return Api(httpx.Client(base_url=pki.server, verify=_trust(pki, "admin"), timeout=30))


def _trust(pki: Pki, user: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.certificate("ca")))
    context.load_cert_chain(pki.certificate(user), pki.key(user))
    return context


def _path(kind: str, namespace: str, name: str = "") -> str:
    parts = [GROUPS.get(kind, "api/v1"), *(["namespaces", namespace] if namespace else []), kind, name]
    return "/" + "/".join(part for part in parts if part)
