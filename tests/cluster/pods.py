"""Pods of one deployment: counted, timed, killed, and made to say what is wrong with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime

from tests.cluster.api import Api, Thing
from tests.cluster.node import Node
from tests.cluster.worker import DOCKER

__all__ = ["Pods", "explain"]


class Pods:
    """Those of `name` in `namespace`."""

    def __init__(self, api: Api, node: Node, namespace: str, name: str) -> None:
        self._api = api
        self._node = node
        self.namespace = namespace
        self.name = name

    def now(self) -> list[Thing]:
        labels = f"app.kubernetes.io/name=gristmill,app.kubernetes.io/instance={self.name}"
        return self._api.list("pods", namespace=self.namespace, labels=labels)

    def wait_until_settled(self, replicas: int, *, kind: str = "deployments", seconds: float = 180) -> None:
        """All replicas are ready, by their own word, and none is left of an older version."""
        self._api.wait(
            kind, self.name, "settled", lambda thing: _is_updated(thing, replicas),
            namespace=self.namespace, seconds=seconds,
        )  # fmt: skip
        ready = f"{replicas} pods, all ready, of {self.name}"
        self._node.wait_for(
            ready, lambda: [*map(_is_ready, self.now())] == [True] * replicas, seconds=seconds
        )

    def image(self, kind: str = "deployments") -> str:
        spec = self._api.get(kind, self.name, namespace=self.namespace)["spec"]
        return str(spec["template"]["spec"]["containers"][0]["image"])

    def seconds_to_ready(self) -> str:
        """From the container's start to the pod's readiness; Kubernetes keeps whole seconds of both."""
        took = sorted(_seconds_to_ready(pod) for pod in self.now())
        return f"container's start to ready {'/'.join(f'{each:.0f}' for each in took)} s"

    def delete_one(self, *, grace: int | None = None) -> None:
        """As `kubectl delete pod` does; with `grace=0` as with --force. Returns when it is gone."""
        pod = self.now()[0]["metadata"]
        self._api.delete("pods", pod["name"], namespace=self.namespace, grace=grace)
        gone = pod["uid"]
        self._node.wait_for("the pod's end", lambda: gone not in _uids(self.now()), seconds=120)

    def kill_one(self) -> None:
        """SIGKILL to the container, as when memory is used up. Returns when it has been started again."""
        pod = self.now()[0]
        status = pod["status"]["containerStatuses"][0]
        before = status["restartCount"]
        container = status["containerID"].removeprefix("docker://")
        self._node.run("docker", "--host", DOCKER, "kill", "--signal", "KILL", container)
        self._api.wait(
            "pods", pod["metadata"]["name"], "started again", lambda thing: _restarts(thing) > before,
            namespace=self.namespace, seconds=120,
        )  # fmt: skip


def explain(api: Api, namespace: str) -> str:
    """What a person would look at after a failure: pods, their logs, events."""
    lines = []
    for pod in api.list("pods", namespace=namespace):
        name, status = pod["metadata"]["name"], pod["status"]
        states = [each.get("state") for each in status.get("containerStatuses", [])]
        lines.append(f"-- pod {name}: {status.get('phase')} {states}")
        with contextlib.suppress(Exception):  # there is no log before the container has started
            log = api.logs(name, namespace=namespace, lines=2000).splitlines()
            lines += [line for line in log if '"event": "request"' not in line][-25:]
    events = sorted(api.list("events", namespace=namespace), key=lambda event: event["lastTimestamp"] or "")
    lines += [f"-- event {event['involvedObject']['name']}: {event['message']}" for event in events[-15:]]
    return "\n".join(lines)


def _is_updated(thing: Thing, replicas: int) -> bool:
    status = thing["status"]
    seen = bool(status.get("observedGeneration") == thing["metadata"]["generation"])
    return seen and [status.get(name, 0) for name in ("replicas", "updatedReplicas")] == [replicas] * 2


def _is_ready(pod: Thing) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return "deletionTimestamp" not in pod["metadata"] and conditions.get("Ready") == "True"


def _seconds_to_ready(pod: Thing) -> float:
    ready = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
    started = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    return (_time(ready["lastTransitionTime"]) - _time(started)).total_seconds()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _restarts(pod: Thing) -> int:
    return sum(each["restartCount"] for each in pod["status"].get("containerStatuses", []))


def _uids(pods: Iterable[Thing]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}
