"""`gristmill azure`, with Microsoft's clients, against the server that stands for Azure."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

import gristmill.deploy.azure as azure_package
from gristmill.app.cli import app
from gristmill.deploy.azure.connection import Patience
from gristmill.deploy.images import ImageReference
from gristmill.deploy.push import Pushed
from tests.azure_server import SUBSCRIPTION, AzureServer, StaticCredential, failure
from tests.azure_specs_reader import find

Run = Callable[..., Any]
IN_GROUP = ("--resource-group", "deployresgrp")
ALL_THREE = (*IN_GROUP, "--registry", "deployreg", "--cluster", "deployclus")
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def server() -> Iterator[AzureServer]:
    found = AzureServer()
    try:
        yield found
        assert found.complaints == []
    finally:
        found.close()


@pytest.fixture
def run(server: AzureServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command line, as one who is logged in to that Azure."""
    real = azure_package.login

    def login(**given: Any) -> Any:
        given = {"credential": StaticCredential(), "transport": server.transport, **given}
        return real(**given, patience=Patience(between=0.01))

    monkeypatch.setattr(azure_package, "login", login)
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["azure", *arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bos-rf"
    made.mkdir()
    (made / "deploy.py").write_text("print('published')\n")
    return made


def test_the_steps_one_by_one(run: Run, server: AzureServer) -> None:
    assert run("group", "create", "deployresgrp", "--location", "westeurope").exit_code == 0
    made = run("registry", "create", "deployreg", *IN_GROUP, "--json")
    assert json.loads(made.stdout)["address"] == "deployreg.azurecr.io"
    made = run(
        "cluster", "create", "deployclus", *IN_GROUP, "--nodes", "3", "--registry", "deployreg", "--json"
    )
    assert json.loads(made.stdout)["nodes"] == 3
    assert server.asked[-1] == "RoleAssignments_Create"

    assert run("group", "list").stdout == "deployresgrp\twesteurope\n"
    assert run("registry", "list", *IN_GROUP).stdout.startswith("deployreg\tdeployreg.azurecr.io\tBasic\t")
    assert run("cluster", "list", *IN_GROUP).stdout.startswith("deployclus\t")
    assert "deployclus" in run("group", "show", "deployresgrp").stdout
    assert "deployreg.azurecr.io" in run("registry", "show", "deployreg", *IN_GROUP).stdout
    assert "Succeeded" in run("cluster", "show", "deployclus", *IN_GROUP).stdout

    assert run("cluster", "delete", "deployclus", *IN_GROUP, "--yes").exit_code == 0
    assert run("registry", "delete", "deployreg", *IN_GROUP, "--yes").exit_code == 0
    assert run("group", "delete", "deployresgrp", "--yes").exit_code == 0
    assert [each for each in server.things if "roleassignments" not in each] == []


def test_long_operations_are_told_line_by_line_where_no_line_can_change(run: Run) -> None:
    run("group", "create", "deployresgrp", "-l", "westeurope")
    made = run("cluster", "create", "deployclus", *IN_GROUP)

    assert "creating the cluster deployclus: InProgress, 0:00\n" in made.stderr
    assert "creating the cluster deployclus: Succeeded, 0:00\n" in made.stderr


def test_nothing_is_deleted_unless_somebody_says_yes(run: Run, server: AzureServer) -> None:
    run("group", "create", "deployresgrp", "-l", "westeurope")
    for what in (("group", "delete", "deployresgrp"), ("cluster", "delete", "deployclus", *IN_GROUP)):
        refused = run(*what)
        assert refused.exit_code == 2
        assert "--yes" in refused.stderr
    assert "ResourceGroups_Delete" not in server.asked


def test_all_in_one_go(run: Run, server: AzureServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, Any]] = []
    exact = ImageReference.parse("deployreg.azurecr.io/bos-rf:1.0.0")

    def build(plan: Any, **_: Any) -> None:
        done.append(("build", (str(plan.tag), list(server.asked))))

    def push(image: Any, target: str, *, login: Any, **_: Any) -> Pushed:
        done.append(("push", (str(image), target, login.username, login.password)))
        return Pushed(image=exact, digest=DIGEST)

    def deploy(cluster: Any, plan: Any, **given: Any) -> Any:
        from gristmill.deploy.kubernetes.address import Address
        from gristmill.deploy.kubernetes.deploying import Deployed

        done.append(("deploy", (cluster.kubeconfig.server, cluster.namespace, plan, given)))
        address = Address(url="http://20.1.2.3:12800", advice="")
        return Deployed(
            name=plan.name,
            namespace=cluster.namespace,
            image="",
            address=address,
            first=True,
            secret="bos-rf/admin-password",
        )

    monkeypatch.setattr("gristmill.deploy.builders.choose", lambda *_, **__: None)
    monkeypatch.setattr("gristmill.deploy.build.build", build)
    monkeypatch.setattr("gristmill.deploy.push.push", push)
    monkeypatch.setattr("gristmill.deploy.kubernetes.deploying.deploy", deploy)
    result = run("deploy", str(folder), *ALL_THREE, "-l", "westeurope", "-t", "bos-rf:1.0.0", "-n", "models")

    assert result.exit_code == 0, result.output
    (_, built), (_, pushed), (_, (address, namespace, plan, given)) = done
    assert built == ("bos-rf:1.0.0", [])  # nothing was made in Azure before the image was there
    assert pushed == (
        "bos-rf:1.0.0",
        "deployreg.azurecr.io",
        "00000000-0000-0000-0000-000000000000",
        "token-of-the-registry",
    )
    assert address == "https://deployclus-1a2b3c4d.hcp.westeurope.azmk8s.io:443"
    assert namespace == "models"
    assert plan.values["image"] == {
        **plan.values["image"],
        "repository": "deployreg.azurecr.io/bos-rf",
        "digest": DIGEST,
    }
    assert plan.values["service"]["type"] == "LoadBalancer"
    assert given["patience"].trouble > 60  # a role that is new takes a while
    assert "Address: http://20.1.2.3:12800" in result.stdout
    assert "the cluster's nodes may now pull from deployreg (AcrPull)" in result.stderr
    for secret in ("token-of-the-registry", "secret-of-the-cluster", "token-of-the-directory"):
        assert secret not in result.output


