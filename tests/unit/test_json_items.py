"""A JSON array is cut into its items however its bytes arrive, and what is no array is refused."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import InvalidInput, TooLarge
from gristmill.json_items import ArrayItems

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def cut(pieces: list[bytes], limit: int = 1 << 20) -> list[bytes]:
    items = ArrayItems(limit)
    found = [item for piece in pieces for item in items.feed(piece)]
    items.finish()
    assert items.count == len(found)
    return found


def pieces_of(text: bytes, sizes: list[int]) -> list[bytes]:
    """`text` in pieces of these sizes, and the rest of it."""
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]


@given(
    values=st.lists(VALUES),
    sizes=st.lists(st.integers(0, 9)),
    plain=st.booleans(),
    indent=st.sampled_from([None, 1, "\t"]),
)
def test_the_items_are_those_of_a_parser_whatever_the_pieces(
    values: list[Any], sizes: list[int], plain: bool, indent: Any
) -> None:
    text = json.dumps(values, ensure_ascii=plain, indent=indent).encode("utf-8", "surrogatepass")
    assert [json.loads(item) for item in cut(pieces_of(text, sizes))] == values


@given(text=st.text(alphabet='[]{},:"\\ 1tu', max_size=12), sizes=st.lists(st.integers(0, 3)))
def test_what_a_parser_refuses_is_refused_and_nothing_else(text: str, sizes: list[int]) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    try:
        found = [json.loads(item) for item in cut(pieces_of(text.encode(), sizes))]
    except InvalidInput:
        found = None
    assert found == (expected if isinstance(expected, list) else None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b'{"a":1}', "not a JSON array"),
        (b"5", "not a JSON array"),
        (b"[1,2", "breaks off after 1 items"),
        (b"[1,", "breaks off"),
        (b'["a', "breaks off"),
        (b"[1 2]", "a comma or ]"),
        (b"[1]2", "goes on"),
        (b"[{]}]", "item 0 is not valid JSON"),
        (b"[tru]", "item 0 is not valid JSON"),
        (b"[,1]", "item 0 is not valid JSON"),
        (b"[1,]", "item 1 is not valid JSON"),
        (b"[NaN]", "item 0 is not valid JSON"),
    ],
)
def test_the_refusal_says_what_is_wrong(text: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        cut([text])


@pytest.mark.parametrize("text", [b'["' + b"a" * 200 + b'"]', b"[" + b"1" * 200 + b"]", b"[[" + b"1," * 99])
def test_an_item_over_the_limit_is_refused_even_before_it_is_complete(text: bytes) -> None:
    with pytest.raises(TooLarge, match="item 0 has more than the permitted 100 bytes"):
        cut([text], limit=100)
    with pytest.raises(TooLarge, match="item 0"):
        cut([text[i : i + 1] for i in range(len(text))], limit=100)


def test_deep_nesting_is_refused_and_not_survived_by_luck() -> None:
    with pytest.raises(InvalidInput):
        cut([b"[" * 100_000 + b"]" * 100_000])


def test_memory_does_not_grow_with_the_number_of_items() -> None:
    items = ArrayItems(1 << 20)
    piece = b'{"x": [1, 2, 3]},' * 1000
    list(items.feed(b"[" + piece))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(20):
        for _ in items.feed(piece):
            pass
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert items.count == 21_000
    assert grown < 50_000


@given(values=st.lists(VALUES), sizes=st.lists(st.integers(0, 9)), large=st.integers(0, 20))
def test_the_parts_of_large_items_are_the_items_whatever_is_large(
    values: list[Any], sizes: list[int], large: int
) -> None:
    text = json.dumps(values).encode()
    items, found = ArrayItems(1 << 20, large=large), [b""]
    for piece in pieces_of(text, sizes):
        for part in items.parts(piece):
            found[-1] += part.data
            found += [b""] if part.ends else []
    items.finish()
    assert [json.loads(item) for item in found[:-1]] == values
    assert (items.count, found[-1]) == (len(values), b"")


@pytest.mark.parametrize("end", [b"]", b"}", b",]", b"1 2]", b'"a":1]'])
def test_a_large_item_that_is_no_json_is_refused_with_its_number(end: bytes) -> None:
    pieces = [b"[0,{" + b'"a":[1,2],' * 20_000 + end + b"]", b"}}]]"]
    items = ArrayItems(1 << 20)
    with pytest.raises(InvalidInput, match="item 1 is not valid JSON"):
        [part for piece in pieces for part in items.parts(piece)]
