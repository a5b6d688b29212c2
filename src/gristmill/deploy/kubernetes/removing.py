"""What belongs to a release on a cluster, and taking it away."""

from __future__ import annotations

from collections.abc import Iterable

from gristmill.deploy.kubernetes.cluster import Cluster
from gristmill.deploy.kubernetes.errors import BadValues, NotThere
from gristmill.deploy.kubernetes.release import MANAGER, Object
from gristmill.deploy.kubernetes.waiting import Clock

__all__ = ["owned", "remove", "remove_objects"]

#: In the order in which they go; a kind that a cluster does not know is passed over.
_KINDS = (
    ("networking.k8s.io/v1", "Ingress"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("policy/v1beta1", "PodDisruptionBudget"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
)
_INSTANCE, _MANAGED_BY = "app.kubernetes.io/instance", "app.kubernetes.io/managed-by"


def owned(cluster: Cluster, name: str, namespace: str) -> list[Object]:
    """Objects that `gristmill deploy` made under a name, each once."""
    labels = {_INSTANCE: name, _MANAGED_BY: MANAGER}
    found: dict[tuple[str, str], Object] = {}
    for version, kind in _KINDS:
        for each in cluster.all(version, kind, labels=labels, namespace=namespace):
            found.setdefault((kind, each["metadata"]["name"]), each)
    return list(found.values())


def remove(
    cluster: Cluster,
    name: str,
    namespace: str,
    *,
    volumes: bool,
    wait: float = 120.0,
    clock: Clock | None = None,
) -> list[str]:
    """Take a release away, and wait until its pods are gone; what was removed, as kind/name.

    Volumes, with all that was published, stay unless `volumes`. Raises NotThere; BadValues if it is Helm's.
    """
    mine = owned(cluster, name, namespace)
    labels = {_INSTANCE: name, "app.kubernetes.io/name": "gristmill"}
    claims = cluster.all("v1", "PersistentVolumeClaim", labels=labels, namespace=namespace)
    chosen = [each for each in mine if each["kind"] != "PersistentVolumeClaim"]
    if not chosen and not (volumes and claims):
        _refuse_helm(cluster, labels, name, namespace)
        raise NotThere(f"nothing is deployed as {name} in the namespace {namespace}: gristmill deploy status")
    removed = remove_objects(cluster, chosen, namespace)
    _until_gone(cluster, labels, namespace, wait, clock or Clock())
    return [*removed, *(remove_objects(cluster, claims, namespace) if volumes else ())]


def remove_objects(cluster: Cluster, found: Iterable[Object], namespace: str) -> list[str]:
    """Delete them, one after the other."""
    return [
        deleted
        for each in found
        for deleted in cluster.delete(
            {
                "apiVersion": each["apiVersion"],
                "kind": each["kind"],
                "metadata": {"name": each["metadata"]["name"]},
            },
            namespace=namespace,
        )
    ]


def _refuse_helm(cluster: Cluster, labels: dict[str, str], name: str, namespace: str) -> None:
    for kind in ("StatefulSet", "Deployment"):
        for each in cluster.all("apps/v1", kind, labels=labels, namespace=namespace):
            if (each["metadata"].get("labels") or {}).get(_MANAGED_BY) == "Helm":
                raise BadValues(f"{name} is Helm's: helm --namespace {namespace} uninstall {name}")


def _until_gone(cluster: Cluster, labels: dict[str, str], namespace: str, wait: float, clock: Clock) -> None:
    end = clock.now() + wait
    while clock.now() < end and cluster.all("v1", "Pod", labels=labels, namespace=namespace):
        clock.sleep(0.5)
