"""The fault harness itself: what it takes for right and what for a fault, and what it sees of a loop."""

import asyncio
import io
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks.harness.faults import callers
from benchmarks.harness.faults.callers import World
from benchmarks.harness.faults.run import Options, Report
from benchmarks.harness.faults.stalls import Stalls
from benchmarks.harness.faults.subject import Look
from benchmarks.harness.faults.surroundings import Chaos, FaultyBlobs
from benchmarks.harness.faults.truth import ABSENT, STEP, Tally, Versions
from benchmarks.harness.faults.wire import Answer, Connection, Lost
from gristmill.blobs import DirectoryBlobs
from gristmill.errors import GristmillError
from gristmill.ports import StateUnavailable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """The port of a server that hands each connection to `handler`."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await handler(reader, writer)
        except EOFError:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()


def test_while_a_change_is_on_its_way_both_versions_are_right_and_afterwards_one() -> None:
    versions = Versions()
    assert versions.now() == {ABSENT}
    first, second = versions.next(), versions.next()
    versions.begin(first)
    assert versions.now() == {ABSENT, first}
    versions.settle(first)
    settled = time.monotonic()
    assert versions.now() == {first}
    versions.begin(second)  # its answer is lost: either may be seen
    assert versions.between(settled, time.monotonic()) == {first, second}
    versions.settle(second)
    assert versions.now() == {second}
    assert first in versions.between(settled, time.monotonic())


@pytest.mark.parametrize(
    ("status", "headers", "refused", "failures"),
    [
        (503, {"retry-after": "1"}, True, 0),
        (507, {}, True, 1),
        (504, {}, True, 0),
        (429, {}, True, 1),
        (200, {}, False, 0),
        (500, {}, False, 0),
    ],
)
def test_an_answer_that_says_come_again_has_to_say_when(
    status: int, headers: dict[str, str], refused: bool, failures: int
) -> None:
    tally = Tally()
    assert tally.refused("plain", Answer(status=status, headers=headers, body=b"")) is refused
    assert sum(tally.failures.values()) == failures


def answering(y: Callable[[float], float], status: int = 200) -> Handler:
    """A server whose service answers with `y`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            x = float(body.split(b":")[1].rstrip(b"}")) if b'{"x":' in body.replace(b" ", b"") else 0.0
            sent = b'{"success":true,"errorMessage":"","outputParameters":{"y":%f}}' % y(x)
            writer.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (status, len(sent), sent))

    return handle


@pytest.mark.parametrize(
    ("y", "status", "kind"),
    [
        (lambda x: 2 * x + STEP, 200, "right"),
        (lambda x: 2 * x + 2 * STEP, 200, "of a version that was not valid"),
        (lambda x: 2 * x + STEP + 1, 200, "WRONG"),
        (lambda x: 2 * x + STEP, 500, "unexpected 500"),
        (lambda x: 2 * x + STEP, 503, "503 without Retry-After"),
    ],
)
async def test_callers_tell_right_answers_from_all_others(
    y: Callable[[float], float], status: int, kind: str
) -> None:
    tally = Tally()
    async with serving(answering(y, status)) as port:
        world = World(
            host="127.0.0.1",
            port=port,
            token="t",
            tally=tally,
            random=random.Random(1),
            fixed={"plain": STEP},
        )
        connection = world.connection()
        await callers._fixed(world, connection)
        await connection.close()
    assert [*tally.outcomes, *tally.failures] == [("plain", kind)]


async def test_a_server_that_closes_without_an_answer_has_lost_the_request() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        writer.close()

    async with serving(close) as port:
        with pytest.raises(Lost, match="IncompleteReadError"):
            await Connection("127.0.0.1", port).ask("POST", "/x", b"{}")


async def test_a_server_that_never_answers_has_lost_the_request() -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(wait) as port:
        with pytest.raises(Lost, match="no answer within"):
            await Connection("127.0.0.1", port, patience=0.1).ask("POST", "/x", b"{}")


