"""The client of registries, and its commands, against Debian's docker-registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from gristmill.app.cli import app
from gristmill.app.client_cli_common import Exit
from gristmill.deploy.credentials import Login
from gristmill.deploy.errors import (
    NotInRegistry,
    RegistryCannot,
    RegistryLoginRefused,
    RegistryUnreachable,
)
from gristmill.deploy.registry import RegistryClient
from gristmill.deploy.registry_auth import Standard
from tests.containers import free_port
from tests.registries import MANIFEST, USERNAME, Registry, running_registry, token_server

pytestmark = pytest.mark.skipif(
    not (shutil.which("docker-registry") and shutil.which("htpasswd")),
    reason="docker-registry or htpasswd is not installed: scripts/setup-containers",
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(autouse=True)
def no_other_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("REGISTRY_AUTH_FILE", "GRISTMILL_REGISTRY_USERNAME", "GRISTMILL_REGISTRY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def client(registry: Registry, password: str | None = None, *, insecure: bool = False) -> RegistryClient:
    login = Login(username=USERNAME, password=password or registry.password)
    return RegistryClient(registry.address, credentials=Standard(login=login), insecure=insecure)


def gristmill(registry: Registry, *words: str, login: bool = True) -> Result:
    stdin = f"{registry.password}\n" if login else None
    given = ["--username", USERNAME, "--password-stdin"] if login else []
    return CliRunner().invoke(app, ["registry", *words, *given], input=stdin)


def test_an_image_is_listed_read_by_tag_and_by_digest(registry: Registry) -> None:
    digest = registry.put("models/boston", "1.0.0", "latest", layer=b"forest")
    with client(registry) as asking:
        asking.ping()
        assert "models/boston" in list(asking.repositories())
        assert asking.tags("models/boston") == ["1.0.0", "latest"]
        assert asking.digest("models/boston", "1.0.0") == digest
        by_tag, by_digest = (asking.manifest("models/boston", each) for each in ("1.0.0", digest))
    assert by_tag == by_digest
    assert (by_tag.digest, by_tag.size) == (digest, len(b"{}") + len(b"forest"))


def test_a_deleted_image_is_gone_with_all_its_tags(registry: Registry) -> None:
    digest = registry.put("models/old", "1", "2", layer=b"old")
    kept = registry.put("models/old", "3", layer=b"new")
    with client(registry) as asking:
        asking.delete("models/old", digest)
        assert asking.tags("models/old") == ["3"]
        assert asking.digest("models/old", "3") == kept
        with pytest.raises(NotInRegistry, match="has no image models/old:1"):
            asking.manifest("models/old", "1")
        with pytest.raises(NotInRegistry):
            asking.delete("models/old", digest)


def test_many_repositories_come_page_by_page(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.deploy.registry._PAGE", 2)
    names = [f"pages/{letter}" for letter in "abcde"]
    for name in names:
        registry.put(name, "1")
    with client(registry) as asking:
        assert [name for name in asking.repositories() if name.startswith("pages/")] == names


def test_a_repository_that_is_not_there_is_named(registry: Registry) -> None:
    with (
        client(registry) as asking,
        pytest.raises(NotInRegistry, match=r"no repository no/such \(repository name"),
    ):
        asking.tags("no/such")


def test_a_wrong_password_and_no_login_are_told_apart(registry: Registry) -> None:
    with (
        client(registry, "wrong") as asking,
        pytest.raises(RegistryLoginRefused, match="does not take the account"),
    ):
        asking.ping()
    with (
        RegistryClient(registry.address) as asking,
        pytest.raises(RegistryLoginRefused, match=r"wants a login: --username with --password-stdin"),
    ):
        asking.tags("models/boston")


def test_a_registry_that_is_not_there_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    with (
        RegistryClient(address) as asking,
        pytest.raises(RegistryUnreachable, match=f"{address} cannot be reached"),
    ):
        asking.ping()


def test_a_registry_that_may_not_delete_says_so(tmp_path: Path) -> None:
    with running_registry(tmp_path, deletes=False) as registry, client(registry) as asking:
        digest = registry.put("a", "1")
        with pytest.raises(RegistryCannot, match="cannot be deleted here"):
            asking.delete("a", digest)


def test_tokens_of_another_server_open_a_registry(tmp_path: Path) -> None:
    with token_server(tmp_path) as tokens, running_registry(tmp_path, auth=tokens.auth) as registry:
        with client(registry, tokens.password) as asking:
            asking.ping()
            with pytest.raises(NotInRegistry):
                asking.tags("models/boston")
            assert list(asking.repositories()) == []
        assert [each.get("scope") for each in tokens.asked] == [
            *(None, ["repository:models/boston:pull"], ["registry:catalog:*"]),
        ]
        assert tokens.asked[0]["account"] == [USERNAME]
        with (
            client(registry, "wrong") as asking,
            pytest.raises(RegistryLoginRefused, match="'ann' or its password"),
        ):
            asking.ping()


def test_a_certificate_of_nobody_is_refused_until_it_is_known_or_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_registry(tmp_path, tls=True) as registry:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        with (
            client(registry) as asking,
            pytest.raises(RegistryUnreachable, match=r"certificate .* SSL_CERT_FILE"),
        ):
            asking.ping()
        with client(registry, insecure=True) as asking:
            asking.ping()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        with client(registry) as asking:
            asking.ping()


def test_the_commands_list_show_and_delete(registry: Registry) -> None:
    digest = registry.put("cli/boston", "1.0.0", "1", layer=b"of the command")
    name = f"{registry.address}/cli/boston"
    assert "cli/boston" in gristmill(registry, "repositories", registry.address).stdout.splitlines()
    assert gristmill(registry, "tags", name).stdout.split() == ["1", "1.0.0"]
    assert json.loads(gristmill(registry, "tags", name, "--json").stdout) == ["1", "1.0.0"]
    assert gristmill(registry, "digest", f"{name}:1").stdout == f"{name}@{digest}\n"
    shown = gristmill(registry, "manifest", f"{name}@{digest}")
    assert json.loads(shown.stdout)["schemaVersion"] == 2
    asked = gristmill(registry, "delete", f"{name}:1")
    assert (asked.exit_code, "say --yes" in asked.stderr) == (Exit.USAGE, True)
    deleted = gristmill(registry, "delete", f"{name}:1", "--yes")
    assert (deleted.exit_code, deleted.stdout) == (Exit.DONE, f"Deleted {name}@{digest}.\n")
    gone = gristmill(registry, "manifest", f"{name}:1.0.0")
    assert (gone.exit_code, "has no image cli/boston:1.0.0" in gone.stderr) == (Exit.NOT_FOUND, True)


def test_the_commands_exit_codes_tell_what_is_wrong(registry: Registry) -> None:
    assert gristmill(registry, "tags", f"{registry.address}/x", login=False).exit_code == Exit.NOT_ALLOWED
    wrong = Registry(address=registry.address, password="wrong")
    assert gristmill(wrong, "tags", f"{registry.address}/x").exit_code == Exit.NOT_ALLOWED
    assert gristmill(registry, "tags", f"127.0.0.1:{free_port()}/x").exit_code == Exit.UNREACHABLE
    assert gristmill(registry, "tags", f"{registry.address}/X").exit_code == Exit.REFUSED


def test_what_docker_keeps_is_used(registry: Registry, tmp_path: Path) -> None:
    import base64

    auth = base64.b64encode(f"{USERNAME}:{registry.password}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
    assert gristmill(registry, "repositories", registry.address, login=False).exit_code == Exit.DONE


def test_a_manifest_is_the_bytes_that_the_registry_holds(registry: Registry) -> None:
    digest = registry.put("bytes/boston", "1")
    with client(registry) as asking:
        body = asking.manifest("bytes/boston", "1").body
    login = (USERNAME, registry.password)
    url = f"http://{registry.address}/v2/bytes/boston/manifests/{digest}"
    plain = httpx.get(url, auth=login, headers={"Accept": MANIFEST})
    assert body == plain.content
