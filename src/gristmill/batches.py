"""Batches as their owners see them: start, look at, cancel."""

from __future__ import annotations

import asyncio
import random
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar, cast

import structlog

from gristmill.batch import BatchRunner
from gristmill.batch_inputs import InputWriter
from gristmill.batch_results import body_of, copy_file, file_of, files_of, pieces_of
from gristmill.errors import InvalidInput, NotFound, TooLarge
from gristmill.identity import Permission, Principal
from gristmill.jobs import Batch, BatchState, ItemResult
from gristmill.json_items import ArrayItems, Part
from gristmill.off_loop import Work, off_loop
from gristmill.ports import BatchStore, BlobStore, StateUnavailable
from gristmill.services import ServiceVersion

__all__ = ["BatchSettings", "Batches", "Intake"]

T = TypeVar("T")
log = structlog.get_logger()

_MIB = 1024 * 1024
#: Bytes that are cut into items before others get a turn.
_PIECE = 16 * 1024
#: Rows of results that are read at a time, at first and at most, and bytes of them.
_FIRST_PAGE, _PAGE, _PAGE_BYTES = 50, 500, 4 * _MIB
#: Seconds between tries of a write or a read whose answer was lost.
_PAUSES = (0.1, 0.4)
_BUFFER = 256 * 1024
#: So many bytes of items are gathered before they are written, in a thread.
_WRITE = 1024 * 1024
#: A watcher is not told more often than this.
_WATCH_SECONDS = 0.2
DEFAULT_PARALLEL = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """What a batch may be. Each has a flag of `gristmill serve`."""

    most_parallel: int = 64  #: items in flight, whatever a caller asks for
    most_items: int = 100_000
    most_bytes: int = 4096 * _MIB  #: of all inputs of one batch
    item_bytes: int = 64 * _MIB  #: of the inputs of one item
    keep_seconds: float = 7 * 24 * 3600.0  #: how long an ended batch can be looked at


class Intake:
    """Takes the items of a new batch as they come, into a file without a name. Use as a context manager."""

    def __init__(self, settings: BatchSettings, staging: Path) -> None:
        self._settings = settings
        file = tempfile.TemporaryFile(dir=staging, buffering=_BUFFER)  # noqa: SIM115 - closed on exit
        self.file = cast(BinaryIO, file)
        self._writer = InputWriter(self.file)
        self._items = ArrayItems(settings.item_bytes)
        self._unwritten: list[bytes] = []
        self._size = 0  #: bytes of them

    def __enter__(self) -> Intake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    async def feed(self, data: bytes) -> None:
        """Take a piece of a JSON array. Raises InvalidInput, TooLarge."""
        for start in range(0, len(data), _PIECE):
            self._take(list(self._items.parts(data[start : start + _PIECE])))
            await self.settle()
            await asyncio.sleep(0)

    def add(self, item: bytes) -> None:
        """Take one item, which is valid JSON; `settle` is to follow. Raises TooLarge."""
        if len(item) > self._settings.item_bytes:
            most = self._settings.item_bytes
            raise TooLarge(
                f"item {len(self._writer)} has more than the permitted {most:,} bytes: take fewer rows"
            )
        self._take([Part(item, ends=True)])

    async def settle(self) -> None:
        """Write what was taken, if that is much."""
        if self._size >= _WRITE:
            await self._write()

    def finish_json(self) -> None:
        """The JSON has ended. Raises InvalidInput unless the array was complete."""
        self._items.finish()

    async def finish(self) -> int:
        """How many items there are. Raises InvalidInput when there is none."""
        if not len(self._writer):
            raise InvalidInput("the batch is empty: send a JSON array with the inputs of each item")
        await off_loop(Work.WRITE, _finish, self._writer, self._unwritten)
        return len(self._writer)

    def _take(self, parts: list[Part]) -> None:
        joined = self._writer.join(parts)
        if len(self._writer) > self._settings.most_items:
            most = self._settings.most_items
            raise TooLarge(f"the batch has more than {most:,} items: start several, or put more into an item")
        self._unwritten.append(joined)
        self._size += len(joined)

    async def _write(self) -> None:
        unwritten, self._unwritten, self._size = self._unwritten, [], 0
        await off_loop(Work.WRITE, self._writer.write, unwritten)


