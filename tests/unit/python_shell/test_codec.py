"""Both JSON codecs, msgspec's and the standard library's, by the same rules."""

import json
import math
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import InvalidInput
from gristmill.python_shell import codec

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@pytest.fixture(params=["msgspec", "standard library"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "msgspec":
        monkeypatch.setattr(codec, "_decode", codec._decode_plain)
        monkeypatch.setattr(codec, "_encode", codec._encode_plain)
    return str(request.param)


both: list[tuple[Callable[[bytes], Any], Callable[[object], bytes]]] = [
    (codec._decode, codec._encode),
    (codec._decode_plain, codec._encode_plain),
]


@settings(max_examples=40)
@given(plain)
def test_what_is_encoded_is_decoded_by_either(value: Any) -> None:
    for _, encode in both:
        for decode, _ in both:
            assert decode(encode(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_keep_every_bit(value: float) -> None:
    for decode, encode in both:
        assert struct.pack("d", decode(encode([value]))[0]) == struct.pack("d", value)


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"[1,]", b"NaN", b"[Infinity]", b"[-Infinity]", b"1e999", b"[-1e309]", b"9" * 310 + b".0",
        b'"\\ud800"', b'"\xff"', b"1 2", b"\xef\xbb\xbf1", b"\0", b"'x'", b"[" * 100_000, b"1" * 5000,
    ],
    ids=range(17),
)  # fmt: skip
def test_what_is_no_json_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^the body is"):
        codec.decode(document)


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b" \t\r\n1 \t\r\n", 1),
        (b"1e308", 1e308),
        (b"-0.0", -0.0),
        (b"1E+00300", 1e300),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_what_is_json_is_taken(document: bytes, value: Any) -> None:
    assert codec.decode(document) == value


def test_too_little_memory_for_a_body_is_the_bodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_body: bytes) -> Any:
        raise MemoryError

    monkeypatch.setattr(codec, "_decode", fail)
    with pytest.raises(InvalidInput, match="too large for the memory"):
        codec.decode(b"1")


def test_what_json_cannot_say_is_said_otherwise() -> None:
    value = {"a": [math.nan, math.inf, -math.inf, 1.5], "b\ud800": ("\udfff", None), 3: True}
    expected = {"a": [None, None, None, 1.5], "b?": ["?", None], "3": True}
    assert json.loads(codec.encode(value)) == expected
