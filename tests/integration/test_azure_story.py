"""`gristmill azure deploy` from a folder to an address.

Azure, its registry, docker and Kubernetes are played; what is between them is all real: build, push,
roll-out, and Microsoft's clients.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

import gristmill.deploy.azure as azure_package
import gristmill.deploy.registry as registry_module
from gristmill.app.cli import app
from gristmill.deploy.azure.connection import Patience
from gristmill.deploy.registry import RegistryClient
from tests.azure_server import SUBSCRIPTION, AzureServer, StaticCredential
from tests.azure_specs_reader import find
from tests.fake_kubernetes import FakeKubernetes, running
from tests.programs import Programs

HOST = "deployreg.azurecr.io"
MANIFEST = json.dumps({"schemaVersion": 2, "config": {"size": 1}, "layers": []}).encode()
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
DOCKER = f"""
if "build" in words:
    open(words[words.index("--iidfile") + 1], "w").write("sha256:{"1f" * 32}")
elif "inspect" in words:
    print("sha256:{"1f" * 32} 1")
elif "push" in words:
    print("1.0.0: digest: {DIGEST} size: 1234")
"""
ARGUMENTS = ("-g", "deployresgrp", "--registry", "deployreg", "--cluster", "deployclus", "-l", "westeurope")


def registry_of_azure(request: httpx.Request) -> httpx.Response:
    """Azure Container Registry: a challenge, a token for the token, and one manifest."""
    if request.url.path == "/oauth2/token":
        operation = find(request.method, request.url.path)
        assert operation is not None
        assert (
            operation.complaints("", {"Content-Type": request.headers["Content-Type"]}, request.content) == []
        )
        assert b"refresh_token=token-of-the-registry" in request.content
        return httpx.Response(200, json={"access_token": "token-for-one-repository"})
    if request.headers.get("Authorization") != "Bearer token-for-one-repository":
        scope = "repository:bos-rf:pull"
        challenge = f'Bearer realm="https://{HOST}/oauth2/token",service="{HOST}",scope="{scope}"'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})
    assert request.url.path == "/v2/bos-rf/manifests/1.0.0"
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    return httpx.Response(200, content=MANIFEST, headers={"Content-Type": kind})


@pytest.fixture
def kubernetes() -> Iterator[tuple[FakeKubernetes, str]]:
    with running() as (fake, kubeconfig):
        yield fake, json.dumps(kubeconfig)


@pytest.fixture
def server(kubernetes: tuple[FakeKubernetes, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureServer]:
    """Azure, whose clusters are that Kubernetes, and whose registries hold what is pushed."""
    found = AzureServer()
    found.kubeconfig = kubernetes[1]
    real = azure_package.login

    def login(**given: Any) -> Any:
        given |= {"credential": StaticCredential(), "transport": found.transport}
        return real(**given, patience=Patience(between=0.01))

    def client(registry: str, **given: Any) -> RegistryClient:
        return RegistryClient(registry, **given, transport=httpx.MockTransport(registry_of_azure))

    monkeypatch.setattr(azure_package, "login", login)
    monkeypatch.setattr("gristmill.deploy.push.RegistryClient", client)
    monkeypatch.setattr(registry_module, "RegistryClient", client)
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    try:
        yield found
        assert found.complaints == []
    finally:
        found.close()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    made = Programs(tmp_path / "programs", monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bos-rf"
    made.mkdir()
    (made / "deploy.py").write_text("print('published')\n")
    (made / "gristmill.toml").write_text('base = "gristmill:0.1.0-python"\n')
    return made


def deploy(source: object, *more: str) -> Any:
    return CliRunner().invoke(app, ["azure", "deploy", str(source), *ARGUMENTS, *more])


def test_from_a_folder_to_an_address_and_again(
    server: AzureServer, kubernetes: tuple[FakeKubernetes, str], programs: Programs, folder: Path
) -> None:
    fake, _ = kubernetes
    programs.add("docker", DOCKER)
    first = deploy(folder, "--tag", "bos-rf:1.0.0", "--namespace", "models")

    assert first.exit_code == 0, first.output
    assert "Address: http://192.0.2.7:12800" in first.stdout
    assert f"bos-rf runs {HOST}/bos-rf@{DIGEST}." in first.stdout
    assert "Password of admin: kubectl --namespace models get secret" in first.stdout
    (workload,) = fake.of_kind("StatefulSet")
    assert workload["spec"]["template"]["spec"]["containers"][0]["image"] == f"{HOST}/bos-rf@{DIGEST}"
    (login,) = [call for call in programs.calls if "login" in call["words"]]
    assert login["words"][-1] == HOST
    assert login["input"].strip() == "token-of-the-registry"
    assert "token-of-the-registry" not in first.output

    server.asked.clear()
    again = deploy(folder, "--tag", "bos-rf:1.0.0", "--namespace", "models")
    assert again.exit_code == 0, again.output
    assert "Password" not in again.stdout
    made = {"ResourceGroups_CreateOrUpdate", "Registries_Create", "ManagedClusters_CreateOrUpdate"}
    assert made.isdisjoint(server.asked)


def test_an_image_that_is_in_the_registry_needs_no_builder(
    server: AzureServer, kubernetes: tuple[FakeKubernetes, str], programs: Programs
) -> None:
    done = deploy(f"{HOST}/bos-rf:1.0.0")

    assert done.exit_code == 0, done.output
    assert f"bos-rf runs {HOST}/bos-rf@{DIGEST}." in done.stdout
    assert programs.calls == []


def test_without_a_builder_nothing_is_made_in_azure(
    server: AzureServer, programs: Programs, folder: Path
) -> None:
    done = deploy(folder)

    assert done.exit_code != 0
    assert "no docker, podman or buildah" in done.stderr
    assert server.asked == []


def test_a_build_that_fails_makes_nothing_in_azure(
    server: AzureServer, programs: Programs, folder: Path
) -> None:
    programs.add("docker", 'if "build" in words:\n    print("Step 1/3 : FROM base")\n    sys.exit(1)')
    done = deploy(folder)

    assert done.exit_code != 0
    assert "Error: " in done.stderr
    assert server.asked == []
