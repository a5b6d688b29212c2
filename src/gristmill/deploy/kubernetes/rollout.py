"""How far a rollout is, read off the cluster's objects; no requests here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gristmill.deploy.kubernetes.release import Object

__all__ = ["PodState", "Rollout", "pod_state", "rollout_of"]

#: The container is not there, and the kubelet says why.
_WAITING = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """A pod, as people ask after it."""

    name: str
    uid: str
    phase: str  #: Pending, Running …, or the reason why a container waits
    ready: bool
    restarts: int
    image: str
    trouble: str | None  #: what keeps it from getting ready, where it is not just time


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A workload on its way to its newest revision."""

    wanted: int
    ready: int  #: of the newest revision
    old: int  #: of older ones, still there
    done: bool
    pods: tuple[PodState, ...]  #: of the newest revision
    trouble: str | None = None  #: why no pods are made

    @property
    def told(self) -> str:
        """In a line."""
        parts = [f"{self.ready} of {self.wanted} ready"]
        if self.old:
            parts.append(f"{self.old} of the revision before to go")
        parts += sorted({f"{pod.name} {pod.phase}" for pod in self.pods if not pod.ready})
        return ", ".join(parts)


def rollout_of(workload: Object, pods: Iterable[Object], revision: tuple[str, str] | None) -> Rollout:
    """How far it is; `revision` is the label of the newest revision's pods, None while there is none."""
    spec, status = workload["spec"], workload.get("status") or {}
    wanted = int(spec.get("replicas", 1))
    seen = status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0)
    alive = [pod for pod in pods if not _ends(pod)]
    known = revision if seen else None
    new = [pod for pod in alive if known and _labels(pod).get(known[0]) == known[1]]
    states = tuple(sorted(map(pod_state, new), key=lambda pod: pod.name))
    ready = sum(pod.ready for pod in states)
    old = len(alive) - len(new) if known else 0
    counted = status.get("updatedReplicas", 0) >= wanted and status.get("readyReplicas", 0) >= wanted
    done = known is not None and counted and ready >= wanted and not old
    return Rollout(
        wanted=wanted,
        ready=ready,
        old=old,
        done=done,
        pods=states,
        trouble=_not_made(status) if seen else None,
    )


def pod_state(pod: Object) -> PodState:
    """What a pod's status says."""
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    ready = conditions.get("Ready", {}).get("status") == "True"
    phase = str(status.get("reason") or status.get("phase") or "Pending")
    trouble = None
    for each in containers:
        waiting = (each.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _WAITING:
            phase = waiting["reason"]
    if not ready:
        trouble = _trouble(containers, conditions, phase, status)
    return PodState(
        name=pod["metadata"]["name"],
        uid=pod["metadata"]["uid"],
        phase="Ready" if ready else phase,
        ready=ready,
        restarts=sum(each.get("restartCount", 0) for each in containers),
        image=pod["spec"]["containers"][0]["image"],
        trouble=trouble,
    )


def _trouble(containers: list[Any], conditions: dict[str, Any], phase: str, status: Any) -> str | None:
    for each in containers:
        waiting = (each.get("state") or {}).get("waiting") or {}
        ended = (each.get("state") or {}).get("terminated") or (each.get("lastState") or {}).get("terminated")
        if ended and (each.get("restartCount") or waiting.get("reason") == "CrashLoopBackOff"):
            return f"its container ended with {_ending(ended)}, {each.get('restartCount', 0)} times restarted"
        if waiting.get("reason") in _WAITING:
            return f"{waiting['reason']}: {waiting.get('message') or 'no more is said'}"
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return f"no node takes it: {scheduled.get('message') or 'no more is said'}"
    if phase in {"Failed", "Evicted"}:
        return f"{phase}: {status.get('message') or 'no more is said'}"
    return None


def _ending(ended: Any) -> str:
    reason = ended.get("reason") or "Error"
    code = ended.get("exitCode")
    return (
        f"{reason} (status {code})"
        if reason != "OOMKilled"
        else "OOMKilled: it took more memory than its limit"
    )


def _not_made(status: Any) -> str | None:
    for each in status.get("conditions") or []:
        if each["type"] == "ReplicaFailure" and each["status"] == "True":
            return str(each.get("message") or each.get("reason"))
    return None


def _ends(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _labels(pod: Object) -> dict[str, str]:
    return pod["metadata"].get("labels") or {}
