"""A cluster to work with, and what is said where it cannot be reached or refuses."""

from __future__ import annotations

import copy
import json
import stat
from pathlib import Path

import pytest
import yaml

from gristmill.deploy.kubernetes import (
    BadKubeconfig,
    BadValues,
    Cluster,
    ClusterRefused,
    ClusterUnreachable,
    LoginRefused,
    NotAllowed,
    NotThere,
)
from tests.fake_kubernetes import FakeKubernetes, Object


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_objects_are_applied_listed_and_deleted(
    cluster: Cluster, fake: FakeKubernetes, tmp_path: Path
) -> None:
    manifest = tmp_path / "two.yaml"
    manifest.write_text(yaml.safe_dump_all([config_map("a", x="1"), config_map("b")]))
    assert [each["metadata"]["namespace"] for each in cluster.apply(manifest)] == ["default", "default"]
    listing = cluster.get("configmaps")
    assert [each["metadata"]["name"] for each in listing] == ["a", "b"]
    assert str(listing).splitlines() == ["NAME", "a", "b"]
    assert cluster.get("configmap/a")[0]["data"] == {"x": "1"}
    assert cluster.delete(manifest) == ["ConfigMap/b", "ConfigMap/a"]
    assert cluster.delete("configmap", "a") == []
    assert str(cluster.get("configmap")) == "No configmaps in the namespace default."


@pytest.mark.parametrize("word", ["service", "services", "svc", "Service"])
def test_kinds_are_called_as_people_call_them(cluster: Cluster, word: str) -> None:
    assert cluster.get(word) == []


def test_text_lists_and_folders_are_manifests_too(cluster: Cluster, tmp_path: Path) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [config_map("c"), config_map("d")]}
    (tmp_path / "list.json").write_text(json.dumps(listed))
    (tmp_path / "notes.txt").write_text("not a manifest")
    assert len(cluster.apply(tmp_path)) == 2
    assert len(cluster.apply(yaml.safe_dump(config_map("e")))) == 1
    assert len(cluster.apply([config_map("f"), config_map("g")], namespace="other")) == 2
    assert len(cluster.get("configmaps", namespace="other")) == 2


def test_a_dry_run_keeps_nothing(cluster: Cluster, fake: FakeKubernetes) -> None:
    cluster.apply(config_map("a"), dry_run=True)
    assert fake.of_kind("ConfigMap") == []


@pytest.mark.parametrize("bad", ["a: 1\n", "- 1\n- 2\n", "kind: [\n", "kind: X\nmetadata: {}\n", "\n\n"])
def test_what_is_no_manifest_says_so(cluster: Cluster, bad: str) -> None:
    with pytest.raises(BadValues):
        cluster.apply(bad)


@pytest.mark.parametrize("name", ["../secrets/x", "a/b", "a?x=1", "a\nb", ""])
def test_a_name_cannot_leave_its_path(cluster: Cluster, fake: FakeKubernetes, name: str) -> None:
    before = len(fake.asked)
    with pytest.raises(BadValues):
        cluster.get("pods", name)
    with pytest.raises(BadValues):
        cluster.logs(name)
    assert len(fake.asked) == before


def test_what_is_not_there_is_named(cluster: Cluster) -> None:
    with pytest.raises(NotThere, match="no objects called 'unicorns'"):
        cluster.get("unicorns")
    with pytest.raises(NotThere):
        cluster.get("pod", "none")
    with pytest.raises(NotThere, match=r"knows no Unicorn of example\.com/v1"):
        cluster.apply({"apiVersion": "example.com/v1", "kind": "Unicorn", "metadata": {"name": "x"}})


def test_refusals_say_who_refused_whom(cluster: Cluster, fake: FakeKubernetes, kubeconfig: Object) -> None:
    fake.forbidden.add("/api/v1/namespaces/default/pods")
    with pytest.raises(NotAllowed, match=r"is forbidden.*context 'test'"):
        cluster.get("pods")
    with pytest.raises(ClusterRefused, match="refused is invalid"):
        cluster.apply(config_map("refused"))
    fake.token = "another"
    with pytest.raises(LoginRefused, match=r"does not take the credentials of context 'test'.*expired"):
        cluster.get("services")


