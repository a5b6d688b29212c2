"""What a deployment looks at before it changes anything."""

from __future__ import annotations

import base64

from gristmill.deploy.kubernetes.cluster import Cluster
from gristmill.deploy.kubernetes.errors import BadValues, ClusterRefused, NotAllowed
from gristmill.deploy.kubernetes.release import MANAGER, Object

__all__ = ["before", "ensure_namespace", "kept", "rehearse"]

_WORKLOADS = ("StatefulSet", "Deployment")
_MANAGED_BY = "app.kubernetes.io/managed-by"


def ensure_namespace(cluster: Cluster, name: str, *, create: bool) -> None:
    """Make the namespace, or see that it is there. Raises BadValues."""
    if create:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return
    try:
        found = cluster.find("v1", "Namespace", name)
    except NotAllowed:  # who may only work inside a namespace cannot see it from outside
        return
    if found is None:
        raise BadValues(f"there is no namespace {name}: make it with --create-namespace, or choose another")


def rehearse(cluster: Cluster, made: list[Object]) -> None:
    """Let the cluster refuse before anything is changed: a quota, a policy, a field that may not change."""
    try:
        cluster.apply(made, dry_run=True)
    except ClusterRefused as error:
        if "updates to statefulset spec" in str(error):
            raise ClusterRefused(
                f"{error.message}. The volume of one box cannot be changed by an update: resize its claim, "
                "or run `gristmill deploy delete`, which keeps the volume, and deploy again"
            ) from None
        if "dry run" not in str(error):  # an admission webhook of a cluster that cannot rehearse
            raise


def before(cluster: Cluster, name: str, namespace: str) -> Object | None:
    """The workload that runs under this name. Raises BadValues if it is not ours."""
    found = None
    for kind in _WORKLOADS:
        each = cluster.find("apps/v1", kind, name, namespace=namespace)
        if each is None:
            continue
        owner = (each["metadata"].get("labels") or {}).get(_MANAGED_BY)
        if owner == "Helm":
            raise BadValues(
                f"{kind} {name} in the namespace {namespace} is Helm's: go on with `helm upgrade`, or choose "
                "another --name"
            )
        if owner != MANAGER:
            raise BadValues(
                f"there is a {kind} {name} in the namespace {namespace} that gristmill did not make: choose "
                "another --name"
            )
        found = each
    return found


def kept(cluster: Cluster, name: str, namespace: str) -> dict[str, str]:
    """What our own secret holds from earlier deployments."""
    found = cluster.find("v1", "Secret", name, namespace=namespace)
    data = (found or {}).get("data") or {}
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
