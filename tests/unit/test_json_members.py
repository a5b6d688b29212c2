"""Members of a JSON object are found wherever windows end, and base64 is decoded piece by piece."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gristmill.json_members
from gristmill.errors import GristmillError
from gristmill.json_members import Span, Text, base64_of, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='"\\[]{}:, aé', max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)


@given(
    fields=st.dictionaries(st.text(alphabet='"\\[]{}:, aé', max_size=5), VALUES, max_size=5),
    plain=st.booleans(),
    indent=st.sampled_from([None, 1, "\t"]),
    window=st.integers(1, 40),
)
def test_the_members_are_those_of_a_parser_wherever_windows_end(
    fields: dict[str, Any], plain: bool, indent: Any, window: int
) -> None:
    text = json.dumps(fields, ensure_ascii=plain, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gristmill.json_members, "_WINDOW", window)
        found = {name: json.loads(text[span.start : span.end]) for name, span in members(Text.of_bytes(text))}
    assert found == fields


@given(content=st.binary(max_size=200), digits=st.sampled_from([4, 8, 64]))
def test_base64_is_decoded_piece_by_piece(content: bytes, digits: int) -> None:
    text = b'"' + base64.b64encode(content) + b'"'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gristmill.json_members, "_DIGITS", digits)
        assert b"".join(base64_of(Text.of_bytes(text), Span(0, len(text)))) == content


@pytest.mark.parametrize(
    "text", [b"", b"[1]", b"{", b'{"a"', b'{"a":', b'{"a":[', b'{"a":"x', b'{"a" 1}', b"{1:2}"]
)
def test_what_is_no_object_is_an_error_and_no_endless_search(text: bytes) -> None:
    with pytest.raises(GristmillError):
        list(members(Text.of_bytes(text)))


@pytest.mark.parametrize("digits", [b"AQ=I", b"A", b"A*==", b"AQI=AQI="])
def test_what_is_no_base64_is_an_error(digits: bytes) -> None:
    with pytest.raises(GristmillError):
        list(base64_of(Text.of_bytes(b'"%b"' % digits), Span(0, len(digits) + 2)))