async def test_a_loop_that_stands_still_is_seen_with_what_it_did() -> None:
    stalls = Stalls()
    await asyncio.sleep(0.02)
    stand_still()
    await asyncio.sleep(0.05)
    stalls.close()
    assert stalls.late == 1
    assert stalls.worst[0].wall >= 0.25
    assert "stand_still" in stalls.worst[0].stack


def stand_still() -> None:
    time.sleep(0.3)


async def test_a_disk_that_fails_as_a_content_is_stored_leaves_nothing_behind(tmp_path: Path) -> None:
    chaos = Chaos(3)
    blobs = cast(Any, FaultyBlobs(DirectoryBlobs(tmp_path), chaos))
    blob = await blobs.put(io.BytesIO(b"kept"))
    chaos.on = True
    failed = 0
    for number in range(300):
        try:
            await blobs.put(io.BytesIO(b"%d" % number))
        except (OSError, StateUnavailable):
            failed += 1
    opened = 0
    for _ in range(300):
        try:
            with blobs.open_now(blob.digest) as file:
                assert file.read() == b"kept"
                opened += 1
        except (OSError, GristmillError):
            continue
    assert 0 < failed < 60
    assert 0 < 300 - opened < 30
    assert not list(_files_below_folders(tmp_path))
    assert sum(chaos.done.values()) == 2 * (failed + 300 - opened)


def _files_below_folders(root: Path) -> list[Path]:
    return [path for folder in root.iterdir() if folder.is_dir() for path in folder.iterdir()]


async def test_an_answer_to_commit_can_be_lost_although_all_is_kept(tmp_path: Path) -> None:
    program = f"""
import asyncio, sqlalchemy as sa
from benchmarks.harness.faults import surroundings
from benchmarks.harness.faults.surroundings import Chaos, break_database
from gristmill.db import open_database
from gristmill.ports import StateUnavailable, Snapshot
from gristmill.services import Runtime
from datetime import datetime, UTC

def snapshot(i):
    return Snapshot(id=str(i), name="n", owner="o", runtime=Runtime.PYTHON, created=datetime.now(UTC),
                    content="0" * 64, size=1)

async def main():
    chaos = Chaos(1)
    break_database(chaos)
    database = await open_database("sqlite:///{tmp_path}/x.db")
    surroundings.QUERY = surroundings.HANG = 0
    chaos.on = True
    for before, after, kept in ((100, 0, False), (0, 100, True)):
        surroundings.BEFORE_COMMIT, surroundings.AFTER_COMMIT = before, after
        try:
            await database.snapshots.add(snapshot(after))
        except StateUnavailable:
            pass
        else:
            raise SystemExit("nothing was raised")
        chaos.on = False
        assert (await database.snapshots.get(str(after)) is not None) is kept, (before, after)
        chaos.on = True
    await database.close()

asyncio.run(main())
"""
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=root, stderr=subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()[-2000:]


def looked(**changes: Any) -> Look:
    usual: dict[str, Any] = {
        "tasks": {"serve": 1},
        "threads": [],
        "descriptors": 20,
        "server_mb": 100.0,
        "shells_mb": {"Python": [40.0, 60.0]},
        "stalls": [],
        "late": 0,
        "faults": {"open": 3},
    }
    return Look(**{**usual, **changes})


@pytest.mark.parametrize(
    ("after", "failures", "left", "passed"),
    [
        ({}, {}, {}, True),
        ({}, {"plain: WRONG": 1}, {}, False),
        ({}, {}, {"run_asgi": 1}, False),
        ({"server_mb": 111.0}, {}, {}, False),
        ({"shells_mb": {"Python": [60.0]}}, {}, {}, False),
        ({"descriptors": 40}, {}, {}, False),
    ],
)
def test_the_verdict_is_of_all_that_was_to_be_reached(
    after: dict[str, Any], failures: dict[str, int], left: dict[str, int], passed: bool
) -> None:
    report = Report(
        options=Options(), outcomes={"plain: right": 10}, failures=failures, examples={}, before=looked(),
        after=looked(**after), left=left, status=0, seconds=600.0,
    )  # fmt: skip
    assert report.passed is passed
    assert report.calls == 10 + sum(failures.values())
