r"""The file of a realtime model: `blob…`, a description in JSON, and what is scored.

Little-endian: 8 bytes `blob-gm\n`, u16 version, u16 digest algorithm, u32 length of the description, u64
length of the payload, 32 bytes of digest over both (padded with zeros); then both, and nothing more. The
digest finds damage, it proves no origin. Clients write such files, too: standard library, Python 3.9.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from gristmill.errors import InvalidInput, TooLarge

__all__ = ["HEADER_SIZE", "MAGIC", "Container", "read", "write"]

MAGIC = b"blob-gm\n"
_VERSION = 1
_HEADER = struct.Struct("<8sHHIQ32s")
HEADER_SIZE = _HEADER.size
#: Names of digests by number. MD5 is what base R can compute.
_ALGORITHMS = {0: "sha256", 1: "md5"}
#: Bytes that a description may have: names, factor levels and a hundred sample rows.
_MOST_DESCRIPTION = 16 * 2**20


class Container(NamedTuple):
    """What a file holds: UTF-8 JSON, and the bytes that it describes."""

    description: bytes
    payload: bytes


def write(description: Mapping[str, Any], payload: bytes) -> bytes:
    """The file of a model. Numbers keep every bit; NaN is not JSON, so say None."""
    text = json.dumps(description, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    return _head(text, payload) + text + payload


def _head(text: bytes, payload: bytes) -> bytes:
    digest = hashlib.sha256(text)
    digest.update(payload)
    return _HEADER.pack(MAGIC, _VERSION, 0, len(text), len(payload), digest.digest())


def read(data: bytes, *, limit: int = 2**31) -> Container:
    """What a file holds, once its digest is right. Raises InvalidInput, and TooLarge over `limit` bytes."""
    if data[:4] != b"blob":
        raise InvalidInput(
            f"this is not a realtime model: it begins with {data[:8]!r}, and one begins with b'blob'. "
            "gristmill.serialize_model makes one in Python, serializeModel in R"
        )
    if data[:8] != MAGIC:
        raise InvalidInput(
            "this is a model that another program has serialized: serialize it with "
            "gristmill.serialize_model in Python, or with serializeModel of the R package"
        )
    if len(data) > limit:
        raise TooLarge(f"the model has {len(data)} bytes, {limit} at most")
    if len(data) < HEADER_SIZE:
        raise InvalidInput(f"the model ends after {len(data)} bytes, within its header: it was cut off")
    _, version, algorithm, described, size, digest = _HEADER.unpack_from(data)
    if version != _VERSION:
        raise InvalidInput(f"the model has version {version} of the format, and this server reads {_VERSION}")
    if described > _MOST_DESCRIPTION:
        raise InvalidInput(
            f"the model's description is to have {described} bytes, {_MOST_DESCRIPTION} at most"
        )
    if HEADER_SIZE + described + size != len(data):
        raise InvalidInput(
            f"the model has {len(data)} bytes, and its header says {HEADER_SIZE + described + size}: "
            "it was cut off, or something was added to it"
        )
    _check_digest(data, algorithm, digest)
    end = HEADER_SIZE + described
    return Container(data[HEADER_SIZE:end], data[end:])


def _check_digest(data: bytes, algorithm: int, digest: bytes) -> None:
    if algorithm not in _ALGORITHMS:
        raise InvalidInput(f"the model has a digest of an unknown kind ({algorithm})")
    found = hashlib.new(_ALGORITHMS[algorithm], usedforsecurity=False)
    found.update(memoryview(data)[HEADER_SIZE:])
    if found.digest().ljust(32, b"\0") != digest:
        raise InvalidInput("the model is damaged: its digest is not that of its content")
