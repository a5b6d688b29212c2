"""The API server: requests by kind and name, with objects as plain JSON, and its refusals as our errors.

lightkube brings the kubeconfig, TLS and credentials. Its typed objects are left out: they drop what they do
not know, and what the chart says, or a user's manifest, is to arrive as it was written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gristmill.deploy.kubernetes.errors import (
    BadKubeconfig,
    ClusterRefused,
    ClusterUnreachable,
    LoginRefused,
    NotAllowed,
    NotThere,
)
from gristmill.deploy.kubernetes.kubeconfig import Kubeconfig
from gristmill.deploy.kubernetes.release import MANAGER, Object

__all__ = ["Api", "Resource"]

_TRIES = 4
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io, application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind of objects, as the cluster's discovery describes it."""

    group_version: str
    kind: str
    plural: str
    namespaced: bool
    names: frozenset[str]  #: by which people call it

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Where they are."""
        root = f"/apis/{self.group_version}" if "/" in self.group_version else f"/api/{self.group_version}"
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{inside}/{self.plural}" + (f"/{name}" if name else "")


class Api:
    """One API server."""

    def __init__(self, kubeconfig: Kubeconfig) -> None:
        from lightkube.config import client_adapter
        from lightkube.core.exceptions import ConfigError

        self.kubeconfig = kubeconfig
        self._known: dict[str, list[Resource]] = {}
        parameters = client_adapter.ConnectionParams()
        try:
            self._http = client_adapter.Client(kubeconfig.config, parameters)
        except (ConfigError, OSError, ValueError) as error:
            raise BadKubeconfig(f"{kubeconfig.told} cannot be used: {error}") from error

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def read(self, path: str, **parameters: str | None) -> Any:
        """The JSON at a path."""
        return self.send("GET", path, parameters).json()

    def text(self, path: str, **parameters: str | None) -> str:
        """The text at a path."""
        return str(self.send("GET", path, parameters).text)

    def table(self, path: str, **parameters: str | None) -> Any:
        """A Table as kubectl prints it, with its objects whole."""
        given = {**parameters, "includeObject": "Object"}
        return self.send("GET", path, given, headers={"Accept": _TABLE}).json()

    def find(self, resource: Resource, name: str, namespace: str | None) -> Object | None:
        """An object, or None."""
        try:
            found: Object = self.read(resource.path(namespace, name))
        except NotThere:
            return None
        return found

    def apply(self, resource: Resource, found: Object, namespace: str | None, *, dry_run: bool) -> Object:
        """Server-side apply; what others had set of the same fields is ours from then on."""
        import json

        path = resource.path(namespace, found["metadata"]["name"])
        parameters = {"fieldManager": MANAGER, "force": "true", "dryRun": "All" if dry_run else None}
        # JSON is YAML, too.
        headers = {"Content-Type": "application/apply-patch+yaml"}
        body = json.dumps(found, ensure_ascii=False).encode()
        applied: Object = self.send("PATCH", path, parameters, body=body, headers=headers).json()
        return applied

    def remove(self, resource: Resource, name: str, namespace: str | None) -> bool:
        """Delete an object and, in the background, what it made; False if there was none."""
        try:
            self.send("DELETE", resource.path(namespace, name), {"propagationPolicy": "Background"})
        except NotThere:
            return False
        return True

    def resource(self, group_version: str, kind: str) -> Resource:
        """The kind that an object names. Raises NotThere if the cluster does not know it."""
        for each in self.resources(group_version):
            if each.kind == kind:
                return each
        raise NotThere(
            f"the cluster at {self.kubeconfig.server} knows no {kind} of {group_version}; "
            "is it too old, or is a definition (CRD) missing?"
        )

    def called(self, word: str) -> Resource:
        """The kind that people call by this word: service, svc, deployments.apps. Raises NotThere."""
        word, _, group = word.lower().partition(".")
        for group_version in ["v1", *self._groups()]:
            if group and not group_version.startswith(f"{group}/"):
                continue
            for each in self.resources(group_version):
                if word in each.names:
                    return each
        raise NotThere(f"the cluster at {self.kubeconfig.server} has no objects called {word!r}")

    def resources(self, group_version: str) -> list[Resource]:
        """All kinds of a group; none if there is no such group."""
        if group_version not in self._known:
            root = "/apis/" if "/" in group_version else "/api/"
            try:
                listed = self.read(root + group_version).get("resources") or []
            except NotThere:
                listed = []
            self._known[group_version] = [
                _resource(group_version, each) for each in listed if "/" not in each["name"]
            ]
        return self._known[group_version]

    def _groups(self) -> list[str]:
        found = [group["preferredVersion"]["groupVersion"] for group in self.read("/apis")["groups"]]
        # What is asked for most comes first: `events` and the like are in more groups than one.
        return sorted(
            found, key=lambda each: each.split("/")[0] not in {"apps", "batch", "networking.k8s.io"}
        )

    def send(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str | None],
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """A successful response. What reads, applies or deletes may be repeated, and is."""
        import httpx2

        given = {key: value for key, value in parameters.items() if value is not None}
        for attempt in range(_TRIES):
            try:
                response = self._request(method, path, given, body, headers)
            except httpx2.TransportError as error:
                if attempt + 1 == _TRIES or isinstance(error, httpx2.UnsupportedProtocol):
                    raise self._unreachable(error) from error
            else:
                if response.status_code not in {429, 500, 503, 504} or attempt + 1 == _TRIES:
                    return self._accepted(response)
            time.sleep(0.2 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _request(self, method: str, path: str, parameters: Any, body: Any, headers: Any) -> Any:
        from lightkube.core.exceptions import ConfigError

        try:
            return self._http.request(method, path, params=parameters, content=body, headers=headers)
        except (ConfigError, FileNotFoundError, PermissionError) as error:
            raise self._no_credentials(error) from error
        except (KeyError, TypeError, ValueError) as error:  # a plugin that answered something else
            raise self._no_credentials(f"no token in what the plugin answered ({error!r})") from error

    def _no_credentials(self, why: Any) -> BadKubeconfig:
        user = self.kubeconfig.config.user
        plugin = user.exec if user else None
        program = f"the plugin {plugin.command!r}" if plugin else "the login"
        hint = f". {plugin.installHint.strip()}" if plugin and plugin.installHint else ""
        return BadKubeconfig(f"{self.kubeconfig.told}: {program} gave no credentials: {why}{hint}")

    def _unreachable(self, error: Exception) -> ClusterUnreachable:
        where = f"{self.kubeconfig.server} ({self.kubeconfig.told})"
        reason = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            return ClusterUnreachable(
                f"the certificate of {where} is not the one that the kubeconfig trusts: {reason}. "
                "Was the cluster made anew? Then get its kubeconfig again"
            )
        return ClusterUnreachable(
            f"no cluster answers at {where}: {reason}. Does it run, and can this machine reach it?"
        )

    def _accepted(self, response: Any) -> Any:
        if response.status_code < 400:
            return response
        try:
            said = str(response.json()["message"])
        except (ValueError, KeyError, TypeError):
            said = response.text[:500].strip() or response.reason_phrase
        told = self.kubeconfig.told
        if response.status_code == 401:
            raise LoginRefused(
                f"the cluster at {self.kubeconfig.server} does not take the credentials of {told}: "
                "expired, most often. Log in again with its provider's tool, or get its kubeconfig anew"
            )
        if response.status_code == 403:
            raise NotAllowed(f"{said} ({told}): ask whoever runs the cluster for the right, or use another")
        if response.status_code == 404:
            raise NotThere(said)
        if response.status_code >= 500:
            raise ClusterUnreachable(f"the cluster at {self.kubeconfig.server} failed: {said}")
        raise ClusterRefused(f"the cluster refused it: {said}")


def _resource(group_version: str, described: Mapping[str, Any]) -> Resource:
    names = {described["name"], described.get("singularName"), described["kind"].lower()}
    names |= set(described.get("shortNames") or [])
    return Resource(
        group_version=group_version,
        kind=described["kind"],
        plural=described["name"],
        namespaced=described["namespaced"],
        names=frozenset(name for name in names if name),
    )
