"""A cluster of one node, from nothing to ready, and back."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.api import Api, Thing, as_admin
from tests.cluster.balancer import Balancer
from tests.cluster.certificates import Pki, make_pki
from tests.cluster.control_plane import start_control_plane
from tests.cluster.network import free_network
from tests.cluster.node import Node
from tests.cluster.worker import start_worker

__all__ = ["Cluster", "running_cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One that runs pods."""

    node: Node
    pki: Pki
    api: Api  #: with all rights

    @property
    def kubeconfig(self) -> Path:
        return self.pki.kubeconfig("admin")

    def version(self) -> str:
        """What the API server and the node's kubelet say of themselves."""
        server = self.api.version()
        kubelet = self.api.list("nodes")[0]["status"]["nodeInfo"]
        return (
            f"API server {server}, kubelet {kubelet['kubeletVersion']}, {kubelet['containerRuntimeVersion']}"
        )


@contextlib.contextmanager
def running_cluster(cache: Path) -> Iterator[Cluster]:
    """Start one with the programs in `cache`/bin; nothing of it is left afterwards."""
    work = Path(tempfile.mkdtemp(prefix="run-", dir=cache))
    with Node(work, free_network()) as node:
        pki = make_pki(work / "pki", node.network, node.name)
        start_control_plane(node, pki, cache / "bin")
        start_worker(node, pki, cache / "bin")
        api = as_admin(pki)
        api.wait("namespaces", "default", "there", lambda _: True, seconds=30)
        node.wait_for("the node's readiness", lambda: any(map(_is_ready, api.list("nodes"))), seconds=120)
        node.wait_for("the service account", lambda: bool(api.list("serviceaccounts", namespace="default")))
        Balancer(api, node.network.balancers).start()
        yield Cluster(node=node, pki=pki, api=api)


def _is_ready(node: Thing) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
