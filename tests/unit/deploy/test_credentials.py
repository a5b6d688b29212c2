from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gristmill.deploy.credentials import Login, from_environment, stored_login
from gristmill.deploy.errors import BadProject
from tests.programs import Programs

SECRET = "hunter2"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def write(path: Path, said: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said))


def test_flags_go_before_the_environment() -> None:
    environment = {"GRISTMILL_REGISTRY_USERNAME": "ann", "GRISTMILL_REGISTRY_PASSWORD": "a"}
    assert from_environment(None, None, environment) == Login(username="ann", password="a")
    assert from_environment("bob", "b", environment) == Login(username="bob", password="b")
    assert from_environment(None, None, {}) is None


@pytest.mark.parametrize(
    ("name", "password", "why"),
    [
        ("ann", None, "--password-stdin or GRISTMILL_REGISTRY_PASSWORD"),
        (None, "x", "--username or GRISTMILL_REGISTRY_USERNAME"),
        ("--password", "x", "cannot be the name of an account"),
        ("a:b", "x", "cannot be the name"),
        ("a\nb", "x", "cannot be the name"),
        ("ann", "x\ny", "is one line"),
    ],
)
def test_half_a_login_and_names_that_would_be_options_are_refused(
    name: str | None, password: str | None, why: str
) -> None:
    with pytest.raises(BadProject, match=why):
        from_environment(name, password, {})


def test_a_login_does_not_show_its_password() -> None:
    assert SECRET not in repr(Login(username="ann", password=SECRET, identity_token=SECRET))


@pytest.mark.parametrize("place", ["docker", "podman", "file"])
def test_what_docker_and_podman_keep_is_found(tmp_path: Path, place: str) -> None:
    said = {"auths": {"r.example.com:5000": {"auth": encoded(f"ann:{SECRET}:x")}}}
    path, environment = {
        "docker": (tmp_path / "d/config.json", {"DOCKER_CONFIG": str(tmp_path / "d")}),
        "podman": (tmp_path / "x/containers/auth.json", {"XDG_RUNTIME_DIR": str(tmp_path / "x")}),
        "file": (tmp_path / "auth.json", {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}),
    }[place]
    write(path, said)
    environment["HOME"] = str(tmp_path)
    assert stored_login("r.example.com:5000", environment) == Login(username="ann", password=f"{SECRET}:x")
    assert stored_login("r.example.com", environment) is None


def test_docker_hub_goes_by_its_old_address(tmp_path: Path) -> None:
    write(
        tmp_path / ".docker/config.json", {"auths": {"https://index.docker.io/v1/": {"auth": encoded("a:b")}}}
    )
    assert stored_login("docker.io", {"HOME": str(tmp_path)}) == Login(username="a", password="b")


def test_a_token_of_identity_goes_before_the_password(tmp_path: Path) -> None:
    entry = {"auth": encoded("00000000-0000-0000-0000-000000000000:"), "identitytoken": "refresh"}
    write(tmp_path / ".docker/config.json", {"auths": {"x.azurecr.io": entry}})
    found = stored_login("x.azurecr.io", {"HOME": str(tmp_path)})
    assert found is not None
    assert found.identity_token == "refresh"


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"auths": []},
        {"auths": {"r.example.com": "x"}},
        {"auths": {"r.example.com": {"auth": "%%%"}}},
        {"auths": {"r.example.com": {"auth": encoded("no colon")}}},
        {"auths": {"r.example.com": {}}},
        {"credsStore": "../../bin/evil"},
        {"credsStore": "a b"},
        {"credsStore": "is-not-there"},
        {"credHelpers": 3},
    ],
)
def test_files_that_hold_no_login_give_none(tmp_path: Path, said: Any) -> None:
    write(tmp_path / ".docker/config.json", said)
    assert stored_login("r.example.com", {"HOME": str(tmp_path), "PATH": ""}) is None


def test_a_helper_is_asked_by_its_input(programs: Programs, tmp_path: Path) -> None:
    import os

    answer = json.dumps({"Username": "ann", "Secret": SECRET})
    programs.add("docker-credential-pass", f"print({answer!r})")
    write(tmp_path / ".docker/config.json", {"credHelpers": {"r.example.com": "pass"}})
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    assert stored_login("r.example.com", environment) == Login(username="ann", password=SECRET)
    assert [(call["words"], call["input"]) for call in programs.calls] == [(["get"], "r.example.com")]
    token = json.dumps({"Username": "<token>", "Secret": "refresh"})
    programs.add("docker-credential-pass", f"print({token!r})")
    found = stored_login("r.example.com", environment)
    assert found is not None
    assert found.identity_token == "refresh"
    programs.add("docker-credential-pass", "sys.exit(1)")
    assert stored_login("r.example.com", environment) is None
