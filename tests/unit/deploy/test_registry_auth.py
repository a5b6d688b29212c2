from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.deploy.registry_auth import Challenge, challenges, is_loopback


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="images"', [Challenge(scheme="basic", realm="images")]),
        ("Basic", [Challenge(scheme="basic")]),
        (
            'Bearer realm="https://a.example.com/token",service="r",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    scheme="bearer",
                    realm="https://a.example.com/token",
                    service="r",
                    scope="repository:a/b:pull,push",
                )
            ],
        ),
        (
            'bearer REALM=x , Basic realm="a \\"b\\" c, d"',
            [Challenge(scheme="bearer", realm="x"), Challenge(scheme="basic", realm='a "b" c, d')],
        ),
        ('Bearer realm="unfinished', [Challenge(scheme="bearer")]),
        ("", []),
        ("=,=", []),
    ],
)
def test_a_challenge_is_read_as_the_rfc_writes_it(header: str, found: list[Challenge]) -> None:
    assert challenges([header])[: len(found) or 1] == found


def test_several_headers_are_asked_in_turn() -> None:
    assert [each.scheme for each in challenges(["Negotiate", 'Basic realm="x"'])] == ["negotiate", "basic"]


@given(st.text(max_size=300))
def test_no_header_brings_the_reader_down(header: str) -> None:
    assert all(each.scheme == each.scheme.lower() for each in challenges([header]))


@pytest.mark.timeout(5)
def test_a_header_made_to_be_slow_is_not() -> None:
    challenges([f'Bearer {"a=b," * 50_000}"', "a " * 100_000, 'x="' + "\\" * 100_000])


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "localhost.example.com", "10.0.0.1", "0.0.0.0", "127.0.0.1.nip.io", "xlocalhost"]
)
def test_others_are_not_this_machine(host: str) -> None:
    assert not is_loopback(host)
