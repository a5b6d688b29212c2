"""One box by Helm: what was published while it ran is still there when its pod is another one."""

from __future__ import annotations

from typing import Any

from tests.cluster.asking import Caller
from tests.cluster.chapter_helm import Helm
from tests.cluster.pods import Pods, explain
from tests.cluster.report import Report
from tests.cluster.scene import Scene

__all__ = ["play"]

SPACE, NAME = "story-one-box", "box"
PATIENTLY = ("--wait", "--timeout", "3m")


def double(x: float) -> float:
    """Published while the box runs: the image knows nothing of it."""
    return 2 * x


def play(scene: Scene, report: Report) -> None:
    """The chapter."""
    helm = Helm(scene, SPACE)
    pods = Pods(scene.api, scene.cluster.node, SPACE, NAME)
    with report.chapter("Helm: one box with a volume", lambda: explain(scene.api, SPACE)):
        with report.step("helm install: one box") as step:
            scene.make_namespace(SPACE)
            scene.make_volume("box-data", "ReadWriteOnce", namespace=SPACE, claim=f"data-{NAME}-0")
            helm("install", NAME, *PATIENTLY, values=_values(scene, "1.0.0"))
            pods.wait_until_settled(1, kind="statefulsets")
            step.note(pods.seconds_to_ready())
        password = scene.secret(SPACE, NAME, "admin-password")
        caller = Caller(scene.address(SPACE, NAME), password, scene.boston)
        with report.step("log in, call, and publish another service") as step:
            step.note(caller.call_once("1.0.0"))
            service = caller.log_in().publish("double", double, version="1.0.0")
            assert service(21.0).output() == 42.0
        with report.step("its pod is deleted under load: the next one has all, and takes old tokens") as step:
            with caller.under_load("1.0.0") as load:
                pods.delete_one()
                pods.wait_until_settled(1, kind="statefulsets")
                assert service(21.0).output() == 42.0
            step.note(pods.seconds_to_ready())
            step.note(load.verdict())
        with report.step("helm upgrade to 1.1.0 under load: all that was there is there") as step:
            with caller.under_load("1.0.0") as load:
                helm("upgrade", NAME, *PATIENTLY, values=_values(scene, "1.1.0"))
                pods.wait_until_settled(1, kind="statefulsets")
                assert service(21.0).output() == 42.0
            step.note(load.verdict())
            step.note(caller.call_once("1.1.0"))


def _values(scene: Scene, tag: str) -> dict[str, Any]:
    registry = scene.registry
    login = {"registry": registry.address, "username": registry.username, "password": registry.password}
    return {
        "image": {"repository": scene.repository, "tag": tag},
        "imageCredentials": login,
        "service": {"type": "LoadBalancer"},
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
    }
