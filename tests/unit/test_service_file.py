"""The file of an exported service: one text for one service, and nothing else is read."""

import hashlib
import io
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import GristmillError, InvalidInput, TooLarge
from gristmill.schema import Form, Parameter, ParameterType
from gristmill.service_file import CheckedContent, Content, read_head, write_head
from gristmill.services import PoolSize, Runtime, ServiceVersion
from tests.contract.records import service

CONTENT = b"what the service needs" * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FULL = service(
    code="y <- predict(m, x)",
    init_code="library(stats)",
    description="Äpfel",
    operation_id="price",
    inputs=(Parameter("x", ParameterType.DATA_FRAME, ("a", "b"), Form.ARRAY),),
    outputs=(Parameter("y", ParameterType.VECTOR),),
    output_files=("plot.png",),
    content=DIGEST,
    batchable=True,
    pool=PoolSize(initial=1, maximum=3),
)


def made(manifest: Any, *, version: bytes = b"1", length: int | None = None) -> bytes:
    """A file whose head says `manifest`, with a digest of it that is right."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest, separators=(",", ":")).encode()
    size = len(text) if length is None else length
    magic = b"gristmill-service " + version + b"\n"
    return struct.pack(">20sI32s", magic, size, hashlib.sha256(text).digest()) + text


def said(**changes: Any) -> dict[str, Any]:
    """The manifest of FULL, with other words in it, and without those that are `...`."""
    manifest = json.loads(write_head(FULL, len(CONTENT))[56:])
    manifest.update(changes)
    return {key: value for key, value in manifest.items() if value is not ...}


def refused(data: bytes) -> str:
    with pytest.raises((InvalidInput, TooLarge)) as caught:
        read_head(io.BytesIO(data))
    return caught.value.message


def content_of(data: bytes) -> bytes:
    file = io.BytesIO(data)
    head = read_head(file)
    assert head.content is not None
    source = CheckedContent(file, head.content)
    parts = []
    while part := source.read(100):
        parts.append(part)
    return b"".join(parts)


def test_a_service_comes_back_as_it_went_but_for_owner_and_date() -> None:
    file = io.BytesIO(write_head(FULL, len(CONTENT)) + CONTENT)
    found, content = read_head(file)
    for name in ServiceVersion.__dataclass_fields__:
        if name not in {"owner", "created"}:
            assert getattr(found, name) == getattr(FULL, name), name
    assert found.owner == ""
    assert content == Content(sha256=DIGEST, size=len(CONTENT))
    assert file.read() == CONTENT


def test_one_service_is_always_the_same_bytes() -> None:
    assert write_head(FULL, 5) == write_head(service(**{**_fields(FULL), "owner": "eve"}), 5)


def _fields(version: ServiceVersion) -> dict[str, Any]:
    names = set(ServiceVersion.__dataclass_fields__) - {"name", "version", "digest"}
    return {name: getattr(version, name) for name in names}


@given(code=st.text(), init_code=st.text(), description=st.text(), batchable=st.booleans())
def test_any_text_survives(code: str, init_code: str, description: str, batchable: bool) -> None:
    given_ = service(code=code, init_code=init_code, description=description, batchable=batchable)
    found, content = read_head(io.BytesIO(write_head(given_, 0)))
    assert (found.code, found.init_code, found.description) == (code, init_code, description)
    assert content is None


def test_content_is_given_whole_and_checked() -> None:
    assert content_of(write_head(FULL, len(CONTENT)) + CONTENT) == CONTENT


@pytest.mark.parametrize("missing", [1, 100, len(CONTENT)])
def test_content_that_is_cut_off_is_refused(missing: int) -> None:
    with pytest.raises(InvalidInput, match="cut off"):
        content_of((write_head(FULL, len(CONTENT)) + CONTENT)[:-missing])


def test_other_content_and_more_content_are_refused() -> None:
    head = write_head(FULL, len(CONTENT))
    with pytest.raises(InvalidInput, match="its content is not what was written"):
        content_of(head + CONTENT[:-1] + b"!")
    with pytest.raises(InvalidInput, match="something was added"):
        content_of(head + CONTENT + b"!")


def test_empty_content_is_checked_too() -> None:
    empty = Content(sha256="0" * 64, size=0)
    with pytest.raises(InvalidInput, match="damaged"):
        CheckedContent(io.BytesIO(b""), empty).read(10)
    right = Content(sha256=hashlib.sha256(b"").hexdigest(), size=0)
    assert CheckedContent(io.BytesIO(b""), right).read(10) == b""


def test_content_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge, match="101 bytes, 100 at most"):
        CheckedContent(io.BytesIO(), Content(sha256=DIGEST, size=101)).check_size(100)


def test_every_beginning_of_a_file_is_refused() -> None:
    whole = write_head(FULL, len(CONTENT))
    for size in range(0, len(whole), 7):
        refused(whole[:size])
    refused(whole[:-1])


@given(st.data())
def test_a_damaged_byte_is_always_noticed(data: st.DataObject) -> None:
    whole = bytearray(write_head(FULL, len(CONTENT)))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    refused(bytes(whole))


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise_anything_but_an_error_of_ours(data: bytes) -> None:
    for file in (data, b"gristmill-service 1\n" + data, made(data)):
        with pytest.raises(GristmillError):
            read_head(io.BytesIO(file))


def test_a_file_of_another_kind_and_of_a_later_release_are_told_apart() -> None:
    assert "no exported service" in refused(b"PK\3\4")
    assert "no exported service" in refused(b"")
    assert "a later release" in refused(made(said(), version=b"2"))


def test_a_huge_manifest_is_refused_by_its_announced_size() -> None:
    assert "bytes, 67108864 at most" in refused(made(said(), length=2**32 - 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1},
        {"code": ...},
        {"code": 1},
        {"runtime": "Julia"},
        {"runtime": None},
        {"batchable": 1},
        {"inputs": {}},
        {"inputs": [{"name": "x", "type": "list"}]},
        {"inputs": [{"name": "../x", "type": "vector"}]},
        {"inputs": [{"name": "x", "type": "vector", "more": 1}]},
        {"inputs": [{"name": "x", "type": "vector"}, {"name": "x", "type": "vector"}]},
        {"outputFiles": [1]},
        {"pool": {"initial": 3, "maximum": 1}},
        {"pool": {"initial": 0, "maximum": 10**6}},
        {"pool": {"initial": -1, "maximum": 1}},
        {"content": {"sha256": DIGEST, "size": -1}},
        {"content": {"sha256": DIGEST, "size": 2**70}},
        {"content": {"sha256": "../../etc/passwd", "size": 1}},
        {"content": {"sha256": DIGEST}},
        {"content": None},
        {"digest": "0" * 64},
        {"name": "other"},
        {"code": "another"},
    ],
)
def test_a_manifest_that_is_not_right_is_refused(changes: dict[str, Any]) -> None:
    refused(made(said(**changes)))


def test_a_manifest_that_says_something_twice_or_in_another_way_is_refused() -> None:
    text = write_head(FULL, len(CONTENT))[56:]
    assert read_head(io.BytesIO(made(text))).service.name == "bos"
    assert "not written by" in refused(made(text.replace(b'{"name":', b'{"name":"evil","name":', 1)))
    assert "not written by" in refused(made(text.replace(b'","version"', b'", "version"', 1)))
    refused(made(text + b" "))
    refused(made(b"[" * 100_000))


def test_realtime_services_are_said_to_be_such() -> None:
    model = service(runtime=Runtime.REALTIME, code="", content=DIGEST)
    assert read_head(io.BytesIO(write_head(model, 5))).service.runtime is Runtime.REALTIME


def test_a_service_whose_manifest_no_server_would_read_is_not_written() -> None:
    with pytest.raises(TooLarge, match="cannot be exported"):
        write_head(service(code="\x01" * (12 * 2**20)), 0)
