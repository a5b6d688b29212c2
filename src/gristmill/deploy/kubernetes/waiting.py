"""Wait until a workload runs its newest revision, or until it is plain that it will not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gristmill.deploy.kubernetes.cluster import Cluster
from gristmill.deploy.kubernetes.errors import ClusterUnreachable, NotThere
from gristmill.deploy.kubernetes.release import Object
from gristmill.deploy.kubernetes.revisions import newest_label
from gristmill.deploy.kubernetes.rollout import PodState, Rollout, rollout_of

__all__ = ["Clock", "Patience", "Watcher", "observe", "until_ready", "why"]

#: Told of each look at a rollout.
Watcher = Callable[[Rollout], None]

_LOG_LINES = 20
_EVENTS = 5
_SCALING_UP = "TriggeredScaleUp"  #: what the cluster's autoscaler says when it adds a node for a pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, seconds: for all, and for a pod that is in trouble."""

    whole: float = 600.0
    trouble: float = 30.0
    look_every: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Time, which tests replace."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def observe(cluster: Cluster, kind: str, name: str, namespace: str) -> tuple[Object, Rollout]:
    """The workload, and how far its rollout is. Raises NotThere."""
    workload = cluster.find("apps/v1", kind, name, namespace=namespace)
    if workload is None:
        raise NotThere(f"there is no {kind} {name} in the namespace {namespace}")
    labels = workload["spec"]["selector"]["matchLabels"]
    label = newest_label(cluster, workload)
    pods = cluster.all("v1", "Pod", labels=labels, namespace=namespace)
    return workload, rollout_of(workload, pods, label)


def until_ready(
    cluster: Cluster,
    workload: Object,
    watch: Watcher,
    patience: Patience,
    clock: Clock,
) -> str | None:
    """None when it is ready; else why it was given up: the first line of an explanation."""
    metadata = workload["metadata"]
    end = clock.now() + patience.whole
    since: dict[str, float] = {}
    rollout: Rollout | None = None
    while True:
        try:
            _, rollout = observe(cluster, workload["kind"], metadata["name"], metadata["namespace"])
        except ClusterUnreachable:
            if clock.now() > end:
                raise
        else:
            watch(rollout)
            if rollout.done:
                return None
            given_up = _given_up(cluster, rollout, since, patience, clock, metadata["namespace"])
            if given_up:
                return given_up
        if clock.now() > end:
            seen = f": {rollout.told}" if rollout else ""
            return f"it was not ready within {patience.whole:.0f} seconds{seen}"
        clock.sleep(patience.look_every)


def _given_up(
    cluster: Cluster,
    rollout: Rollout,
    since: dict[str, float],
    patience: Patience,
    clock: Clock,
    namespace: str,
) -> str | None:
    """Why, if something has been in trouble for longer than we have patience."""
    troubles = {pod.uid: f"pod {pod.name}: {pod.trouble}" for pod in rollout.pods if pod.trouble}
    if rollout.trouble:
        troubles[""] = f"no pods are made: {rollout.trouble}"
    for uid in set(since) - set(troubles):
        del since[uid]
    for uid, trouble in troubles.items():
        if clock.now() - since.setdefault(uid, clock.now()) < patience.trouble:
            continue
        if uid and any(each["reason"] == _SCALING_UP for each in _events(cluster, uid, namespace)):
            continue
        return trouble
    return None


def why(cluster: Cluster, kind: str, name: str, namespace: str) -> str:
    """What the pods that are not ready have to say: their trouble, their events, their last lines."""
    workload, rollout = observe(cluster, kind, name, namespace)
    told = [_pod_report(cluster, pod, namespace) for pod in rollout.pods if not pod.ready][:2]
    if not rollout.pods:
        events = _event_lines(_events(cluster, workload["metadata"]["uid"], namespace))
        told.append("\n".join([f"{kind} {name} has no pods", *events]))
    return "\n".join(told)


def _pod_report(cluster: Cluster, pod: PodState, namespace: str) -> str:
    lines = [f"pod {pod.name} is {pod.phase}, image {pod.image}"]
    if pod.trouble:
        lines.append(f"  {pod.trouble}")
    lines += _event_lines(_events(cluster, pod.uid, namespace))
    log = _last_lines(cluster, pod, namespace)
    if log:
        lines += ["  its last lines:", *(f"    {line}" for line in log)]
    return "\n".join(lines)


def _last_lines(cluster: Cluster, pod: PodState, namespace: str) -> list[str]:
    from gristmill.errors import GristmillError

    for previous in (False, True) if pod.restarts else (False,):
        try:
            text = cluster.logs(pod.name, namespace=namespace, lines=_LOG_LINES, previous=previous)
        except GristmillError:  # a container that never ran has no log
            continue
        if text.strip():
            return text.rstrip().splitlines()
    return []


def _events(cluster: Cluster, uid: str, namespace: str) -> list[Any]:
    """Of one pod or workload; by its uid, because a StatefulSet's pods have one name after the other."""
    found = cluster.all("v1", "Event", fields=f"involvedObject.uid={uid}", namespace=namespace)
    return sorted(found, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))


def _event_lines(events: list[Any]) -> list[str]:
    warnings = [each for each in events if each.get("type") != "Normal"]
    lines = (
        f"  {each['reason']}: {' '.join(str(each.get('message', '')).split())}"[:400] for each in warnings
    )
    return list(dict.fromkeys(lines))[-_EVENTS:]  # each once: the same happens again and again
