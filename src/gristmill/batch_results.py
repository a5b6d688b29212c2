"""From what a shell answered to the result of an item, and from there to the files that it wrote.

Answers may be 100 MiB and more: what looks into them runs in threads, and in pieces.
"""

from __future__ import annotations

import contextlib
import io
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

from gristmill.errors import NotFound
from gristmill.jobs import ItemResult
from gristmill.json_members import Damaged, Span, Text, base64_of, members
from gristmill.off_loop import Work, off_loop
from gristmill.ports import BlobStore

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["body_of", "copy_file", "file_of", "files_of", "is_plain", "pieces_of", "stored"]

#: An answer over so many bytes goes to the blob store, so that the database stays small and quick.
_LARGE = 64 * 1024
_NO_FILES = b'"changedFiles":[]}'
#: An answer from the blob store is read in pieces of so many bytes.
_PIECE = 256 * 1024


def is_plain(body: bytes) -> bool:
    """Whether the answer can be stored as it is, in a row."""
    return len(body) <= _LARGE and body.endswith(_NO_FILES)


async def stored(result: ItemResult, blobs: BlobStore) -> ItemResult:
    """The result with what is large, and with files beyond its outputs, in the blob store."""
    body = result.body
    if body is None or is_plain(body):
        return result
    parts = [memoryview(body)]
    if not body.endswith(_NO_FILES):
        start, files, end = await off_loop(Work.COMPUTE, _parted, body)
        if files:
            blob = await blobs.put(cast("BinaryIO", _Views([files])))
            parts, result = [start, end], replace(result, files=blob.digest)
    if sum(map(len, parts)) <= _LARGE:
        return replace(result, body=b"".join(parts))
    blob = await blobs.put(cast("BinaryIO", _Views(parts)))
    return replace(result, body=None, content=blob.digest)


def _parted(body: bytes) -> tuple[memoryview, memoryview, memoryview]:
    """The answer up to its member `files`, the value of that, and the rest; the last two empty without it."""
    view, before = memoryview(body), 0
    with contextlib.suppress(Damaged):  # a shell that was tampered with: its caller gets what it said
        for name, span in members(Text.of_bytes(body)):
            if name == "files":
                # With the name goes the comma before it; `files` is never the first member.
                return view[:before], view[span.start : span.end], view[span.end :]
            before = span.end
    return view, view[:0], view[:0]


class _Views(io.RawIOBase):
    """Reads some pieces of memory as one file, without joining them: that alone would keep all threads."""

    def __init__(self, views: list[memoryview]) -> None:
        self._views = deque(views)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        while self._views and not self._views[0]:
            self._views.popleft()
        if not self._views:
            return 0
        target = memoryview(buffer)
        part = self._views[0][: len(target)]
        target[: len(part)] = part
        self._views[0] = self._views[0][len(part) :]
        return len(part)


async def body_of(result: ItemResult, blobs: BlobStore) -> bytes:
    """The answer, as a synchronous caller would get it."""
    if result.body is not None:
        return result.body
    with await _open(result.content, blobs) as file:
        return await off_loop(Work.READ, file.read)


async def pieces_of(result: ItemResult, blobs: BlobStore, *, skip: int = 0) -> AsyncIterator[bytes]:
    """The answer from byte `skip` on, of which one piece at a time is in memory."""
    if result.body is not None:
        yield result.body[skip:]
        return
    with await _open(result.content, blobs) as file:
        file.seek(skip)
        while piece := await off_loop(Work.READ, file.read, _PIECE):
            yield piece


async def files_of(result: ItemResult, blobs: BlobStore) -> list[str]:
    """Names of the files that the item wrote, sorted."""
    names: set[str] = set()
    for source, is_answer in await _sources(result, blobs):
        with source:
            names.update(name for name, _ in await off_loop(Work.COMPUTE, _files_in, source, is_answer))
    return sorted(names)


async def file_of(result: ItemResult, name: str, blobs: BlobStore) -> bytes:
    """One of these files. Raises NotFound."""
    target = io.BytesIO()
    await copy_file(result, name, blobs, target)
    return target.getvalue()


async def copy_file(result: ItemResult, name: str, blobs: BlobStore, target: BinaryIO) -> None:
    """Write one of these files to `target`, and rewind it. Raises NotFound."""
    found = False
    sources = await _sources(result, blobs)
    for source, is_answer in reversed(sources):  # what was written beyond the answer counts first
        with source:
            found = found or await off_loop(Work.COMPUTE, _copy, source, is_answer, name, target)
    if not found:
        raise NotFound(f"item {result.index} wrote no file {name!r}")


async def _sources(result: ItemResult, blobs: BlobStore) -> list[tuple[BinaryIO, bool]]:
    """What the item's files are in: the answer (True), and the object of those beyond it."""
    if result.body is not None:
        sources: list[tuple[BinaryIO, bool]] = [(io.BytesIO(result.body), True)]
    else:
        sources = [(await _open(result.content, blobs), True)]
    if result.files is not None:
        sources.append((await _open(result.files, blobs), False))
    return sources


async def _open(digest: str | None, blobs: BlobStore) -> BinaryIO:
    assert digest is not None
    return await blobs.open(digest)


def _files_in(source: BinaryIO, is_answer: bool) -> list[tuple[str, Span]]:
    """Name and place of each file that was written."""
    text = _text(source)
    start = 0
    if is_answer:
        start = next((span.start for name, span in members(text) if name == "outputFiles"), -1)
    if start < 0:
        return []
    return [(name, span) for name, span in members(text, start) if text.read(span.start, 1) == b'"']


def _copy(source: BinaryIO, is_answer: bool, name: str, target: BinaryIO) -> bool:
    for each, span in _files_in(source, is_answer):
        if each == name:
            _write(base64_of(_text(source), span), name, target)
            return True
    return False


def _write(pieces: Iterator[bytes], name: str, target: BinaryIO) -> None:
    try:
        target.writelines(pieces)
    except Damaged:
        raise NotFound(f"the content of {name!r} is damaged") from None
    target.seek(0)


def _text(source: BinaryIO) -> Text:
    if isinstance(source, io.BytesIO):
        return Text.of_bytes(source.getvalue())
    return Text.of_file(source)
