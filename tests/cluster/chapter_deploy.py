"""`gristmill deploy` by somebody with rights in one namespace only, and what it says of bad images."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.asking import Caller
from tests.cluster.commands import Done, gristmill
from tests.cluster.pods import Pods, explain
from tests.cluster.report import Report
from tests.cluster.scene import Scene

__all__ = ["play"]

SPACE, NAME = "story-deploy", "boston"


class Deploy:
    """`gristmill deploy` with the options that every call of the chapter has."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        scene.cluster.pki.add_user("shipper", user="shipper")
        self._where = ["--kubeconfig", str(scene.cluster.pki.kubeconfig("shipper")), "--namespace", SPACE]

    def image(self, tag: str, *, check: bool = True) -> Done:
        """Deploy this one."""
        settings = [
            "database.existingSecret=boston-database",
            "resources.requests.cpu=100m",
            "resources.requests.memory=256Mi",
        ]
        return gristmill(
            *("deploy", f"{self._scene.repository}:{tag}", *self._where, "--name", NAME),
            *("--replicas", "2", "--service-type", "LoadBalancer", "--patience", "10", "--timeout", "180"),
            *("--registry-username", self._scene.registry.username),
            *(part for each in settings for part in ("--set", each)),
            environment={"GRISTMILL_REGISTRY_PASSWORD": self._scene.registry.password},
            check=check,
        )

    def __call__(self, *arguments: str | Path) -> Done:
        return gristmill("deploy", *arguments, *self._where)


def play(scene: Scene, report: Report) -> None:
    """The chapter."""
    pods = Pods(scene.api, scene.cluster.node, SPACE, NAME)
    with report.chapter("gristmill deploy: two replicas", lambda: explain(scene.api, SPACE)):
        with report.step("gristmill deploy, with rights in its namespace only") as step:
            _prepare(scene)
            deploy = Deploy(scene)
            done = deploy.image("1.0.0")
            pods.wait_until_settled(2)
            url = scene.address(SPACE, NAME)
            assert url in done.output, done.said
            step.note(pods.seconds_to_ready())
        caller = Caller(url, scene.secret(SPACE, NAME, "admin-password"), scene.boston)
        with report.step("gristmill login, and gristmill call") as step:
            step.note(caller.call_by_command_line("1.0.0"))
        with report.step("gristmill deploy of version 1.1.0 under load") as step:
            with caller.under_load("1.0.0") as load:
                deploy.image("1.1.0")
                pods.wait_until_settled(2)
            step.note(load.verdict())
            step.note(caller.call_once("1.1.0"))
        _bad_images(deploy, scene, caller, pods, report)
        with report.step("gristmill deploy status, and delete") as step:
            assert "1.1.0" in deploy("status", NAME).output
            deploy("delete", NAME, "--yes", "--volumes")
            scene.cluster.node.wait_for("the end of its pods", lambda: not pods.now(), seconds=120)
            left = [each["metadata"]["name"] for each in scene.api.list("services", namespace=SPACE)]
            assert not left, left


def _bad_images(deploy: Deploy, scene: Scene, caller: Caller, pods: Pods, report: Report) -> None:
    for tag, what, reason in (
        ("9.9.9", "an image that does not exist", "9.9.9"),
        ("broken", "an image whose script fails", "the forest is worse than the mean"),
    ):
        with report.step(f"gristmill deploy of {what} says why, and goes back, under load") as step:
            with caller.under_load("1.1.0") as load:
                done = deploy.image(tag, check=False)
                assert done.status != 0, f"it took it for good:\n{done.said}"
                assert reason in done.said, f"it does not say why:\n{done.said}"
                pods.wait_until_settled(2)
                assert pods.image() == f"{scene.repository}:1.1.0", pods.image()
            step.note(next(line.strip() for line in done.said.splitlines() if reason in line)[:150])
            step.note(load.verdict())


def _prepare(scene: Scene) -> None:
    scene.make_namespace(SPACE)
    scene.make_secret(SPACE, "boston-database", {"database-url": scene.database.new("deploy")})
    scene.make_volume("deploy-blobs", "ReadWriteMany", namespace=SPACE, claim=f"{NAME}-blobs")
    rights = {
        "metadata": {"name": "shipper"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "shipper"}],
    }
    scene.api.create("rolebindings", rights, namespace=SPACE)
