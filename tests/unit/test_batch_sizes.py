"""Large inputs and answers of a batch: the event loop goes on, and memory holds one piece of them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import os
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import msgspec
import pytest

from gristmill.batch_inputs import InputReader, InputWriter
from gristmill.batch_results import body_of, file_of, files_of, stored
from gristmill.batches import Batches, BatchSettings, Intake
from gristmill.blobs import DirectoryBlobs
from gristmill.errors import GristmillError, NotFound, TooLarge
from gristmill.jobs import Batch, Claim, ItemResult
from gristmill.ports import StateUnavailable
from gristmill.testing import MemoryBatches, MemoryBlobs
from gristmill.web.routes.batches import _status, arrivals
from tests.contract.records import batch, result
from tests.unit.test_batch import SERVICE, FakeDispatcher, World, answer

_MIB = 1 << 20
#: Seconds for which nothing may keep the event loop.
_BOUND = 0.05


class Heart:
    """How long the loop stood still at most, seconds."""

    longest = 0.0


@contextlib.asynccontextmanager
async def beating() -> AsyncIterator[Heart]:
    heart = Heart()

    async def beat() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.002)
            heart.longest = max(heart.longest, time.perf_counter() - begun - 0.002)

    task = asyncio.create_task(beat())
    await asyncio.sleep(0.01)
    heart.longest = 0.0
    yield heart
    await asyncio.sleep(0.005)
    task.cancel()


async def longest_stall(story: Callable[[], Coroutine[Any, Any, None]]) -> float:
    """The least of three runs, since others use the machine, too; fewer if one is short."""
    found = []
    for _ in range(3):
        async with beating() as heart:
            await story()
        found.append(heart.longest)
        if heart.longest < _BOUND:
            break
    return min(found)


async def recorded(folder: Path, results: list[ItemResult]) -> tuple[Batches, Batch]:
    """A batch with these results."""
    store, blobs = MemoryBatches(), DirectoryBlobs(folder)
    await store.add(batch(total=len(results), service=SERVICE))
    [taken] = await store.take("n", now=0, until=1e12, most=1)
    await store.record(Claim("b1", taken.takes), [await stored(each, blobs) for each in results], until=1e12)
    batches = Batches(store, blobs, cast(Any, None), settings=BatchSettings(), staging=folder)
    found = await store.get("b1")
    assert found is not None
    return batches, found


def large(index: int, size: int) -> ItemResult:
    return ItemResult(index=index, ok=True, body=answer("x" * size).body)


async def test_results_in_order_hold_about_one_large_answer_in_memory(tmp_path: Path) -> None:
    batches, done = await recorded(tmp_path, [large(index, _MIB) for index in range(40)])
    tracemalloc.start()
    size = 0
    async for piece in _status(batches, done, wanted=True):
        size += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 40 * _MIB
    assert peak < 4 * _MIB


async def test_results_as_they_came_in_are_bounded_in_bytes_and_go_on_at_next(tmp_path: Path) -> None:
    results = [large(index, 300_000 if index % 3 == 0 else 50_000) for index in range(60)]
    batches, done = await recorded(tmp_path, results)
    after, pages = 0, 0
    while after < 60:
        rows = await batches.arrivals(done, after, 500)
        assert rows
        assert [row.rank for row in rows] == list(range(after + 1, after + 1 + len(rows)))
        after, pages = after + len(rows), pages + 1
    assert 3 < pages < 30


async def test_small_results_come_500_at_a_time(tmp_path: Path) -> None:
    batches, done = await recorded(tmp_path, [result(index) for index in range(1200)])
    assert len(await batches.arrivals(done, 0, 500)) == 500
    assert len(await batches.arrivals(done, 100, 7)) == 7
    pages = [len(page) async for page in batches.rows(done)]
    assert (sum(pages), max(pages)) == (1200, 500)


async def test_what_is_sent_is_one_document_whatever_is_large_in_it(tmp_path: Path) -> None:
    results = [large(0, 10), large(1, 100_000), large(2, 100_000), large(3, 10)]
    batches, done = await recorded(tmp_path, results)
    whole = b"".join([piece async for piece in _status(batches, done, wanted=True)])
    shown = msgspec.json.decode(whole)["batchExecutionResults"]
    assert [(each["index"], len(each["outputParameters"]["y"])) for each in shown] == [
        *((0, 10), (1, 100_000), (2, 100_000), (3, 10))
    ]
    context = SimpleNamespace(
        batches=SimpleNamespace(get=lambda *_: _ready(done), arrivals=batches.arrivals, answer=batches.answer)
    )
    page = await arrivals(
        cast(Any, context), cast(Any, None), "bos", "1", executionId="b1", after=1, limit=9, wait=0.0
    )
    sent = b"".join([cast(bytes, piece) async for piece in cast(Any, page).body_iterator])
    decoded = msgspec.json.decode(sent)
    assert decoded["next"] == 4
    assert [each["index"] for each in decoded["batchExecutionResults"]] == [1, 2, 3]


async def test_results_are_not_broken_off_where_the_store_fails_for_a_moment(tmp_path: Path) -> None:
    batches, known = await recorded(tmp_path, [result(i) for i in range(1000)])
    whole = b"".join([piece async for piece in _status(batches, known, True)])
    usual, asked = batches._store.results, 0

    async def failing(*given: Any, **options: Any) -> list[ItemResult]:
        nonlocal asked
        asked += 1
        if asked in {1, 3}:
            raise StateUnavailable("the database does not answer")
        return await usual(*given, **options)

    batches._store.results = failing  # type: ignore[method-assign]
    assert b"".join([piece async for piece in _status(batches, known, True)]) == whole


async def test_a_store_that_does_not_answer_is_told_before_any_of_the_results(tmp_path: Path) -> None:
    batches, known = await recorded(tmp_path, [result(0)])

    async def failing(*given: Any, **options: Any) -> list[ItemResult]:
        raise StateUnavailable("the database does not answer")

    batches._store.results = failing  # type: ignore[method-assign]
    with pytest.raises(StateUnavailable):
        await anext(_status(batches, known, True))


async def _ready(value: Any) -> Any:
    return value


async def test_files_of_an_item_are_found_wherever_they_are_and_damage_is_not_found(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    body = answer(1, outputFiles={"a": "AQI=", "none": None, "bad": "A*"}, changedFiles=["a", "b"]).body
    body = body[:-1] + b',"files":{"b":"AwQ=","deep/c":"BQ=="}}'
    kept = await stored(ItemResult(index=0, ok=True, body=body), blobs)
    assert kept.files is not None
    assert b"files" not in (kept.body or b"").replace(b"changedFiles", b"").replace(b"outputFiles", b"")
    assert await files_of(kept, blobs) == ["a", "b", "bad", "deep/c"]
    assert await file_of(kept, "a", blobs) == b"\1\2"
    assert await file_of(kept, "deep/c", blobs) == b"\5"
    for name in ("none", "missing"):
        with pytest.raises(NotFound, match="wrote no file"):
            await file_of(kept, name, blobs)
    with pytest.raises(NotFound, match="damaged"):
        await file_of(kept, "bad", blobs)
    assert await files_of(result(1), blobs) == []
    broken = ItemResult(index=0, ok=True, body=b'{"success":tru')
    assert await stored(broken, blobs) == broken


async def test_the_files_of_an_item_do_not_keep_the_loop_however_large_they_are(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    content = bytes(range(256)) * (36 * _MIB // 256)
    encoded = base64.b64encode(content)
    start = b'{"success":true,"outputFiles":{"a.bin":"' + encoded
    body = start + b'"},"changedFiles":["a.bin","b"],"files":{"b":"' + encoded + b'"}}'
    del encoded, start

    async def story() -> None:
        kept = await stored(ItemResult(index=0, ok=True, body=body), blobs)
        assert await files_of(kept, blobs) == ["a.bin", "b"]
        batches = Batches(MemoryBatches(), blobs, cast(Any, None), settings=BatchSettings(), staging=tmp_path)
        batches._result = lambda *_: _ready(kept)  # type: ignore[method-assign]
        files.extend([await batches.open_file(batch(), 0, name) for name in ("a.bin", "b")])

    files: list[BinaryIO] = []
    stall = await longest_stall(story)
    for file in files:
        with file:
            assert file.read() == content
    assert stall < _BOUND


async def test_a_body_of_large_items_does_not_keep_the_loop(tmp_path: Path) -> None:
    settings = BatchSettings(item_bytes=64 * _MIB)
    items = [b'{"a":"' + b"x" * (30 * _MIB) + b'"}', b"[" + b"1.25," * (2 * _MIB) + b"0]", b'"small"']
    body = b"[" + b",".join(items) + b"]"

    async def story() -> None:
        with Intake(settings, tmp_path) as intake:
            for start in range(0, len(body), 65536):
                await intake.feed(body[start : start + 65536])
            intake.finish_json()
            assert await intake.finish() == 3
            kept.append(os.dup(intake.file.fileno()))

    kept: list[int] = []
    stall = await longest_stall(story)
    for descriptor in kept:
        with os.fdopen(descriptor, "rb") as file:
            reader = InputReader(file)
            assert [reader.item(index) for index in range(3)] == items
    assert stall < _BOUND


async def test_an_item_over_the_limit_is_refused_as_it_comes(tmp_path: Path) -> None:
    with Intake(BatchSettings(item_bytes=_MIB), tmp_path) as intake:
        with pytest.raises(TooLarge, match="item 1 has more than the permitted"):
            await intake.feed(b'[1,"' + b"x" * (2 * _MIB))
        with pytest.raises(TooLarge, match="take fewer rows"):
            intake.add(b"x" * (_MIB + 1))


async def test_large_items_run_as_small_ones_do(tmp_path: Path) -> None:
    world = World(tmp_path)
    sizes: list[int] = []

    class Measuring(FakeDispatcher):
        def submit(self, of: Any, body: bytes, *, lane: str = "", meta: bytes = b"") -> Any:
            sizes.append(len(body))
            return super().submit(of, b"%d" % len(sizes), lane=lane, meta=meta)

    async with world.node(Measuring()) as batches:
        with batches.intake() as intake:
            await intake.feed(b'["%b",2,"%b"]' % (b"x" * 400_000, b"x" * 70_000))
            intake.finish_json()
            begun = await batches.start(SERVICE, intake, cast(Any, SimpleNamespace(name="ann")), parallel=2)
        done = await world.ended(begun)
    assert (done.completed, done.failed) == (3, 0)
    assert sorted(sizes) == [1, 70_002, 400_002]


def test_nobody_reads_inputs_through_a_descriptor_that_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "inputs"
    with path.open("wb") as file:
        writer = InputWriter(file)
        writer.add(b"1")
        writer.finish()
    reader = InputReader(path.open("rb"))
    assert reader.item(0) == b"1"
    reader.close()
    others = [path.open("rb") for _ in range(3)]  # they get the lowest free numbers
    with pytest.raises(GristmillError, match="closed"):
        reader.item(0)
    for other in others:
        other.close()


def test_inputs_stay_open_for_who_still_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "inputs"
    with path.open("wb") as file:
        writer = InputWriter(file)
        writer.add(b"12345")
        writer.finish()
    source = path.open("rb")
    reader = InputReader(source)
    read = reader._read_all

    def slowly(offset: int, size: int) -> bytes:
        reader.close()  # meanwhile, by the loop
        assert not source.closed
        return read(offset, size)

    monkeypatch.setattr(reader, "_read_all", slowly)
    assert reader.item(0) == b"12345"
    assert source.closed


async def test_the_answer_of_a_result_is_read_as_it_was_stored(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blob = await blobs.put(io.BytesIO(b"abc"))
    kept = ItemResult(index=0, ok=True, body=None, content=blob.digest)
    assert await body_of(kept, blobs) == b"abc"