def test_a_dry_run_shows_every_request_as_specified_and_sends_none(
    run: Run, server: AzureServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_login(*_: object, **__: object) -> None:
        raise AssertionError("a dry run needs no login")

    monkeypatch.setattr("gristmill.deploy.azure.logging_in._default", no_login)
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID")
    result = run("deploy", str(folder), *ALL_THREE, "--dry-run")

    assert result.exit_code == 0, result.output
    assert server.asked == []
    seen = []
    shown = re.finditer(
        r"^(GET|PUT|POST|DELETE) (\S+)\n(\{\n.*?^\}$)?", result.stdout, re.MULTILINE | re.DOTALL
    )
    for method, url, body in (each.groups() for each in shown):
        parts = urlsplit(url)
        operation = find(method, parts.path)
        assert operation is not None, url
        seen.append(operation.id)
        if "form" not in operation.said:
            headers = {"Content-Type": "application/json"} if body else {}
            assert operation.complaints(parts.query, headers, (body or "").encode()) == []
    assert seen == [
        "ResourceGroups_Get",
        "ResourceGroups_CreateOrUpdate",
        "Registries_Get",
        "Registries_CheckNameAvailability",
        "Registries_Create",
        "Authentication_ExchangeAadAccessTokenForAcrRefreshToken",
        "ManagedClusters_Get",
        "ManagedClusters_CreateOrUpdate",
        "RoleAssignments_Create",
        "ManagedClusters_ListClusterUserCredentials",
    ]
    assert "$ docker push deployreg.azurecr.io/bos-rf:latest" in result.stdout
    assert "StatefulSet bos-rf" in result.stdout


def test_what_cannot_be_is_told_before_anything_is_asked(run: Run, server: AzureServer, folder: Path) -> None:
    wrong = [
        ("--sku", "Gold"),
        ("--node-size", "big; rm"),
        ("--kubernetes-version", "latest"),
        ("--location", "../x"),
        ("--name", "Not A Name"),
        ("--set", "no.such=1"),
    ]
    for option in wrong:
        result = run("deploy", str(folder), *ALL_THREE, *option)
        assert result.exit_code in {1, 2, 5}, (option, result.output)
        assert "Error: " in result.stderr, (option, result.output)
    assert run("deploy", "bos-rf:1.0.0", *ALL_THREE, "--tag", "x:1").exit_code == 2
    assert run("deploy", str(folder), *IN_GROUP, "--registry", "a-b", "--cluster", "c").exit_code == 5
    assert server.asked == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (failure(403, "AuthorizationFailed", "No authorization."), 3),
        (failure(401, "ExpiredAuthenticationToken", "It has expired."), 3),
        (failure(404, "ResourceGroupNotFound", "Not there."), 4),
        (failure(409, "Conflict", "Busy."), 5),
        (failure(400, "BadRequest", "Wrong."), 5),
        (failure(400, "QuotaExceeded", "Cores."), 1),
    ],
)
def test_exit_codes_are_those_of_all_commands(run: Run, server: AzureServer, answer: Any, code: int) -> None:
    server.say("ResourceGroups_Get", answer)
    result = run("group", "show", "deployresgrp")
    assert result.exit_code == code
    assert re.match(
        r"Error: (the resource group deployresgrp|Azure does not take this login): ", result.stderr
    )


