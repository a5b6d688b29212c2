"""Revisions of a workload: the newest, and the last that was good."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from gristmill.deploy.kubernetes.cluster import Cluster
from gristmill.deploy.kubernetes.release import Object

__all__ = ["Revision", "good_revision", "newest_label"]

_NUMBER = "deployment.kubernetes.io/revision"
_DEPLOYMENT_HASH, _STATEFUL_HASH = "pod-template-hash", "controller-revision-hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A pod template that ran."""

    name: str
    template: Object

    @property
    def image(self) -> str:
        """What it runs."""
        return str(self.template["spec"]["containers"][0]["image"])


def newest_label(cluster: Cluster, workload: Object) -> tuple[str, str] | None:
    """The label, and its value, of pods of the newest revision; None until there is one."""
    if workload["kind"] == "StatefulSet":
        name = (workload.get("status") or {}).get("updateRevision")
        return (_STATEFUL_HASH, name) if name else None
    number = _annotation(workload)
    for each in _replica_sets(cluster, workload):
        if _annotation(each) == number:
            return _DEPLOYMENT_HASH, each["metadata"]["labels"][_DEPLOYMENT_HASH]
    return None


def good_revision(cluster: Cluster, workload: Object) -> Revision | None:
    """The revision that runs and is ready, or was before one that is not; None if none is known."""
    if workload["kind"] == "StatefulSet":
        return _of_stateful_set(cluster, workload)
    ready = [
        each for each in _replica_sets(cluster, workload) if (each.get("status") or {}).get("readyReplicas")
    ]
    if not ready:
        return None
    newest = max(ready, key=lambda each: int(_annotation(each) or 0))
    template = copy.deepcopy(newest["spec"]["template"])
    template["metadata"]["labels"].pop(_DEPLOYMENT_HASH, None)
    return Revision(name=newest["metadata"]["name"], template=_plain(template))


def _of_stateful_set(cluster: Cluster, workload: Object) -> Revision | None:
    """`currentRevision` is the last that all its pods had, `updateRevision` the one on its way."""
    status = workload.get("status") or {}
    name = status.get("currentRevision")
    if name == status.get("updateRevision") and not status.get("readyReplicas"):
        return None
    found = cluster.find("apps/v1", "ControllerRevision", name, namespace=_space(workload)) if name else None
    if found is None:
        return None
    template = copy.deepcopy(found["data"]["spec"]["template"])
    template.pop("$patch", None)
    return Revision(name=found["metadata"]["name"], template=_plain(template))


def _plain(template: Object) -> Object:
    """Without what only the cluster writes."""
    template["metadata"].pop("creationTimestamp", None)
    return template


def _replica_sets(cluster: Cluster, workload: Object) -> list[Object]:
    labels = workload["spec"]["selector"]["matchLabels"]
    found = cluster.all("apps/v1", "ReplicaSet", labels=labels, namespace=_space(workload))
    uid = workload["metadata"]["uid"]
    return [
        each
        for each in found
        if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or [])
    ]


def _annotation(found: Object) -> str | None:
    return (found["metadata"].get("annotations") or {}).get(_NUMBER)


def _space(workload: Object) -> str:
    return str(workload["metadata"]["namespace"])
