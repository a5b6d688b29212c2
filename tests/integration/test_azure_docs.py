"""What docs/howto/azure.md shows does what it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import gristmill.deploy.azure as azure_package
from gristmill.app.cli import app
from gristmill.deploy.azure.connection import Patience
from gristmill.deploy.images import ImageReference
from gristmill.deploy.kubernetes.address import Address
from gristmill.deploy.kubernetes.deploying import Deployed
from gristmill.deploy.push import Pushed
from tests.azure_server import SUBSCRIPTION, AzureServer, StaticCredential

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/howto/azure.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def server() -> Iterator[AzureServer]:
    found = AzureServer()
    try:
        yield found
        assert found.complaints == []
    finally:
        found.close()


def test_the_python_of_the_page(
    server: AzureServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = azure_package.login
    seen: dict[str, Any] = {}

    def push(image: str, target: str, *, login: Any) -> Pushed:
        seen["push"] = image, target, login.password
        return Pushed(image=ImageReference.parse(f"{target}/{image}"), digest="sha256:" + "ab" * 32)

    def deploy(cluster: Any, plan: Any) -> Deployed:
        seen["deploy"] = cluster.kubeconfig.server, plan.name, plan.values["image"]["repository"]
        cluster.get = lambda kind, name: f"{kind} {name}"
        address = Address(url="http://20.1.2.3:12800", advice="")
        return Deployed(name="", namespace="", image="", address=address, first=True, secret=None)

    monkeypatch.setattr(
        azure_package,
        "login",
        lambda: real(
            subscription=SUBSCRIPTION,
            credential=StaticCredential(),
            transport=server.transport,
            patience=Patience(between=0.01),
        ),
    )
    monkeypatch.setattr("gristmill.deploy.build.plan", lambda folder, *, tag: SimpleNamespace(tag=tag))
    monkeypatch.setattr("gristmill.deploy.build.build", lambda plan: seen.update(build=plan.tag))
    monkeypatch.setattr("gristmill.deploy.push.push", push)
    monkeypatch.setattr("gristmill.deploy.kubernetes.deploying.deploy", deploy)
    (program,) = blocks("python")
    exec(compile(program, "azure.md", "exec"), {})

    assert seen == {
        "build": "bos-rf:1.0.0",
        "push": ("bos-rf:1.0.0", "deployreg.azurecr.io", "token-of-the-registry"),
        "deploy": (
            "https://deployclus-1a2b3c4d.hcp.westeurope.azmk8s.io:443",
            "bos-rf",
            "deployreg.azurecr.io/bos-rf",
        ),
    }
    assert capsys.readouterr().out == "http://20.1.2.3:12800\nservice bos-rf\n"


def commands() -> list[list[str]]:
    """Each `gristmill …` of the page's shell blocks, and of its R."""
    text = "\n".join(blocks("sh")).replace("\\\n", " ").replace("|\n", "\n")
    found = [shlex.split(line, comments=True) for line in text.splitlines()]
    (called,) = re.findall(r'system2\("gristmill", c\((.*?)\),', PAGE, re.DOTALL)
    found.append(["gristmill", *re.findall(r'"([^"]*)"', called)])
    return [each[1:] for each in found if each[:1] == ["gristmill"]]


def test_the_page_has_all_its_commands() -> None:
    assert len(commands()) == 11


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_the_commands_of_the_page_are_ones(arguments: list[str]) -> None:
    """Each is read as the command line reads it, which knows its options and what they need."""
    command: Any = typer.main.get_command(app)
    context = None
    rest = arguments
    while getattr(command, "commands", None):
        context = command.make_context(command.name, list(rest), parent=context)
        _, command, rest = command.resolve_command(context, context._protected_args + context.args)
    command.make_context(command.name, list(rest), parent=context)