def test_ctrl_c_says_how_to_go_on(run: Run, server: AzureServer, monkeypatch: pytest.MonkeyPatch) -> None:
    run("group", "create", "deployresgrp", "-l", "westeurope")
    server.polls = 1_000_000
    real = azure_package.login

    def press(what: str, state: str, seconds: float) -> None:
        if seconds > 0:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(azure_package, "login", lambda **given: real(**{**given, "watch": press}))
    result = run("cluster", "create", "deployclus", *IN_GROUP)
    server.finish()

    assert result.exit_code == 130
    assert "gristmill azure cluster create deployclus --resource-group deployresgrp" in result.stderr


def test_credentials_go_into_a_file_that_is_nobody_elses(run: Run, tmp_path: Path) -> None:
    run("group", "create", "deployresgrp", "-l", "westeurope")
    run("registry", "create", "deployreg", *IN_GROUP)
    run("cluster", "create", "deployclus", *IN_GROUP)
    written = run("credentials", *IN_GROUP, "--cluster", "deployclus", "-o", "it.yaml")
    path = tmp_path / "it.yaml"
    assert written.exit_code == 0, written.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "hcp.westeurope.azmk8s.io" in path.read_text()
    assert run("credentials", *IN_GROUP, "--cluster", "deployclus", "-o", "it.yaml").exit_code == 5

    token = run("credentials", *IN_GROUP, "--registry", "deployreg")
    assert token.stdout == "token-of-the-registry\n"
    assert "account: 00000000-0000-0000-0000-000000000000" in token.stderr
    assert run("credentials", *IN_GROUP).exit_code == 2


def test_login_check(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(run("login-check", "--json").stdout) == {
        "subscription": SUBSCRIPTION,
        "name": "Models",
        "state": "Enabled",
        "cloud": "AzurePublic",
    }
    other = run("login-check", "--subscription", "11111111-1111-1111-1111-111111111111")
    assert other.exit_code == 4
    assert "does not see the subscription" in other.stderr


def test_without_microsofts_packages_the_way_to_them_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    result = CliRunner().invoke(app, ["azure", "group", "list"])
    assert result.exit_code == 2
    assert "pip install 'gristmill[azure]'" in result.stderr


def test_on_a_terminal_one_line_changes_and_the_end_of_what_took_long_stays() -> None:
    program = (
        "from gristmill.app.azure_progress import watching\n"
        "with watching() as watch:\n"
        "    watch('creating the cluster x', 'Creating', 1.0)\n"
        "    watch('creating the cluster x', 'Succeeded', 245.0)\n"
        "    watch('the cluster x', 'Succeeded', 0.0)\n"
    )
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)

    assert "creating the cluster x: Creating, 0:01" in shown
    assert shown.rstrip().endswith("creating the cluster x: Succeeded, 4:05")


def test_a_dry_run_of_a_step_shows_that_step_alone(run: Run, server: AzureServer) -> None:
    deleted = run("cluster", "delete", "deployclus", *IN_GROUP, "--dry-run", "--cloud", "AzureChina")
    group = f"https://management.chinacloudapi.cn/subscriptions/{SUBSCRIPTION}/resourceGroups/deployresgrp"
    cluster = "providers/Microsoft.ContainerService/managedClusters/deployclus?api-version=2026-08-01"
    assert deleted.stdout.split() == ["DELETE", f"{group}/{cluster}"]
    made = run("cluster", "create", "deployclus", *IN_GROUP, "--registry", "deployreg", "--dry-run")
    assert made.exit_code == 0, made.output
    assert "roleAssignments" in made.stdout
    assert server.asked == []
