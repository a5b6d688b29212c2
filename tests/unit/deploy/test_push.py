"""Pushing with programs that only say they push, into a registry that only says it holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gristmill.deploy import push as pushing
from gristmill.deploy.credentials import Login
from gristmill.deploy.errors import (
    DigestMismatch,
    NoSuchImage,
    PushFailed,
    RegistryForbids,
    RegistryLoginRefused,
    RegistryUnreachable,
)
from gristmill.deploy.push import Pushed, push
from gristmill.deploy.registry_auth import Standard
from tests.programs import Programs

DIGEST = f"sha256:{'0a' * 32}"
LOGIN = Login(username="ann", password="hunter2")
DOCKER = f"""
if "inspect" in words:
    print("sha256:{"1f" * 32} 1")
elif "push" in words:
    print("layer: Pushed")
    print("1: digest: {DIGEST} size: 1234")
"""
PODMAN = f"""
if "inspect" in words:
    print("sha256:{"1f" * 32} 1")
elif "push" in words:
    open(words[words.index("--digestfile") + 1], "w").write("{DIGEST}")
"""


def refuses(verb: str, said: str) -> str:
    return f"""
if "inspect" in words:
    print("sha256:{"1f" * 32} 1")
elif {verb!r} in words:
    print({said!r})
    sys.exit(1)
"""


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Of each look into the registry: which, what, and by which login. It holds what `digest` says."""
    looks: list[Any] = []

    class Registry:
        digest = DIGEST

        def __init__(self, registry: str, *, credentials: Standard, insecure: bool) -> None:
            looks.append([registry, credentials.login, insecure])

        def __enter__(self) -> Registry:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def manifest(self, repository: str, tag: str) -> Registry:
            looks[-1] += [repository, tag]
            return self

    monkeypatch.setattr(pushing, "RegistryClient", Registry)
    return looks


def test_docker_pushes_with_a_login_that_is_gone_afterwards(
    programs: Programs, held: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    (own / "contexts").mkdir(parents=True)
    kept = {"auths": {"other.example.com": {"auth": "eA=="}}, "currentContext": "far"}
    (own / "config.json").write_text(json.dumps(kept))
    monkeypatch.setenv("DOCKER_CONFIG", str(own))
    programs.add("docker", DOCKER)
    told: list[str] = []
    done = push("boston:1", "r.example.com/models", login=LOGIN, tell=told.append)
    assert str(done.image) == "r.example.com/models/boston:1"
    assert str(done.exact) == f"r.example.com/models/boston@{DIGEST}"
    assert told == ["layer: Pushed", f"1: digest: {DIGEST} size: 1234"]
    assert held == [["r.example.com", LOGIN, False, "models/boston", "1"]]
    login = next(call for call in programs.calls if "login" in call["words"])
    folder = login["words"][1]
    assert login["words"] == [
        "--config",
        folder,
        "login",
        "--username",
        "ann",
        "--password-stdin",
        "r.example.com",
    ]
    assert login["input"] == "hunter2\n"
    assert sorted(login["config"]) == ["config.json", "contexts"]
    assert programs.words("push") == [["--config", folder, "push", "r.example.com/models/boston:1"]]
    assert not os.path.exists(folder)
    assert all("hunter2" not in word for call in programs.calls for word in call["words"])
    assert json.loads((own / "config.json").read_text()) == kept


def test_a_login_that_is_to_be_saved_is_given_to_the_builder_itself(
    programs: Programs, held: list[Any]
) -> None:
    programs.add("docker", DOCKER)
    push("boston:1", "r.example.com", login=LOGIN, save=True)
    assert programs.words("login") == [["login", "--username", "ann", "--password-stdin", "r.example.com"]]
    assert programs.words("push") == [["push", "r.example.com/boston:1"]]


def test_without_a_login_the_builders_own_is_used(
    programs: Programs, held: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"r.example.com": {"auth": "YW5uOmh1bnRlcjI="}}})
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    programs.add("docker", DOCKER)
    push("boston:1", "r.example.com")
    assert programs.words("login") == []
    assert held[0][1] == LOGIN


@pytest.mark.parametrize(
    ("registry", "insecure", "flags"),
    [
        ("r.example.com", False, []),
        ("r.example.com", True, ["--tls-verify=false"]),
        ("127.0.0.1:5000", False, ["--tls-verify=false"]),
    ],
)
def test_podman_is_told_where_tls_is_not_needed(
    programs: Programs, held: list[Any], registry: str, insecure: bool, flags: list[str]
) -> None:
    programs.add("podman", PODMAN)
    done = push("boston:1", registry, login=LOGIN, insecure=insecure)
    assert done == Pushed(image=done.image, digest=DIGEST)
    (words,) = programs.words("push")
    assert words[:2] == ["push", "--authfile"]
    assert words[3:-3] == flags
    assert words[-3] == "--digestfile"
    assert words[-1] == f"{registry}/boston:1"


def test_an_image_that_is_not_here_is_not_pushed(programs: Programs, held: list[Any]) -> None:
    programs.add("docker", 'if "inspect" in words: sys.exit(1)')
    with pytest.raises(NoSuchImage, match=r"no image boston:1 on this machine: gristmill build"):
        push("boston:1", "r.example.com")
    assert programs.words("push") == []


def test_a_registry_that_holds_something_else_afterwards_is_found_out(
    programs: Programs, held: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.deploy.push.RegistryClient.digest", f"sha256:{'bb' * 32}")
    programs.add("docker", DOCKER)
    with pytest.raises(DigestMismatch, match=f"What you pushed is r.example.com/boston@{DIGEST}"):
        push("boston:1", "r.example.com")


@pytest.mark.parametrize(
    ("verb", "said", "error", "words"),
    [
        (
            "login",
            "Error: unauthorized: incorrect username or password",
            RegistryLoginRefused,
            "the account 'ann'",
        ),
        (
            "login",
            "dial tcp 10.0.0.1:443: connect: connection refused",
            RegistryUnreachable,
            "cannot be reached",
        ),
        ("push", "unauthorized: authentication required", RegistryLoginRefused, "docker login r.example.com"),
        ("push", "no basic auth credentials", RegistryLoginRefused, "--password-stdin"),
        ("push", "denied: requested access to the resource is denied", RegistryForbids, "no right to push"),
        (
            "push",
            "x509: certificate signed by unknown authority",
            RegistryUnreachable,
            "certs.d/r.example.com",
        ),
        (
            "push",
            "http: server gave HTTP response to HTTPS client",
            RegistryUnreachable,
            "insecure-registries",
        ),
        ("push", "lookup r.example.com: no such host", RegistryUnreachable, "cannot be reached"),
        ("push", "blob upload invalid", PushFailed, "could not push"),
        ("tag", "Error response from daemon: whatever", PushFailed, "could not push"),
    ],
)
def test_what_a_builder_says_becomes_an_error_that_leads_on(
    programs: Programs, held: list[Any], verb: str, said: str, error: type[Exception], words: str
) -> None:
    programs.add("docker", refuses(verb, said))
    with pytest.raises(error, match=words) as told:
        push("boston:1", "r.example.com", login=LOGIN)
    assert said in str(told.value)
    assert "hunter2" not in str(told.value)
    assert held == []


def test_a_push_that_says_no_digest_is_no_success(programs: Programs, held: list[Any]) -> None:
    programs.add("docker", 'if "inspect" in words: print("sha256:00 1")')
    with pytest.raises(PushFailed, match="no digest was said"):
        push("boston:1", "r.example.com")