def _finish(writer: InputWriter, unwritten: list[bytes]) -> None:
    writer.write(unwritten)
    writer.finish()


class Batches:
    """Every method but `start` raises NotFound for what is not there, and for what is not the caller's."""

    def __init__(
        self,
        store: BatchStore,
        blobs: BlobStore,
        runner: BatchRunner,
        *,
        settings: BatchSettings,
        staging: Path,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._runner = runner
        self._staging = staging
        self.settings = settings

    def intake(self) -> Intake:
        """For the items of a new batch."""
        return Intake(self.settings, self._staging)

    async def start(
        self, service: ServiceVersion, intake: Intake, by: Principal, *, parallel: int | None = None
    ) -> Batch:
        """A batch of what was taken in; it is durable on return, and begins at once.

        Raises InvalidInput when it is empty, or `parallel` makes no sense.
        """
        wanted = DEFAULT_PARALLEL if parallel is None else parallel
        if not 1 <= wanted <= self.settings.most_items:
            raise InvalidInput(
                f"parallelCount is {wanted}: it says how many items run at a time, from 1 on; "
                f"this server runs {self.settings.most_parallel} at most"
            )
        total = await intake.finish()
        blob = await self._blobs.put(intake.file)
        batch = Batch(
            id=str(uuid.uuid4()),
            owner=by.name,
            service=service,
            inputs=blob.digest,
            parallel=min(wanted, self.settings.most_parallel),
            total=total,
            created=datetime.now(UTC),
        )
        await _certainly(lambda: self._store.add(batch))
        self._runner.look()
        return batch

    async def ids(self, name: str, version: str, by: Principal) -> list[str]:
        """Of the batches of a service that the caller may see, oldest first."""
        return await self._store.of(name, version, None if by.may(Permission.BATCHES_ANY) else by.name)

    async def get(self, name: str, version: str, id: str, by: Principal) -> Batch:
        """The batch as it stands."""
        batch = await self._store.get(id)
        if batch is None or (batch.service.name, batch.service.version) != (name, version):
            raise NotFound(f"there is no batch {id[:64]!r} of {name} {version}")
        if batch.owner != by.name and not by.may(Permission.BATCHES_ANY):
            raise NotFound(f"there is no batch {id[:64]!r} of {name} {version}")
        return batch

    async def results(self, batch: Batch) -> AsyncIterator[list[tuple[ItemResult, bytes]]]:
        """All that `batch` counts as completed, in the order of the inputs, some at a time, with answers.

        Of large answers there is one at a time.
        """
        async for page in self.rows(batch):
            for part in _parted(page):
                yield [(result, await body_of(result, self._blobs)) for result in part]

    async def rows(self, batch: Batch) -> AsyncIterator[list[ItemResult]]:
        """As `results`, where large answers stay in the blob store; some MiB at a time."""
        first, left, most = 0, batch.completed, _FIRST_PAGE
        while left > 0:
            # Part of the answer may be with the caller already: it is not broken off for a moment's trouble.
            read = partial(self._store.results, batch.id, first=first, most=most, rank=batch.completed)
            page = await _certainly(read)
            if not page:
                return  # it was deleted meanwhile
            yield page
            first, left, most = page[-1].index + 1, left - len(page), _next_page(page)

    async def arrivals(self, batch: Batch, after: int, most: int) -> list[ItemResult]:
        """Results in the order in which they were recorded, those of rank `after` + 1 first.

        Up to `most` of them, and no more than some MiB, or some large answers, which stay in the blob store.
        """
        found: list[ItemResult] = []
        size, page = 0, _FIRST_PAGE
        while len(found) < min(most, _PAGE) and size < _PAGE_BYTES:
            wanted = min(page, most - len(found), _PAGE - len(found))
            rows = await self._store.arrivals(batch.id, after=after + len(found), most=wanted)
            for row in rows:
                found.append(row)
                size += _weight(row)
                if size >= _PAGE_BYTES:
                    break
            if len(rows) < wanted:
                break
            page = _next_page(rows)
        return found

    def answer(self, result: ItemResult, *, skip: int = 0) -> AsyncIterator[bytes]:
        """The answer of an item from byte `skip` on, piece by piece."""
        return pieces_of(result, self._blobs, skip=skip)

    async def later(self, batch: Batch) -> Batch:
        """The batch when it is another than `batch`, or after a second; NotFound once it was deleted."""
        change = self._runner.change  # before the look, so that none is missed
        now = await self._store.get(batch.id)
        if now == batch:
            await _change_or(change, 1.0)
            now = await self._store.get(batch.id)
        if now is None:
            raise NotFound(f"the batch {batch.id} was deleted")
        return now

    async def files(self, batch: Batch, index: int) -> list[str]:
        """Names of the files that an item wrote."""
        return await files_of(await self._result(batch, index), self._blobs)

    async def file(self, batch: Batch, index: int, name: str) -> bytes:
        """One of these files."""
        return await file_of(await self._result(batch, index), name, self._blobs)

    async def open_file(self, batch: Batch, index: int, name: str) -> BinaryIO:
        """One of these files, at its start; closing it is up to the caller."""
        result = await self._result(batch, index)
        file = cast("BinaryIO", tempfile.TemporaryFile(dir=self._staging))  # noqa: SIM115 - the caller's
        try:
            await copy_file(result, name, self._blobs, file)
        except BaseException:
            file.close()
            raise
        return file

    async def cancel(self, batch: Batch) -> None:
        """Stop and delete the batch with all its results."""
        await _certainly(lambda: self._store.remove(batch.id))
        self._runner.drop(batch.id)

    async def watch(self, batch: Batch, seconds: float) -> AsyncIterator[Batch | None]:
        """The batch now, and whenever it has changed, until it has ended; None for each `seconds` without."""
        shown: Batch | None = None
        while True:
            change = self._runner.change
            now = await self._store.get(batch.id)
            if now is None:
                now = replace(shown or batch, state=BatchState.CANCELLED)
            yield None if now == shown else now
            shown = now
            if now.ended:
                return
            await asyncio.sleep(_WATCH_SECONDS)
            await _change_or(change, seconds)

    async def _result(self, batch: Batch, index: int) -> ItemResult:
        if not 0 <= index < batch.total:
            raise NotFound(f"there is no item {index}: the batch has {batch.total}, and the first one is 0")
        found = await self._store.results(batch.id, first=index, most=1, rank=batch.total)
        if not found or found[0].index != index:
            raise NotFound(f"item {index} has no result yet")
        return found[0]


def _weight(row: ItemResult) -> int:
    """Bytes of an answer; a large one, which is sent piece by piece, counts as a quarter of a page."""
    return _PAGE_BYTES // 4 if row.body is None else len(row.body)


def _next_page(page: list[ItemResult]) -> int:
    """How many rows to read next, if they are as large as the largest of these."""
    largest = max((len(row.body or b"") for row in page), default=0)
    return min(_PAGE, max(1, _PAGE_BYTES // max(1, largest)))


def _parted(page: list[ItemResult]) -> Iterator[list[ItemResult]]:
    """The rows in parts: each large answer alone."""
    plain: list[ItemResult] = []
    for row in page:
        if row.body is not None:
            plain.append(row)
            continue
        if plain:
            yield plain
        plain = []
        yield [row]
    if plain:
        yield plain


async def _certainly(write: Callable[[], Awaitable[T]]) -> T:
    """Write or read, and again where the answer may be what was lost: a second time is no second write."""
    for pause in _PAUSES:
        try:
            return await write()
        except StateUnavailable as error:
            log.warning("batch_access_repeated", why=error.message, seconds=pause)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
    return await write()


async def _change_or(change: asyncio.Event, seconds: float) -> None:
    """Wait for a change on this node; one by another node shows only after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await change.wait()
    except TimeoutError:
        return
