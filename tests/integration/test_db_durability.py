"""After `kill -9` at any moment nothing acknowledged is lost, and nothing half-written is visible."""

import hashlib
import multiprocessing
import random
from collections import defaultdict
from pathlib import Path

import pytest

from gristmill.blobs import DirectoryBlobs
from gristmill.db import default_url, open_database
from tests.integration.durable_writer import code_of, content_of, write_for_ever

KILLS = 40
Acknowledged = dict[str, set[str]]


def run_and_kill(data: Path, prefix: str, events: int, seconds: float) -> Acknowledged:
    """Let a writer acknowledge so many events, then go on for so long; all that it acknowledged."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.integration.durable_writer", "alembic.command"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=write_for_ever, args=(data, prefix, there))
    process.start()
    there.close()
    acknowledged: Acknowledged = defaultdict(set)
    for _ in range(events):
        event, version = here.recv()
        acknowledged[version].add(event)
    process.join(seconds)
    process.kill()
    process.join()
    while here.poll():
        try:
            event, version = here.recv()
        except EOFError:
            break
        acknowledged[version].add(event)
    here.close()
    return acknowledged


async def check(data: Path, acknowledged: Acknowledged) -> int:
    """Compare what is stored with what was acknowledged; the number of services."""
    database = await open_database(default_url(data))
    blobs = DirectoryBlobs(data / "blobs")
    _, services = await database.services.load()
    by_version = {service.version: service for service in services}
    snapshots = {s.id.removeprefix("of "): s for s in await database.snapshots.of("ann")}
    for version, events in acknowledged.items():
        if "deleted" in events:
            assert version not in by_version
        elif "published" in events and "deleting" not in events:
            assert version in by_version
        if "removed snapshot" in events:
            assert version not in snapshots
        elif "snapshot" in events and "removing snapshot" not in events:
            assert version in snapshots
    for version, service in by_version.items():
        events = acknowledged[version]
        possible = {code_of(version, patched="patched" in events)}
        if "patching" in events:
            possible.add(code_of(version, patched=True))
        assert service.code in possible
        assert service == service.sealed()
        assert service.content == hashlib.sha256(content_of(version)).hexdigest()
    for version, snapshot in snapshots.items():
        assert snapshot.content == hashlib.sha256(content_of(version)).hexdigest()
    for digest in await database.references():
        with await blobs.open(digest) as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest
    await database.close()
    return len(services)


@pytest.mark.timeout(300)
async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    chosen = random.Random(20261122)
    acknowledged: Acknowledged = defaultdict(set)
    for kill in range(KILLS):
        seen = run_and_kill(tmp_path, str(kill), chosen.randint(1, 40), chosen.uniform(0.0, 0.02))
        for version, events in seen.items():
            acknowledged[version] |= events
        await check(tmp_path, acknowledged)
    assert await check(tmp_path, acknowledged) > KILLS // 2, "the writers got something done"
    for path in (tmp_path / "blobs").iterdir():
        if path.is_file() and path.name != "lock":
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


@pytest.mark.timeout(120)
async def test_a_first_start_that_is_killed_can_be_repeated(tmp_path: Path) -> None:
    chosen = random.Random(7)
    for kill in range(15):
        data = tmp_path / str(kill)
        acknowledged = run_and_kill(data, "a", 0, chosen.uniform(0.0, 0.2))
        await check(data, acknowledged)
