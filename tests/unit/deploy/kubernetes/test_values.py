"""Values that are laid over each other, set and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill.deploy.kubernetes import BadValues
from gristmill.deploy.kubernetes.planning import Login, planned
from gristmill.deploy.kubernetes.release import label_name, named_after
from gristmill.deploy.kubernetes.values import checked, defaults, merged, read_file, with_setting

DIGEST = "sha256:" + "0a" * 32


def test_the_charts_own_values_are_taken() -> None:
    assert checked(defaults()) == defaults()


def test_mappings_are_merged_and_everything_else_is_replaced() -> None:
    below = {"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": 2}
    assert merged(below, {"a": {"y": [3]}, "b": {"z": 1}, "c": None}) == {
        "a": {"x": 1, "y": [3]},
        "b": {"z": 1},
    }
    assert below == {"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": 2}


@pytest.mark.parametrize(
    ("setting", "path", "expected"),
    [
        ("replicas=3", ("replicas",), 3),
        ("image.tag=1", ("image", "tag"), "1"),
        ("ingress.enabled=true", ("ingress", "enabled"), True),
        ("imagePullSecrets[0]=acr", ("imagePullSecrets",), ["acr"]),
        (
            "ingress.hosts={a.example.com,b.example.com}",
            ("ingress", "hosts"),
            ["a.example.com", "b.example.com"],
        ),
        ("ingress.hosts={}", ("ingress", "hosts"), []),
        ("env[0].name=X", ("env",), [{"name": "X"}]),
        (
            r"service.annotations.example\.com/internal=true",
            ("service", "annotations"),
            {"example.com/internal": "true"},
        ),
        ("settings.pool-initial=4", ("settings", "pool-initial"), 4),
        ("admin.password=a=b", ("admin", "password"), "a=b"),
    ],
)
def test_a_setting_puts_a_value_in_its_place(setting: str, path: tuple[str, ...], expected: Any) -> None:
    found: Any = with_setting(defaults(), setting)
    for step in path:
        found = found[step]
    assert found == expected


@pytest.mark.parametrize(
    "setting", ["replicas", "=1", "a..b=1", "image.tag.x=1", "imagePullSecrets[3]=x", "a[b]=1"]
)
def test_a_setting_that_cannot_be_read_says_so(setting: str) -> None:
    with pytest.raises(BadValues, match="--set"):
        checked(with_setting(defaults(), setting))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["bogus=1"], "'bogus' was unexpected"),
        (["admin.existingSecret=-x"], "admin.existingSecret: '-x' is not of the form"),
        (["fullnameOverride=UPPER"], "fullnameOverride"),
        (["service.type=Foo"], "service.type: 'Foo' is not one of"),
        (["service.port=70000"], "service.port: 70000 is greater"),
        (["resources.limits.memory=lots"], "resources.limits.memory"),
        (["settings.data=/elsewhere"], "settings"),
        (["persistence.size=-1Gi"], "persistence.size"),
        (["ingress.enabled=true", "ingress.hosts={not a host}"], "ingress.hosts.0"),
        (["replicas=2"], "replicas: more than one needs a database that they share"),
        (["autoscaling.enabled=true"], "autoscaling: one box cannot be more than one"),
        (["database.url=mysql://x"], "database.url"),
        (["imageCredentials.username=ann"], "imageCredentials: username goes with registry and password"),
        (["ingress.enabled=true"], "ingress: hosts is empty"),
    ],
)
def test_what_the_chart_would_not_take_is_refused_by_name(settings: list[str], said: str) -> None:
    with pytest.raises(BadValues, match=said):
        planned("boston:1", settings=settings)


def test_a_line_break_at_the_end_gets_through_no_pattern() -> None:
    values = defaults()
    for section, key in (("image", "tag"), ("admin", "existingSecret"), ("admin", "password")):
        with pytest.raises(BadValues, match=f"{section}.{key}"):
            checked(merged(values, {section: {key: "x\n"}}))


@pytest.mark.parametrize(
    ("image", "parts", "name"),
    [
        ("boston", ("boston", "latest", ""), "boston"),
        (
            "reg.example.com:5000/models/bos_rf:1.0.0",
            ("reg.example.com:5000/models/bos_rf", "1.0.0", ""),
            "bos-rf",
        ),
        (f"acr.azurecr.io/bos@{DIGEST}", ("acr.azurecr.io/bos", "", DIGEST), "bos"),
        (f"bos:1@{DIGEST}", ("bos", "1", DIGEST), "bos"),
    ],
)
def test_an_images_name_is_taken_apart(image: str, parts: tuple[str, str, str], name: str) -> None:
    plan = planned(image)
    found = plan.values["image"]
    assert (found["repository"], found["tag"], found["digest"]) == parts
    assert plan.name == name


@pytest.mark.parametrize(
    "image", ["", "-x", "a b", "x:", "x:y:z", "UPPER", "x\n", "x@sha256:1", "../x", "x; rm"]
)
def test_what_is_not_an_images_name_is_refused(image: str) -> None:
    with pytest.raises(BadValues, match="not the name of an image"):
        planned(image)


@pytest.mark.parametrize("name", ["", "UPPER", "a_b", "-a", "a-", "a" * 53, "a/b", "a\n", "../x"])
def test_what_cannot_name_an_object_is_refused(name: str) -> None:
    with pytest.raises(BadValues, match="the name"):
        label_name(name, "the name", 52)


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("a/b/c", "c"),
        ("x/9lives", "lives"),
        ("x/a__b", "a-b"),
        ("x/9", "gristmill"),
        ("r/" + "a" * 80, "a" * 52),
    ],
)
def test_a_deployment_is_named_after_its_image(repository: str, name: str) -> None:
    assert named_after(repository) == name


def test_a_login_is_one_of_the_images_registry() -> None:
    login = Login(username="ann", password="secret")
    found = planned("reg.example.com:5000/models/boston:1", login=login).values["imageCredentials"]
    assert found == {"registry": "reg.example.com:5000", "username": "ann", "password": "secret"}
    assert "secret" not in repr(login)


@pytest.mark.parametrize("text", ["- a", "a: [", "\x00"])
def test_a_file_that_holds_no_values_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(text)
    with pytest.raises(BadValues, match=r"values\.yaml"):
        read_file(path)
    with pytest.raises(BadValues, match="No such file"):
        read_file(tmp_path / "none.yaml")