def test_a_failing_server_is_asked_again(
    cluster: Cluster, fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.deploy.kubernetes.api.time.sleep", lambda _: None)
    fake.failures = [500, 503, 429]
    assert cluster.get("services") == []
    fake.failures = [500] * 4
    with pytest.raises(ClusterUnreachable, match="failed: trouble in the server"):
        cluster.get("pods")


def test_a_cluster_that_is_away_is_named_with_its_file(tmp_path: Path, kubeconfig: Object) -> None:
    away = copy.deepcopy(kubeconfig)
    away["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(away))
    with (
        Cluster(path) as cluster,
        pytest.raises(ClusterUnreachable, match=rf"http://127.0.0.1:1 \(context 'test' of {path}\)"),
    ):
        cluster.version()


def test_the_version_is_two_numbers(cluster: Cluster, fake: FakeKubernetes) -> None:
    assert cluster.version() == (1, 33)
    fake.version = {"major": "1", "minor": "20"}
    assert cluster.version() == (1, 20)


def test_a_kubeconfig_that_is_missing_or_broken_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubeconfig: Object
) -> None:
    with pytest.raises(BadKubeconfig, match=r"no kubeconfig at .*none: name one by --kubeconfig"):
        Cluster(tmp_path / "none")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(BadKubeconfig, match="nowhere"):
        Cluster()
    for text, said in (("a: [", "is not YAML"), ("- 1", "is not a kubeconfig"), ("{}", "no current context")):
        (tmp_path / "config").write_text(text)
        with pytest.raises(BadKubeconfig, match=said):
            Cluster(tmp_path / "config")
    with pytest.raises(
        BadKubeconfig, match="no context 'other' in the kubeconfig that was given; it has test"
    ):
        Cluster(kubeconfig, context="other")
    broken = copy.deepcopy(kubeconfig)
    broken["contexts"][0]["context"]["cluster"] = "gone"
    with pytest.raises(BadKubeconfig, match="names 'gone', which the file does not describe"):
        Cluster(broken)


def test_several_files_of_the_environment_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubeconfig: Object
) -> None:
    users = {"users": kubeconfig.pop("users")}
    for name, content in (("one", kubeconfig), ("two", users)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/one:{tmp_path}/missing:{tmp_path}/two")
    with Cluster() as cluster:
        assert cluster.get("services") == []


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_credentials_plugin_is_run(tmp_path: Path, kubeconfig: Object, version: str) -> None:
    plugin = tmp_path / "login"
    plugin.write_text(
        "#!/bin/sh\n"
        f'case "$KUBERNETES_EXEC_INFO" in *client.authentication.k8s.io/{version}*) ;; *) exit 3 ;; esac\n'
        """echo '{"kind": "ExecCredential", "status": {"token": "right"}}'\n"""
    )
    plugin.chmod(stat.S_IRWXU)
    run = {"apiVersion": f"client.authentication.k8s.io/{version}", "command": str(plugin)}
    kubeconfig["users"][0]["user"] = {"exec": run}
    with Cluster(kubeconfig) as cluster:
        assert cluster.get("services") == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "gave no credentials"),
        ("exit 4", "returned 4"),
        ("echo '{}'", "no token in what the plugin answered"),
        ("echo nonsense", "no token in what the plugin answered"),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_hint(
    tmp_path: Path, kubeconfig: Object, script: str | None, said: str
) -> None:
    plugin = tmp_path / "kubelogin"
    if script is not None:
        plugin.write_text(f"#!/bin/sh\n{script}\n")
        plugin.chmod(stat.S_IRWXU)
    run = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": str(plugin),
        "installHint": "Install it by az aks install-cli",
    }
    kubeconfig["users"][0]["user"] = {"exec": run}
    with Cluster(kubeconfig) as cluster, pytest.raises(BadKubeconfig, match=said) as raised:
        cluster.get("services")
    assert "Install it by az aks install-cli" in str(raised.value)
