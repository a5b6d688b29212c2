"""Deployments that get ready, and those that do not."""

from __future__ import annotations

import base64
import re

import pytest

from gristmill.deploy.kubernetes import BadValues, Cluster, ClusterRefused, RolloutFailed
from gristmill.deploy.kubernetes.deploying import Deployed, deploy
from gristmill.deploy.kubernetes.planning import planned
from gristmill.deploy.kubernetes.removing import remove
from gristmill.deploy.kubernetes.reporting import report, reports
from gristmill.deploy.kubernetes.rollout import Rollout
from gristmill.deploy.kubernetes.waiting import Clock, Patience
from tests.fake_kubernetes import FakeKubernetes, Object

SHARED = ("database.existingSecret=pg", "replicas=2")
SECRETS = "/api/v1/namespaces/default/secrets"


def put(cluster: Cluster, clock: Clock, tag: str, *settings: str, keep_failed: bool = False) -> Deployed:
    plan = planned(f"registry.test/models/boston:{tag}", settings=settings)
    patience = Patience(whole=300, trouble=30)
    return deploy(cluster, plan, keep_failed=keep_failed, patience=patience, clock=clock)


def image_of(fake: FakeKubernetes, kind: str) -> str:
    (found,) = fake.of_kind(kind)
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.parametrize(("settings", "kind"), [((), "StatefulSet"), (SHARED, "Deployment")])
def test_an_image_runs_under_the_name_of_its_last_part(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock, settings: tuple[str, ...], kind: str
) -> None:
    done = put(cluster, clock, "good", *settings, "service.type=LoadBalancer")
    assert (done.name, done.image, done.first) == ("boston", "registry.test/models/boston:good", True)
    assert done.address.url == "http://192.0.2.7:12800"
    assert done.secret == "boston/admin-password"
    assert image_of(fake, kind) == done.image
    assert [each["metadata"]["name"] for each in fake.of_kind("Service")] == ["boston"]


def test_a_first_password_and_key_are_made_and_kept(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock
) -> None:
    put(cluster, clock, "good-1")
    made = dict(fake.objects[f"{SECRETS}/boston"]["data"])
    assert len(base64.b64decode(made["admin-password"])) == 24
    assert base64.b64decode(made["signing-key.pem"]).startswith(b"-----BEGIN PRIVATE KEY-----")
    assert not put(cluster, clock, "good-2").first
    assert fake.objects[f"{SECRETS}/boston"]["data"] == made
    put(cluster, clock, "good-3", "admin.password=another")
    assert base64.b64decode(fake.objects[f"{SECRETS}/boston"]["data"]["admin-password"]) == b"another"


