"""What all chapters of the story use."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.api import Api, Thing
from tests.cluster.boston import Boston
from tests.cluster.cluster import Cluster
from tests.cluster.database import Database
from tests.cluster.registry import Registry

__all__ = ["REPOSITORY", "Scene"]

REPOSITORY = "models/boston"
IMAGE_USER = 10001  #: whom the image runs as


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A cluster with what is around it."""

    cluster: Cluster
    registry: Registry
    database: Database
    boston: Boston
    helm: Path

    @property
    def api(self) -> Api:
        return self.cluster.api

    @property
    def repository(self) -> str:
        """Where the images were pushed to."""
        return f"{self.registry.address}/{REPOSITORY}"

    def make_namespace(self, name: str) -> None:
        """With its service account, without whose token no pod is taken."""
        self.api.create("namespaces", {"metadata": {"name": name}})
        self.cluster.node.wait_for("the service account", lambda: any(map(_has_token, self._accounts(name))))

    def _accounts(self, namespace: str) -> list[Thing]:
        return self.api.list("serviceaccounts", namespace=namespace)

    def make_secret(self, namespace: str, name: str, values: Mapping[str, str], kind: str = "Opaque") -> None:
        about = {"metadata": {"name": name}, "type": kind, "stringData": dict(values)}
        self.api.create("secrets", about, namespace=namespace)

    def make_pull_secret(self, namespace: str, name: str) -> None:
        """The registry's login, as `kubectl create secret docker-registry` keeps it."""
        login = {"username": self.registry.username, "password": self.registry.password}
        content = json.dumps({"auths": {self.registry.address: login}})
        self.make_secret(namespace, name, {".dockerconfigjson": content}, "kubernetes.io/dockerconfigjson")

    def make_volume(self, name: str, mode: str, *, namespace: str, claim: str) -> Path:
        """A folder of the node as a volume for this claim; nobody but us makes it the pods' own."""
        folder = self.cluster.node.work / "volumes" / name
        folder.mkdir(parents=True)
        os.chown(folder, IMAGE_USER, IMAGE_USER)
        spec = {
            "capacity": {"storage": "50Gi"},
            "accessModes": [mode],
            "hostPath": {"path": str(folder), "type": "Directory"},
            "claimRef": {"namespace": namespace, "name": claim},
            "persistentVolumeReclaimPolicy": "Retain",
        }
        self.api.create("persistentvolumes", {"metadata": {"name": name}, "spec": spec})
        return folder

    def secret(self, namespace: str, name: str, key: str) -> str:
        found: str = self.api.get("secrets", name, namespace=namespace)["data"][key]
        return base64.b64decode(found).decode()

    def address(self, namespace: str, service: str) -> str:
        """URL of a Service of type LoadBalancer, once it has an address."""
        found = self.api.wait(
            "services", service, "given an address", _ingress, namespace=namespace, seconds=30
        )
        return f"http://{_ingress(found)}:{found['spec']['ports'][0]['port']}"


def _has_token(account: Thing) -> bool:
    return bool(account.get("secrets"))


def _ingress(service: Thing) -> str:
    ingress = service["status"].get("loadBalancer", {}).get("ingress", [])
    return str(ingress[0]["ip"]) if ingress else ""
