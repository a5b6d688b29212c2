"""What is deployed, and how it is."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.deploy.kubernetes.address import Address, address_of
from gristmill.deploy.kubernetes.cluster import Cluster
from gristmill.deploy.kubernetes.errors import NotThere
from gristmill.deploy.kubernetes.rollout import Rollout
from gristmill.deploy.kubernetes.waiting import observe, why

__all__ = ["Report", "report", "reports"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One release."""

    name: str
    namespace: str
    kind: str
    image: str
    manager: str  #: gristmill, or Helm
    rollout: Rollout
    address: Address
    why: str = ""  #: what keeps it, where it is not ready


def reports(cluster: Cluster, namespace: str) -> list[Report]:
    """All releases of a namespace, those that Helm made too."""
    labels = {"app.kubernetes.io/name": "gristmill"}
    return [
        report(cluster, each["metadata"]["name"], namespace, kind=kind, explain=False)
        for kind in ("StatefulSet", "Deployment")
        for each in cluster.all("apps/v1", kind, labels=labels, namespace=namespace)
    ]


def report(
    cluster: Cluster, name: str, namespace: str, *, kind: str | None = None, explain: bool = True
) -> Report:
    """One release. Raises NotThere."""
    for each in (kind,) if kind else ("StatefulSet", "Deployment"):
        if cluster.find("apps/v1", each, name, namespace=namespace) is None:
            continue
        workload, rollout = observe(cluster, each, name, namespace)
        return Report(
            name=name,
            namespace=namespace,
            kind=each,
            image=workload["spec"]["template"]["spec"]["containers"][0]["image"],
            manager=workload["metadata"]["labels"].get("app.kubernetes.io/managed-by", ""),
            rollout=rollout,
            address=address_of(cluster, name, namespace),
            why=why(cluster, each, name, namespace) if explain and not rollout.done else "",
        )
    raise NotThere(f"nothing is deployed as {name} in the namespace {namespace}")
