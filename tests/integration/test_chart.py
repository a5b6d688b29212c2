"""The Helm chart: what it renders is valid, cannot but work, and is what `gristmill deploy` applies."""

from __future__ import annotations

import base64
import copy
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gristmill.deploy.kubernetes import BadValues
from gristmill.deploy.kubernetes.objects import objects
from gristmill.deploy.kubernetes.release import Release
from gristmill.deploy.kubernetes.values import checked, defaults, with_setting

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/gristmill"
SHARED = ["database.existingSecret=postgres"]
#: Those that Azure's Kubernetes Service supports.
VERSIONS = ["1.33", "1.34", "1.35"]

MATRIX: dict[str, list[str]] = {
    "one box": [],
    "one box, no volume": ["persistence.enabled=false"],
    "one box, its own volume": ["persistence.existingClaim=models", "persistence.storageClass=fast"],
    "one box, secrets that exist": ["admin.existingSecret=a", "signingKey.existingSecret=b"],
    "balanced": [
        "service.type=LoadBalancer",
        "service.port=80",
        "service.externalTrafficPolicy=Local",
        "service.loadBalancerSourceRanges={192.0.2.0/24,2001:db8::/32}",
        r"service.annotations.service\.beta\.kubernetes\.io/azure-load-balancer-internal=true",
        "service.sessionAffinity=ClientIP",
    ],
    "on nodes": ["service.type=NodePort", "service.nodePort=30128"],
    "replicas": [*SHARED, "replicas=3"],
    "replicas, url": ["database.url=postgresql+psycopg://u:p%40ss@pg:5432/g?sslmode=require", "replicas=2"],
    "replicas, all secrets exist": [
        *SHARED,
        "admin.existingSecret=a",
        "admin.secretKey=password",
        "signingKey.existingSecret=b",
        "signingKey.secretKey=key.pem",
        "blobs.existingClaim=shared",
    ],
    "scaled": [*SHARED, "autoscaling.enabled=true", "autoscaling.memory=80"],
    "scaled by memory": [*SHARED, "autoscaling.enabled=true", "autoscaling.cpu=0", "autoscaling.memory=80"],
    "behind TLS": [
        "ingress.enabled=true",
        "ingress.hosts={models.example.com,*.models.example.com}",
        "ingress.className=nginx",
        r"ingress.annotations.cert-manager\.io/cluster-issuer=letsencrypt",
    ],
    "behind a proxy without TLS": [
        "ingress.enabled=true",
        "ingress.hosts={a.example.com}",
        "ingress.tls.enabled=false",
        "ingress.path=/models",
    ],
    "cut off": [
        "networkPolicy.egress.internet=false",
        *SHARED,
        "networkPolicy.from[0].podSelector.matchLabels.app=web",
    ],
    "open": ["networkPolicy.enabled=false", "serviceAccount.create=false"],
    "private registry": [
        "image.repository=reg.example.com:5000/models/boston",
        "image.tag=1.0.0",
        "imagePullSecrets[0]=acr",
        "imageCredentials.registry=reg.example.com:5000",
        "imageCredentials.username=ann",
        "imageCredentials.password=<p&\"ss'w>",
    ],
    "by digest": [f"image.digest=sha256:{'0a' * 32}", "image.pullPolicy=Always"],
    "tuned": [
        "settings.pool-initial=4",
        "settings.queue-seconds=0.5",
        "settings.log-scoring=true",
        "settings.shell-network=false",
        "resources.limits.cpu=2",
        "resources.requests.memory=512Mi",
        "drainSeconds=60",
        "startupSeconds=900",
        "env[0].name=HTTPS_PROXY",
        "env[0].value=http://proxy:3128",
        "nodeSelector.kubernetes\\.io/os=linux",
        "podAnnotations.team=models",
        "podLabels.tier=scoring",
        "priorityClassName=high",
        "tolerations[0].key=models",
        "tolerations[0].operator=Exists",
        "serviceAccount.name=scorer",
        "fullnameOverride=boston",
    ],
    "no wait before the drain": [*SHARED, "preStopSeconds=0", "podDisruptionBudget.maxUnavailable=50%"],
}


