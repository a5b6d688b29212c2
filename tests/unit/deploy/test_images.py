from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.deploy.errors import BadImageName
from gristmill.deploy.images import ImageReference, Target, is_component

DIGEST = f"sha256:{'ab' * 32}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("boston", None, "boston", None, None),
        ("boston:1.0.0", None, "boston", "1.0.0", None),
        ("models/boston", None, "models/boston", None, None),
        ("localhost/boston", "localhost", "boston", None, None),
        ("127.0.0.1:5000/a/b:v1", "127.0.0.1:5000", "a/b", "v1", None),
        ("[::1]:5000/a", "[::1]:5000", "a", None, None),
        (
            "example.azurecr.io/ml/bos__rf-2.x:A_b.c-d",
            "example.azurecr.io",
            "ml/bos__rf-2.x",
            "A_b.c-d",
            None,
        ),
        (f"r.example.com/a:1@{DIGEST}", "r.example.com", "a", "1", DIGEST),
    ],
)
def test_a_reference_is_read_part_by_part_and_written_as_it_was(
    text: str, registry: str | None, repository: str, tag: str | None, digest: str | None
) -> None:
    found = ImageReference.parse(text)
    assert (found.registry, found.repository, found.tag, found.digest) == (registry, repository, tag, digest)
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "boston\n",
        "boston\nRUN rm -rf /",
        "bos ton",
        "--privileged",
        "-v",
        "boston:--rm",
        "Boston",
        'bos"ton',
        "boston;id",
        "$(id)",
        "a//b",
        "a/",
        "/a",
        "../a",
        "a:b:c",
        "a:",
        "a@",
        "a@sha256:12",
        "a@sha512:" + "ab" * 32,
        "r.example.com:port/a",
        "-r.example.com/a",
        "r.example.com:123456/a",
        "böston",
        "bo\u0301ston",
        "boston:\uff11",
        "a" * 256,
        "a:" + "t" * 129,
        "a\0b",
        "https://r.example.com/a",
    ],
)
def test_what_is_no_reference_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(BadImageName, match=r"image name .* cannot be"):
        ImageReference.parse(text)


@given(st.text(max_size=60) | st.from_regex(r"[a-zA-Z0-9./:@_-]{1,60}", fullmatch=True))
def test_what_passes_may_stand_in_a_command_and_in_a_containerfile(text: str) -> None:
    try:
        found = ImageReference.parse(text)
    except BadImageName:
        return
    assert str(found) == text
    assert re.fullmatch(r"[A-Za-z0-9\[][A-Za-z0-9._:/@\[\]-]*", text), (
        "no blank, quote, newline, leading dash"
    )


@pytest.mark.parametrize(
    ("target", "image", "becomes"),
    [
        ("127.0.0.1:5000", "boston:1", "127.0.0.1:5000/boston:1"),
        ("127.0.0.1:5000/", "team/boston:1", "127.0.0.1:5000/boston:1"),
        ("r.example.com/models", "boston:1", "r.example.com/models/boston:1"),
        ("r.example.com/models/", "boston:1", "r.example.com/models/boston:1"),
        ("r.example.com/models/boston", "boston:1", "r.example.com/models/boston:1"),
        ("r.example.com/ml/prices:2026", "boston:1", "r.example.com/ml/prices:2026"),
        ("myregistry:5000", "boston", "myregistry:5000/boston:latest"),
    ],
)
def test_an_image_gets_its_full_name_from_the_target(target: str, image: str, becomes: str) -> None:
    assert str(Target.parse(target).of(ImageReference.parse(image))) == becomes


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://r.example.com/models", "without https://"),
        ("models/boston", "begins with the registry's host"),
        (f"r.example.com/a@{DIGEST}", "digest"),
        ("-r.example.com", "host"),
        ("r.example.com/Models", "lower case"),
        ("r.example.com\n", "host"),
        ("", "host"),
    ],
)
def test_a_target_that_cannot_be_says_why(text: str, why: str) -> None:
    with pytest.raises(BadImageName, match=why):
        Target.parse(text)


def test_a_name_of_a_bundle_is_one_part_of_a_path() -> None:
    assert is_component("bos-rf")
    assert not any(map(is_component, ("", "a/b", "-a", "a..b", "A", "a\n", "..", "a" * 129)))
