"""A large JSON value is checked part by part, with the verdict that the whole would get."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gristmill.json_check
from gristmill.json_check import LargeCheck
from tests.unit.test_json_items import VALUES, pieces_of

_MIB = 1 << 20


def verdict(pieces: list[bytes], part: int) -> str:
    """What is wrong, in pieces that are cut from `part` bytes on; empty if nothing is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gristmill.json_check, "_PART", part)
        patch.setattr(gristmill.json_check, "_MOST_PARTS", 1000)
        check = LargeCheck()
        try:
            for piece in pieces:
                check.feed(piece)
            check.finish()
        except ValueError as error:
            return str(error) or "wrong"
    return ""


@given(
    value=VALUES,
    sizes=st.lists(st.integers(0, 9)),
    part=st.integers(1, 12),
    plain=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_what_is_valid_is_valid_wherever_it_is_cut(
    value: Any, sizes: list[int], part: int, plain: bool, indent: Any
) -> None:
    text = json.dumps(value, ensure_ascii=plain, indent=indent).encode("utf-8", "surrogatepass")
    assert verdict(pieces_of(text, sizes), part) == ""


@given(
    text=st.text(alphabet='[]{},:"\\ 1tué', max_size=14),
    sizes=st.lists(st.integers(0, 3)),
    part=st.integers(1, 4),
)
def test_what_a_parser_refuses_is_refused_wherever_it_is_cut(text: str, sizes: list[int], part: int) -> None:
    raw = text.encode()
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
        valid = True
    except msgspec.DecodeError:
        valid = False
    assert (verdict(pieces_of(raw, sizes), part) == "") == valid


@given(value=VALUES, part=st.integers(1, 8), place=st.integers(0, 200), byte=st.sampled_from(b'[]{},:"\\x1'))
def test_one_wrong_byte_is_seen_as_in_the_whole(value: Any, part: int, place: int, byte: int) -> None:
    raw = bytearray(json.dumps([value, value]).encode())
    raw[place % len(raw)] = byte
    try:
        msgspec.json.decode(bytes(raw), type=msgspec.Raw)
        valid = True
    except msgspec.DecodeError:
        valid = False
    assert (verdict([bytes(raw)], part) == "") == valid


def _longest_step(text: bytes) -> float:
    """Seconds of processor time that the longest piece of 64 KiB took."""
    check, longest = LargeCheck(), 0.0
    for start in range(0, len(text), 64 * 1024):
        begun = time.thread_time()
        check.feed(text[start : start + 64 * 1024])
        longest = max(longest, time.thread_time() - begun)
    check.finish()
    assert len(check._text) < _MIB
    return longest


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"1.25," * 600_000 + b"0]",
        b'{"a":"' + b"x" * (3 * _MIB) + b'"}',
        b'"' + "é".encode() * _MIB + b'"',
        b'["' + b"\\ud83d\\ude00" * 200_000 + b'"]',
        b"[" + b'{"a":[1,2,{"b":"c,d"}]},' * 100_000 + b"null]",
        b'{"' + b"k" * (2 * _MIB) + b'":1}',
    ],
    ids=["numbers", "a string", "accents", "pairs", "records", "a name"],
)
def test_large_values_are_checked_in_short_steps(text: bytes) -> None:
    # A step is 64 KiB, and 0.04 s where brackets are dense; what grew with the whole would take seconds. The
    # best of three, and with room: other programs run, and under coverage Python is many times slower.
    most = 0.25 if sys.gettrace() is None else 1.0
    assert min(_longest_step(text) for _ in range(3)) < most
    broken = LargeCheck()
    broken.feed(text[:-1])
    with pytest.raises(ValueError, match=r"\w"):
        broken.finish()


@pytest.mark.parametrize(
    "text", [b"[,1]", b"{,}", b'{,"a":1}', b"[1,,2]", b"[1,]", b"1,2", b'[[],{"a":[,1]}]', b'{"a",1}']
)
def test_a_comma_without_an_element_before_it_is_seen_wherever_the_text_is_cut(text: bytes) -> None:
    for part in range(1, len(text) + 1):
        assert verdict([text], part) != "", part


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 300_000, "too deeply"),
        (b"[1" + b" " * (2 * _MIB), "no comma"),
        (b"]" * 300_000, "never opened"),
    ],
)
def test_what_could_not_be_cut_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LargeCheck().feed(text)
