r"""The file of an exported service, `.gm`: what the service is, as JSON, and its content.

    gristmill-service 1\n   20 bytes, the 1 being the format's version
    u32                     length of the manifest, big-endian
    32 bytes                SHA-256 of the manifest
    manifest                JSON, in the one form that `write_head` gives it
    content                 as many bytes as the manifest says, of the SHA-256 that it says; then the end

It holds no names of files, so that none can lead elsewhere; nothing is compressed by the format, so that
nothing swells; and it says neither who exported it nor when: one service is always the same bytes. The
digests find damage, they prove no origin.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, BinaryIO, NamedTuple

import msgspec

from gristmill.errors import InvalidInput, TooLarge
from gristmill.schema import parse_parameters
from gristmill.services import PoolSize, Runtime, ServiceVersion

__all__ = ["MOST_HEAD", "CheckedContent", "Content", "ServiceFile", "read_head", "write_head"]

_MAGIC = b"gristmill-service "
_VERSION = b"1\n"
_HEADER = struct.Struct(">20sI32s")
#: Bytes that a manifest may have: code is 16 MiB at most, and JSON writes some characters as two.
_MOST_MANIFEST = 64 * 2**20
MOST_HEAD = _HEADER.size + _MOST_MANIFEST
_MOST_SHELLS = 256  #: as where a pool is asked for


class Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What follows the manifest."""

    sha256: str
    size: int


class _Pool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    initial: int
    maximum: int


class _Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    name: str
    version: str
    runtime: Runtime
    code: str
    init_code: str
    description: str
    operation_id: str | None
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    output_files: list[str]
    batchable: bool
    pool: _Pool | None
    digest: str
    content: Content | None


class ServiceFile(NamedTuple):
    """What the head of a file says."""

    service: ServiceVersion  #: without an owner; `content` is the digest of what follows
    content: Content | None


def write_head(service: ServiceVersion, size: int) -> bytes:
    """All that goes before a content of `size` bytes. Raises TooLarge."""
    manifest = msgspec.json.encode(_manifest(service, size))
    if len(manifest) > _MOST_MANIFEST:
        raise TooLarge(
            f"{service.name} {service.version} cannot be exported: its code and descriptions are "
            f"{len(manifest)} bytes of JSON, {_MOST_MANIFEST} at most"
        )
    digest = hashlib.sha256(manifest).digest()
    return _HEADER.pack(_MAGIC + _VERSION, len(manifest), digest) + manifest


def read_head(source: BinaryIO) -> ServiceFile:
    """Read the head; `source` stands at the content then. Raises InvalidInput, TooLarge."""
    header = source.read(_HEADER.size)
    if not header.startswith(_MAGIC):
        raise InvalidInput("this is no exported service: `gristmill export` writes such files")
    if header[len(_MAGIC) : len(_MAGIC) + len(_VERSION)] != _VERSION:
        raise InvalidInput(
            "this exported service is in a format that this server does not know: a later release wrote it"
        )
    if len(header) < _HEADER.size:
        raise _cut_off()
    _, length, digest = _HEADER.unpack(header)
    if length > _MOST_MANIFEST:
        raise TooLarge(f"the manifest is to have {length} bytes, {_MOST_MANIFEST} at most")
    manifest = source.read(length)
    if len(manifest) < length:
        raise _cut_off()
    if hashlib.sha256(manifest).digest() != digest:
        raise InvalidInput("the exported service is damaged: its manifest is not what was written")
    return _parsed(manifest)


class CheckedContent:
    """The content as a file that is read once: not a byte past it, its last ones only if all are right."""

    def __init__(self, source: BinaryIO, content: Content) -> None:
        self._source = source
        self._content = content
        self._left = content.size
        self._found = hashlib.sha256()

    def check_size(self, limit: int) -> None:
        """Raise TooLarge if there is more than `limit` bytes of it."""
        if self._content.size > limit:
            raise TooLarge(f"the content of the service has {self._content.size} bytes, {limit} at most")

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises InvalidInput, instead of giving the last, if they are not what was said."""
        wanted = self._left if size < 0 else min(size, self._left)
        chunk = self._source.read(wanted)
        if len(chunk) < wanted:
            raise _cut_off()
        self._found.update(chunk)
        self._left -= len(chunk)
        if self._left == 0:
            self._check()
        return chunk

    def _check(self) -> None:
        if self._source.read(1):
            raise InvalidInput("something was added to the exported service after its content")
        if self._found.hexdigest() != self._content.sha256:
            raise InvalidInput("the exported service is damaged: its content is not what was written")


def _manifest(service: ServiceVersion, size: int) -> _Manifest:
    pool = service.pool
    return _Manifest(
        name=service.name,
        version=service.version,
        runtime=service.runtime,
        code=service.code,
        init_code=service.init_code,
        description=service.description,
        operation_id=service.operation_id,
        inputs=[parameter.describe() for parameter in service.inputs],
        outputs=[parameter.describe() for parameter in service.outputs],
        output_files=list(service.output_files),
        batchable=service.batchable,
        pool=_Pool(initial=pool.initial, maximum=pool.maximum) if pool else None,
        digest=service.digest,
        content=None if service.content is None else Content(sha256=service.content, size=size),
    )


def _parsed(text: bytes) -> ServiceFile:
    try:
        said = msgspec.json.decode(text, type=_Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInput(f"the manifest of the exported service is not right: {error}") from None
    service = _service(said)
    # Only one text stands for a service: what says something twice, or beside it, was not written by us.
    if msgspec.json.encode(_manifest(service, said.content.size if said.content else 0)) != text:
        raise InvalidInput("the manifest of the exported service was not written by `gristmill export`")
    if service.sealed().digest != said.digest:
        raise InvalidInput("the exported service is damaged: its digest is not that of what it holds")
    return ServiceFile(service, said.content)


def _service(said: _Manifest) -> ServiceVersion:
    content = said.content
    if content is not None and (content.size < 0 or len(content.sha256) != 64):
        raise InvalidInput("the manifest of the exported service names no content that could be")
    if said.pool is not None and not 0 <= said.pool.initial <= said.pool.maximum <= _MOST_SHELLS:
        raise InvalidInput("the manifest of the exported service names a pool that could not be")
    unowned = ServiceVersion(
        name=said.name,
        version=said.version,
        runtime=said.runtime,
        code=said.code,
        init_code=said.init_code,
        description=said.description,
        operation_id=said.operation_id,
        owner="",
        created=datetime.now(UTC),
        inputs=parse_parameters(said.inputs, what="inputs"),
        outputs=parse_parameters(said.outputs, what="outputs"),
        output_files=tuple(said.output_files),
        batchable=said.batchable,
        content=None if content is None else content.sha256,
        digest=said.digest,
    )
    if said.pool is None:
        return unowned
    return replace(unowned, pool=PoolSize(initial=said.pool.initial, maximum=said.pool.maximum))


def _cut_off() -> InvalidInput:
    return InvalidInput("the exported service was cut off: some of the file is missing")