@pytest.mark.parametrize("settings", [(), SHARED])
@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("missing", "ImagePullBackOff: no such image"),
        ("crash", "its container ended with Error (status 3), 2 times restarted"),
        ("huge", "no node takes it: 0/1 nodes are available: 1 Insufficient cpu."),
    ],
)
def test_what_does_not_get_ready_is_explained_and_what_ran_before_is_put_back(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock, tag: str, said: str, settings: tuple[str, ...]
) -> None:
    put(cluster, clock, "good-1", *settings, "podAnnotations.one=1")
    before = clock.now()
    with pytest.raises(RolloutFailed) as raised:
        put(cluster, clock, tag, *settings)
    assert 30 <= clock.now() - before < 60  # not before patience is over, and long before the time is
    told = str(raised.value)
    assert said in told
    assert "Failed: it is a bad one" in told
    assert "ValueError: no such model" in told
    assert "Rolled back: the revision before runs, registry.test/models/boston:good-1." in told
    (workload,) = fake.of_kind("Deployment" if settings else "StatefulSet")
    assert workload["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":good-1")
    assert workload["spec"]["template"]["metadata"]["annotations"]["one"] == "1"
    assert report(cluster, "boston", "default").rollout.done


def test_of_a_first_deployment_that_fails_only_the_volume_stays(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock
) -> None:
    with pytest.raises(RolloutFailed, match="first deployment"):
        put(cluster, clock, "crash", *SHARED)
    left = {each["kind"] for each in fake.objects.values()} - {"Event", "ReplicaSet"}
    assert left == {"Namespace", "PersistentVolumeClaim"}


def test_what_fails_can_be_kept_to_be_looked_at(cluster: Cluster, fake: FakeKubernetes, clock: Clock) -> None:
    put(cluster, clock, "good-1")
    with pytest.raises(RolloutFailed, match="left as it is"):
        put(cluster, clock, "crash", keep_failed=True)
    assert image_of(fake, "StatefulSet").endswith(":crash")
    found = report(cluster, "boston", "default")
    assert not found.rollout.done
    assert "2 times restarted" in found.why
    with pytest.raises(RolloutFailed, match=r"Rolled back: .*:good-1"):
        put(cluster, clock, "missing")


def test_a_pod_for_which_a_node_is_being_added_is_waited_for(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock
) -> None:
    def add_node(rollout: Rollout) -> None:
        for pod in rollout.pods:
            event = {
                "kind": "Event",
                "metadata": {"name": f"up-{pod.uid}"},
                "involvedObject": {"uid": pod.uid},
                "reason": "TriggeredScaleUp",
                "type": "Normal",
            }
            fake.put(f"/api/v1/namespaces/default/events/up-{pod.uid}", event)

    plan = planned("registry.test/boston:huge")
    with pytest.raises(RolloutFailed, match="not ready within 300 seconds: 0 of 1 ready"):
        deploy(cluster, plan, patience=Patience(whole=300), watch=add_node, clock=clock)
    assert clock.now() > 300


def test_what_values_no_longer_ask_for_goes_when_the_new_revision_is_ready(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock
) -> None:
    put(cluster, clock, "good", *SHARED, "ingress.enabled=true", "ingress.hosts={models.example.com}")
    assert fake.of_kind("Ingress")
    put(cluster, clock, "good", *SHARED, "podDisruptionBudget.enabled=false")
    assert not fake.of_kind("Ingress") + fake.of_kind("PodDisruptionBudget")
    put(cluster, clock, "good")
    assert not fake.of_kind("Deployment")
    assert fake.of_kind("StatefulSet")
    assert fake.of_kind("PersistentVolumeClaim")


@pytest.mark.parametrize(("owner", "said"), [("Helm", "is Helm's"), ("somebody", "did not make")])
def test_what_others_made_is_not_touched(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock, owner: str, said: str
) -> None:
    labels = {"app.kubernetes.io/managed-by": owner}
    theirs: Object = {"kind": "Deployment", "metadata": {"name": "boston", "labels": labels}, "status": {}}
    fake.put("/apis/apps/v1/namespaces/default/deployments/boston", theirs)
    with pytest.raises(BadValues, match=said):
        put(cluster, clock, "good")
    assert not any(each.startswith("PATCH") for each in fake.asked)


def test_a_namespace_is_made_only_when_that_is_asked_for(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock
) -> None:
    plan = planned("boston:good")
    with pytest.raises(
        BadValues, match=re.escape("there is no namespace models: make it with --create-namespace")
    ):
        deploy(cluster, plan, namespace="models", clock=clock)
    done = deploy(cluster, plan, namespace="models", create_namespace=True, clock=clock)
    assert done.namespace == "models"
    assert "/api/v1/namespaces/models/services/boston" in fake.objects


def test_who_may_not_look_at_namespaces_can_deploy_into_his(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock
) -> None:
    fake.forbidden.add("/api/v1/namespaces/default")
    assert put(cluster, clock, "good").name == "boston"


def test_a_deployment_is_reported_and_taken_away_and_its_volume_stays(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock
) -> None:
    put(cluster, clock, "good", *SHARED)
    (found,) = reports(cluster, "default")
    assert (found.name, found.kind, found.rollout.ready, found.manager) == (
        "boston",
        "Deployment",
        2,
        "gristmill",
    )
    assert "port-forward" in (found.address.advice or "")
    removed = remove(cluster, "boston", "default", volumes=False, clock=clock)
    assert "Deployment/boston" in removed
    assert {each["kind"] for each in fake.objects.values()} - {"Event", "ReplicaSet", "Namespace"} == {
        "PersistentVolumeClaim"
    }
    assert remove(cluster, "boston", "default", volumes=True, clock=clock) == [
        "PersistentVolumeClaim/boston-blobs"
    ]


def test_what_the_cluster_refuses_is_told_in_its_words_and_nothing_is_changed(
    cluster: Cluster, fake: FakeKubernetes, clock: Clock
) -> None:
    with pytest.raises(ClusterRefused, match="refused is invalid: spec: Forbidden"):
        deploy(cluster, planned("boston:good", name="refused"), clock=clock)
    assert [each["kind"] for each in fake.objects.values()] == ["Namespace"]


def test_a_volume_that_an_update_cannot_change_is_told_with_the_way_out(
    cluster: Cluster, clock: Clock
) -> None:
    put(cluster, clock, "good")
    with pytest.raises(ClusterRefused, match=r"volume of one box .* `gristmill deploy delete`, which keeps"):
        put(cluster, clock, "good", "persistence.size=20Gi")
