"""The file of a realtime model is read as it was written, and nothing else is."""

import hashlib
import json
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import InvalidInput, TooLarge
from gristmill.realtime.container import HEADER_SIZE, MAGIC, read, write

DESCRIPTION = {"columns": [{"name": "größe", "type": "numeric"}], "x": 0.1}
FILE = write(DESCRIPTION, b"payload")


def header(
    *, version: int = 1, algorithm: int = 0, described: int = 2, size: int = 1, digest: bytes = b""
) -> bytes:
    return struct.pack("<8sHHIQ32s", MAGIC, version, algorithm, described, size, digest)


@given(st.binary(max_size=100), st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)))
def test_what_is_written_is_read(payload: bytes, description: dict[str, float]) -> None:
    file = write(description, payload)
    assert file.startswith(b"blob")
    found = read(file)
    assert found.payload == payload
    assert json.loads(found.description) == description


def test_a_file_with_md5_as_r_writes_it_is_read() -> None:
    digest = hashlib.md5(b"{}p", usedforsecurity=False).digest()
    assert read(header(algorithm=1, digest=digest) + b"{}p") == (b"{}", b"p")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a realtime model"),
        (pickle.dumps({}), "serialize_model makes one"),
        (b"blob" + bytes(100), "another program"),
        (FILE[:20], "within its header"),
        (FILE[:-1], "it was cut off"),
        (FILE + b"x", "something was added"),
        (header(version=2) + b"{}p", "version 2"),
        (header(described=2**32 - 1) + b"{}p", "4294967295 bytes, 16777216 at most"),
        (header(size=2**64 - 1) + b"{}p", "its header says 18446744073709551673"),
        (header(algorithm=7) + b"{}p", "unknown kind"),
        (FILE[:-1] + b"D", "damaged"),
        (FILE[:HEADER_SIZE] + b" " + FILE[HEADER_SIZE + 1 :], "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read(data)


def test_a_model_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match="10 at most"):
        read(FILE, limit=10)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(MAGIC + data)
