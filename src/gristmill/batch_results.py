"""From what a shell answered to the result of an item, and from there to the files that it wrote."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import replace

import msgspec

from gristmill.errors import NotFound
from gristmill.jobs import ItemResult
from gristmill.ports import BlobStore

__all__ = ["body_of", "file_of", "files_of", "is_plain", "stored"]

#: An answer over so many bytes goes to the blob store, so that the database stays small and quick.
_LARGE = 64 * 1024
_NO_FILES = b'"changedFiles":[]}'


class _Answer(msgspec.Struct, rename="camel"):
    output_files: dict[str, str | None] = {}


def is_plain(body: bytes) -> bool:
    """Whether the answer can be stored as it is, in a row."""
    return len(body) <= _LARGE and body.endswith(_NO_FILES)


async def stored(result: ItemResult, blobs: BlobStore) -> ItemResult:
    """The result with what is large, and with files beyond its outputs, in the blob store."""
    body = result.body
    if body is None or is_plain(body):
        return result
    if not body.endswith(_NO_FILES):
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        files = fields.pop("files", None)
        if files is not None:
            blob = await blobs.put(io.BytesIO(bytes(files)))
            body = msgspec.json.encode(fields)
            result = replace(result, body=body, files=blob.digest)
    if len(body) > _LARGE:
        blob = await blobs.put(io.BytesIO(body))
        result = replace(result, body=None, content=blob.digest)
    return result


async def body_of(result: ItemResult, blobs: BlobStore) -> bytes:
    """The answer, as a synchronous caller would get it."""
    if result.body is not None:
        return result.body
    assert result.content is not None
    return await _read(result.content, blobs)


async def files_of(result: ItemResult, blobs: BlobStore) -> list[str]:
    """Names of the files that the item wrote, sorted."""
    return sorted(await _contents(result, blobs))


async def file_of(result: ItemResult, name: str, blobs: BlobStore) -> bytes:
    """One of these files. Raises NotFound."""
    content = (await _contents(result, blobs)).get(name)
    if content is None:
        raise NotFound(f"item {result.index} wrote no file {name!r}")
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        raise NotFound(f"the content of {name!r} is damaged") from None


async def _contents(result: ItemResult, blobs: BlobStore) -> dict[str, str]:
    """Base64 by name: the declared files that were written, and those beyond."""
    answer = msgspec.json.decode(await body_of(result, blobs), type=_Answer)
    found = {name: content for name, content in answer.output_files.items() if content is not None}
    if result.files is not None:
        found |= msgspec.json.decode(await _read(result.files, blobs), type=dict[str, str])
    return found


async def _read(digest: str, blobs: BlobStore) -> bytes:
    with await blobs.open(digest) as file:
        return file.read()