@pytest.fixture(scope="session")
def helm() -> Path:
    done = subprocess.run(
        [ROOT / "scripts/setup-kubernetes-tools"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"helm is not here: {done.stderr.strip()}")
    return Path(done.stdout.strip()) / "helm"


def values_of(settings: Sequence[str]) -> dict[str, Any]:
    values = defaults()
    for setting in settings:
        values = with_setting(values, setting)
    return values


def template(
    helm: Path, tmp_path: Path, values: dict[str, Any], *flags: str
) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    command = [
        str(helm),
        "template",
        "demo",
        str(CHART),
        "--namespace",
        "models",
        "--values",
        str(path),
        *flags,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(helm: Path, tmp_path: Path, settings: Sequence[str], *flags: str) -> list[Any]:
    done = template(helm, tmp_path, values_of(settings), *flags)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def test_the_chart_passes_helms_own_checks(helm: Path) -> None:
    done = subprocess.run([helm, "lint", "--strict", CHART], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("settings", MATRIX.values(), ids=MATRIX)
def test_what_it_renders_is_valid(helm: Path, tmp_path: Path, settings: list[str], version: str) -> None:
    found = rendered(helm, tmp_path, settings, "--kube-version", version)
    assert {"Service", "Pod"} <= {each["kind"] for each in found}
    for each in found:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", ["1.20", "1.22", "1.29", "1.33"])
@pytest.mark.parametrize("settings", MATRIX.values(), ids=MATRIX)
def test_gristmill_deploy_makes_the_same_objects(
    helm: Path, tmp_path: Path, settings: list[str], version: str
) -> None:
    found = rendered(helm, tmp_path, settings, "--no-hooks", "--kube-version", version)
    secrets: dict[str, str] = {}
    for each in found:
        labels = each["metadata"]["labels"]
        assert labels.pop("helm.sh/chart") == "gristmill-0.1.0"
        assert labels.pop("app.kubernetes.io/managed-by") == "Helm"
        if each["kind"] == "Secret" and each["type"] == "Opaque":
            secrets = {key: base64.b64decode(value).decode() for key, value in each["data"].items()}
    values = checked(values_of(settings))
    major, minor = map(int, version.split("."))
    release = Release(
        name=values["fullnameOverride"] or "demo",
        namespace="models",
        values=values,
        secrets=secrets,
        kubernetes=(major, minor),
    )
    made = copy.deepcopy(objects(release))
    for each in made:
        assert each["metadata"]["labels"].pop("app.kubernetes.io/managed-by") == "gristmill"
    assert by_name(made) == by_name(found)


def by_name(found: list[Any]) -> dict[tuple[str, str], Any]:
    named = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(named) == len(found)
    return named


def test_older_clusters_get_older_apis(helm: Path, tmp_path: Path) -> None:
    settings = [*SHARED, "autoscaling.enabled=true"]

    def apis(version: str) -> dict[str, str]:
        found = rendered(helm, tmp_path, settings, "--kube-version", version)
        return {each["kind"]: each["apiVersion"] for each in found}

    old, new = apis("1.20"), apis("1.33")
    assert (old["HorizontalPodAutoscaler"], old["PodDisruptionBudget"]) == (
        "autoscaling/v2beta2",
        "policy/v1beta1",
    )
    assert (new["HorizontalPodAutoscaler"], new["PodDisruptionBudget"]) == ("autoscaling/v2", "policy/v1")
    assert "incompatible" in template(helm, tmp_path, defaults(), "--kube-version", "1.19").stderr


@pytest.mark.parametrize("settings", MATRIX.values(), ids=MATRIX)
def test_every_container_has_no_more_rights_than_it_needs(
    helm: Path, tmp_path: Path, settings: list[str]
) -> None:
    for each in rendered(helm, tmp_path, settings):
        spec = each["spec"] if each["kind"] == "Pod" else each.get("spec", {}).get("template", {}).get("spec")
        if spec is None:
            continue
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
            assert "/tmp" in mounted


@pytest.mark.parametrize(
    "settings", [[*SHARED], ["drainSeconds=0"], [*SHARED, "drainSeconds=90", "preStopSeconds=20"]]
)
def test_a_pod_is_given_the_time_that_its_drain_takes(
    helm: Path, tmp_path: Path, settings: list[str]
) -> None:
    (found,) = (
        each for each in rendered(helm, tmp_path, settings) if each["kind"] in {"Deployment", "StatefulSet"}
    )
    values = values_of(settings)
    spec = found["spec"]["template"]["spec"]
    lifecycle = spec["containers"][0].get("lifecycle")
    before = lifecycle["preStop"]["sleep"]["seconds"] if lifecycle else 0
    assert spec["terminationGracePeriodSeconds"] >= values["drainSeconds"] + before + 10


REFUSED = [
    ["bogus=1"],
    ["image.tag=a/b"],
    ["image.repository=-x"],
    ["image.repository=a b"],
    ["image.digest=sha256:1"],
    ["service.type=Foo"],
    ["service.port=0"],
    ["fullnameOverride=A_b"],
    ["settings.data=/x"],
    ["settings.NAME=x"],
    ["env[0].name=A-B"],
    ["admin.existingSecret=A"],
    ["persistence.size=lots"],
    ["resources.limits.memory=lots"],
    ["ingress.enabled=true", "ingress.hosts={not_a_host}"],
    ["database.url=mysql://a"],
    ["replicas=2"],
    ["autoscaling.enabled=true"],
    [*SHARED, "autoscaling.enabled=true", "autoscaling.minReplicas=9"],
    [*SHARED, "autoscaling.enabled=true", "autoscaling.cpu=0"],
    [*SHARED, "database.url=postgresql://a/b"],
    ["admin.existingSecret=a", "admin.password=b"],
    ["ingress.enabled=true"],
    ["imageCredentials.username=ann"],
    ["service.nodePort=30000"],
    ["service.externalTrafficPolicy=Local"],
    ["service.loadBalancerSourceRanges={192.0.2.0/24}"],
]


@pytest.mark.parametrize("settings", REFUSED, ids=", ".join)
def test_helm_and_gristmill_deploy_refuse_the_same(helm: Path, tmp_path: Path, settings: list[str]) -> None:
    values = values_of(settings)
    done = template(helm, tmp_path, values)
    assert done.returncode != 0
    with pytest.raises(BadValues) as raised:
        checked(values)
    if "checks.yaml" in done.stderr:  # a combination: both say it in the same words
        assert str(raised.value) in done.stderr


def test_line_breaks_get_into_no_name(helm: Path, tmp_path: Path) -> None:
    for section, key in (("image", "tag"), ("image", "repository"), ("admin", "existingSecret")):
        values = values_of([])
        values[section][key] = "x\n    privileged: true"
        assert f"/{section}/{key}" in template(helm, tmp_path, values).stderr


def test_plain_manifests_and_the_copies_of_values_are_up_to_date(helm: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts/manifests", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["one-box", "replicated"])
def test_plain_manifests_are_valid_and_hold_no_secret(name: str) -> None:
    found = list(yaml.safe_load_all((ROOT / f"deploy/kubernetes/{name}.yaml").read_text()))
    assert "Secret" not in {each["kind"] for each in found}
    for each in found:
        assert "namespace" not in each["metadata"]
        for version in VERSIONS:
            kubernetes_validate.validate(each, version, strict=True)
