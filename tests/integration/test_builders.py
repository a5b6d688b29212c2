"""`gristmill build` and `push` by podman and buildah, for real; docker has tests/e2e/test_ship.py.

The folders need no packages, so that no container has to run: that works wherever root may mount.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gristmill.app.cli import app
from gristmill.app.client_cli_common import Exit
from gristmill.deploy.builders import Builder, Program
from tests.containers import free_port
from tests.registries import USERNAME, Registry, running_registry

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="storage of containers of its own needs root"),
    pytest.mark.timeout(180),
]
BASE = "localhost/small-base:1"


@pytest.fixture(params=["podman", "buildah"])
def builder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A program with storage of its own, in which there is a base of a few bytes."""
    name: str = request.param
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed: scripts/setup-containers")
    storage = tmp_path / "storage.conf"
    places = {"graphroot": tmp_path / "images", "runroot": tmp_path / "run"}
    lines = ["[storage]", 'driver = "vfs"', *(f'{key} = "{place}"' for key, place in places.items())]
    storage.write_text("\n".join(lines))
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
    for variable in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    for variable in (
        "REGISTRY_AUTH_FILE",
        "DOCKER_CONFIG",
        "GRISTMILL_REGISTRY_USERNAME",
        "GRISTMILL_REGISTRY_PASSWORD",
    ):
        monkeypatch.delenv(variable, raising=False)
    base = tmp_path / "base"
    base.mkdir()
    (base / "Containerfile").write_text("FROM scratch\nCOPY Containerfile /etc/base\n")
    done = subprocess.run(
        [name, "build", "--format", "docker", "--tag", BASE, str(base)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"{name} cannot build here: {done.stderr.decode()[-200:]}")
    yield name
    # What is still mounted could not be removed with the folder.
    subprocess.run([name, "rm", "--all"], capture_output=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "boston"
    path.mkdir()
    (path / "deploy.R").write_text("library(gristmill)\n")
    return path


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    place = tmp_path / "registry"
    place.mkdir()
    with running_registry(place) as running:
        yield running


def gristmill(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [*words], input=stdin)


def test_what_it_builds_goes_to_a_registry_and_no_login_stays(
    builder: str, folder: Path, registry: Registry, tmp_path: Path
) -> None:
    built = gristmill("build", str(folder), "-t", "boston:1", "--base", BASE, "--builder", builder)
    assert built.exit_code == Exit.DONE, built.output
    assert built.stdout.startswith("Built boston:1, ")
    login = ("--builder", builder, "--username", USERNAME, "--password-stdin")
    wrong = gristmill("push", "boston:1", registry.address, *login, stdin="wrong\n")
    assert (wrong.exit_code, "does not take the account" in wrong.stderr) == (Exit.NOT_ALLOWED, True)
    nobody = gristmill("push", "boston:1", registry.address, "--builder", builder)
    assert (nobody.exit_code, "wants a login" in nobody.stderr) == (Exit.NOT_ALLOWED, True), nobody.output
    away = gristmill("push", "boston:1", f"127.0.0.1:{free_port()}", *login, stdin="x\n")
    assert (away.exit_code, "cannot be reached" in away.stderr) == (Exit.UNREACHABLE, True), away.output
    stdin = f"{registry.password}\n"
    pushed = gristmill("push", "boston:1", registry.address, *login, "--json", stdin=stdin)
    assert pushed.exit_code == Exit.DONE, pushed.output
    said = json.loads(pushed.stdout)
    asked = ("--username", USERNAME, "--password-stdin")
    held = gristmill("registry", "digest", f"{registry.address}/boston:1", *asked, stdin=stdin)
    assert held.stdout == f"{said['exact']}\n"
    assert [path for path in tmp_path.rglob("*.json") if path.name in {"auth.json", "config.json"}] == []


def test_the_health_check_of_the_base_stays(builder: str, folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "healthy"
    base.mkdir()
    (base / "Containerfile").write_text(f'FROM {BASE}\nHEALTHCHECK CMD ["/check"]\nENTRYPOINT ["/tini"]\n')
    command = [builder, "build", "--format", "docker", "--tag", "localhost/healthy:1", str(base)]
    subprocess.run(command, capture_output=True, check=True)
    built = gristmill(
        "build", str(folder), "-t", "boston:1", "--base", "localhost/healthy:1", "--builder", builder
    )
    assert built.exit_code == Exit.DONE, built.output
    shown = subprocess.run([builder, "inspect", "boston:1"], capture_output=True, check=True).stdout
    assert b'"/check"' in shown
    assert b'"/tini"' in shown
    assert b'"10001:10001"' in shown


def test_equal_folders_have_equal_digests_at_a_given_time(
    builder: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    ids: list[str] = []
    for tag in ("a:1", "b:1"):
        os.utime(folder / "deploy.R", (len(ids), len(ids)))
        built = gristmill("build", str(folder), "-t", tag, "--base", BASE, "--builder", builder, "--json")
        assert built.exit_code == Exit.DONE, built.output
        ids.append(json.loads(built.stdout)["id"])
    assert ids[0] == ids[1]


def test_a_base_that_is_nowhere_is_named(builder: str, folder: Path) -> None:
    done = gristmill("build", str(folder), "--base", "no-such-base:1", "--builder", builder)
    assert (done.exit_code, "no image no-such-base:1" in done.stderr) == (Exit.NOT_FOUND, True), done.output


def test_an_image_that_is_not_there_has_no_id(builder: str) -> None:
    known = Builder(program=Program(builder))
    assert known.image("no-such-image:1") is None
    assert known.image(BASE) is not None
