"""Two replicas by Helm: called, killed, updated and saved from a bad image, under eight callers."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.cluster.api import Thing
from tests.cluster.asking import Caller
from tests.cluster.balancing import spread
from tests.cluster.commands import Done, run
from tests.cluster.pods import Pods, explain
from tests.cluster.report import Report
from tests.cluster.scene import Scene

__all__ = ["CHART", "Helm", "play"]

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "gristmill"
SPACE, NAME = "story-helm", "boston"


class Helm:
    """helm, for one namespace of the cluster."""

    def __init__(self, scene: Scene, namespace: str) -> None:
        self._scene = scene
        self._namespace = namespace

    def __call__(self, *arguments: str, values: dict[str, Any], check: bool = True) -> Done:
        """`helm ARGUMENTS CHART`, with the values by standard input: there may be secrets among them."""
        cluster = ["--kubeconfig", str(self._scene.cluster.kubeconfig), "--namespace", self._namespace]
        command = [str(self._scene.helm), *arguments, str(CHART), *cluster, "--values", "-"]
        return run(command, input=json.dumps(values), check=check)


def play(scene: Scene, report: Report) -> None:
    """The chapter."""
    helm = Helm(scene, SPACE)
    pods = Pods(scene.api, scene.cluster.node, SPACE, NAME)
    with report.chapter("Helm: two replicas behind a load balancer", lambda: explain(scene.api, SPACE)):
        with report.step("without a login the node is refused the image") as step:
            scene.make_namespace(SPACE)
            step.note(_refusal(scene))
        with report.step("helm install: two replicas, PostgreSQL, a shared volume") as step:
            _prepare(scene)
            helm("install", NAME, "--wait", "--timeout", "3m", values=_values(scene, "1.0.0"))
            pods.wait_until_settled(2)
            step.note(pods.seconds_to_ready())
        caller = Caller(scene.address(SPACE, NAME), scene.secret(SPACE, NAME, "admin-password"), scene.boston)
        with report.step("the load balancer's address leads to both") as step:
            step.note(spread(scene.cluster.node, f"{SPACE}/{NAME}:http", caller.url, pods=2))
        with report.step("log in and call through the load balancer's address") as step:
            step.note(caller.call_once("1.0.0"))
        with report.step("the example's consume.R, as an application") as step:
            step.note(caller.consume_from_r("1.0.0"))
        with report.step("a batch of two sets, two at a time") as step:
            step.note(caller.run_batch("1.0.0"))
        _kill_pods(caller, pods, report)
        _roll(helm, scene, caller, pods, report)


def _kills(pods: Pods) -> list[tuple[str, Callable[[], None]]]:
    return [
        ("a pod is deleted", pods.delete_one),
        ("a pod is deleted by force", partial(pods.delete_one, grace=0)),
        ("a server ends by SIGKILL", pods.kill_one),
    ]


def _kill_pods(caller: Caller, pods: Pods, report: Report) -> None:
    for what, kill in _kills(pods):
        with report.step(f"{what} under load") as step:
            with caller.under_load("1.0.0") as load:
                kill()
                pods.wait_until_settled(2)
            step.note(load.verdict())


def _roll(helm: Helm, scene: Scene, caller: Caller, pods: Pods, report: Report) -> None:
    with report.step("helm upgrade to version 1.1.0 under load") as step:
        with caller.under_load("1.0.0") as load:
            helm("upgrade", NAME, "--wait", "--timeout", "3m", values=_values(scene, "1.1.0"))
            pods.wait_until_settled(2)
        step.note(pods.seconds_to_ready())
        step.note(load.verdict())
        step.note(caller.call_once("1.1.0"))
    with report.step("helm upgrade to an image that does not exist goes back, under load") as step:
        with caller.under_load("1.1.0") as load:
            options = ("--wait", "--timeout", "30s", "--rollback-on-failure")
            done = helm("upgrade", NAME, *options, values=_values(scene, "9.9.9"), check=False)
            assert done.status != 0, "helm took it for good"
            pods.wait_until_settled(2)
            assert pods.image() == f"{scene.repository}:1.1.0", pods.image()
        step.note(done.errors.strip().splitlines()[-1][:150])
        step.note(load.verdict())


def _prepare(scene: Scene) -> None:
    scene.make_pull_secret(SPACE, "registry-login")
    scene.make_secret(SPACE, "boston-database", {"database-url": scene.database.new("helm")})
    scene.make_volume("helm-blobs", "ReadWriteMany", namespace=SPACE, claim=f"{NAME}-blobs")


def _refusal(scene: Scene) -> str:
    """What kubelet says of a pod that has the image's name but no pull secret."""
    container = {"name": "stranger", "image": f"{scene.repository}:1.0.0"}
    pod = {"metadata": {"name": "stranger"}, "spec": {"containers": [container]}}
    scene.api.create("pods", pod, namespace=SPACE)
    waits = scene.api.wait("pods", "stranger", "refused", _refused, namespace=SPACE, seconds=60)
    scene.api.delete("pods", "stranger", namespace=SPACE, grace=0)
    return _refused(waits)


def _refused(pod: Thing) -> str:
    for status in pod["status"].get("containerStatuses", []):
        waiting = status["state"].get("waiting", {})
        if waiting.get("reason") == "ErrImagePull":
            return str(waiting["message"]).rpartition(": ")[2]
    return ""


def _values(scene: Scene, tag: str) -> dict[str, Any]:
    return {
        "image": {"repository": scene.repository, "tag": tag},
        "imagePullSecrets": ["registry-login"],
        "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 3},
        "ingress": {"enabled": True, "hosts": ["models.example.com"]},
        "database": {"existingSecret": "boston-database"},
        "service": {"type": "LoadBalancer"},
        # All of the story has to fit on one small machine.
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
    }
