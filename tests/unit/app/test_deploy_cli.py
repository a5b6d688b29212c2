"""`gristmill deploy` as it is typed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from gristmill.app.cli import app
from tests.fake_kubernetes import FakeKubernetes, running


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """A cluster that KUBECONFIG names."""
    with running() as (fake, kubeconfig):
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig))
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield fake


def deploy(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(app, ["deploy", *arguments], input=input)


def test_an_image_is_deployed_without_a_word_for_it(fake: FakeKubernetes) -> None:
    done = deploy("registry.test/boston:good", "--service-type", "LoadBalancer")
    assert done.exit_code == 0, done.output
    assert "boston runs registry.test/boston:good." in done.stdout
    assert "Address: http://192.0.2.7:12800" in done.stdout
    assert (
        "get secret boston --output go-template='{{index .data \"admin-password\" | base64decode}}'"
        in done.stdout
    )
    assert "boston: 1 of 1 ready" in done.stderr


def test_options_may_come_before_the_image(fake: FakeKubernetes) -> None:
    assert deploy("--name", "other", "registry.test/boston:good").exit_code == 0
    assert "/apis/apps/v1/namespaces/default/statefulsets/other" in fake.objects


def test_the_words_of_the_group_are_commands(fake: FakeKubernetes) -> None:
    deploy("registry.test/boston:good")
    listed = deploy("status")
    assert listed.stdout.split("\t") == ["boston", "registry.test/boston:good", "1/1", "-", "gristmill\n"]
    assert "state\tready" in deploy("status", "boston").stdout
    assert deploy("delete", "boston").exit_code == 2  # nobody to ask
    assert "Deleted StatefulSet/boston." in deploy("delete", "boston", "--yes").stdout
    gone = deploy("status", "boston")
    assert (gone.exit_code, gone.stderr) == (
        4,
        "Error: nothing is deployed as boston in the namespace default\n",
    )


def test_a_dry_run_prints_what_kubectl_takes_and_no_secret_and_asks_no_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    done = deploy("boston:1", "-n", "models", "--password-stdin", "--dry-run", input="a good password\n")
    assert done.exit_code == 0, done.output
    objects = list(yaml.safe_load_all(done.stdout))
    kinds = {each["kind"] for each in objects}
    assert kinds == {"ServiceAccount", "Secret", "NetworkPolicy", "Service", "StatefulSet"}
    (secret,) = (each for each in objects if each["kind"] == "Secret")
    assert set(secret["data"].values()) == {"<hidden>"}


def test_a_pull_secret_is_made_of_a_login_whose_password_comes_by_standard_input(
    fake: FakeKubernetes,
) -> None:
    flags = ["--registry-username", "ann", "--registry-password-stdin"]
    assert deploy("registry.test:5000/boston:good", *flags, input="s3cret\n").exit_code == 0
    made = fake.objects["/api/v1/namespaces/default/secrets/boston-pull"]
    login = json.loads(base64.b64decode(made["data"][".dockerconfigjson"]))["auths"]["registry.test:5000"]
    assert (login["username"], login["password"]) == ("ann", "s3cret")
    (pod,) = fake.of_kind("Pod")
    assert pod["spec"]["imagePullSecrets"] == [{"name": "boston-pull"}]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["boston:1", "--replicas", "2"], 5, "more than one needs a database"),
        (["Boston 1"], 5, "not the name of an image"),
        (["boston:1", "--name", "a_b"], 5, "the name 'a_b'"),
        (["boston:1", "-n", "A"], 5, "the namespace 'A'"),
        (["boston:1", "--set", "x"], 5, "expected path=value"),
        (["boston:1", "--registry-username", "ann"], 2, "no password for ann at the registry"),
        (["boston:1", "--registry-password-stdin"], 2, "goes with --registry-username"),
        (["boston:1", "--registry-password-stdin", "--password-stdin"], 2, "holds one password"),
        (["boston:1", "--admin-password-from", "/nowhere"], 4, "cannot be read"),
        (["boston:1", "--kubeconfig", "/nowhere"], 5, "no kubeconfig at /nowhere"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    fake: FakeKubernetes, arguments: list[str], code: int, said: str
) -> None:
    done = deploy(*arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output
    assert fake.asked == []


def test_a_deployment_that_fails_ends_with_1_and_the_pods_own_words(fake: FakeKubernetes) -> None:
    deploy("registry.test/boston:good")
    done = deploy("registry.test/boston:crash", "--patience", "0")
    assert done.exit_code == 1
    assert "ValueError: no such model" in done.stderr
    assert "Rolled back" in done.stderr
