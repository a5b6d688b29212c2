"""What the durability test runs in a process that it kills."""

import asyncio
import hashlib
import io
import random
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from gristmill.blobs import DirectoryBlobs
from gristmill.db import Database, default_url, open_database
from gristmill.identity import Principal, Role
from gristmill.ports import Snapshot
from gristmill.registry import Registry
from gristmill.services import Runtime, ServiceVersion

ANN = Principal(name="ann", role=Role.CONTRIBUTOR)


def content_of(version: str) -> bytes:
    """The snapshot of a version, known to the test as well: some bytes to some hundred kilobytes."""
    chosen = random.Random(version)
    return chosen.randbytes(chosen.choice([10, 1000, 300_000]))


def code_of(version: str, patched: bool) -> str:
    """The code of a version."""
    return f"y <- '{version}{' patched' if patched else ''}'" * 50


def draft(version: str) -> ServiceVersion:
    """What is published."""
    return ServiceVersion(
        name="bos",
        version=version,
        runtime=Runtime.R,
        code=code_of(version, patched=False),
        owner="",
        created=datetime.now(UTC),
    )


async def _publish(
    version: str, database: Database, blobs: DirectoryBlobs, registry: Registry, acknowledge: Connection
) -> None:
    """One life: a snapshot, a service of it, a patch; every second service is deleted again."""
    blob = await blobs.put(io.BytesIO(content_of(version)))
    assert blob.digest == hashlib.sha256(content_of(version)).hexdigest()
    await database.snapshots.add(
        Snapshot(
            id=f"of {version}",
            name="",
            owner="ann",
            runtime=Runtime.R,
            created=datetime.now(UTC),
            content=blob.digest,
            size=blob.size,
        )
    )
    acknowledge.send(("snapshot", version))
    await registry.publish(draft(version), f"of {version}", ANN)
    acknowledge.send(("published", version))
    acknowledge.send(("removing snapshot", version))
    await database.snapshots.remove(f"of {version}")
    acknowledge.send(("removed snapshot", version))
    acknowledge.send(("patching", version))
    await registry.patch("bos", version, {"code": code_of(version, patched=True)}, ANN)
    acknowledge.send(("patched", version))
    if version.endswith(("1", "3", "5", "7", "9")):
        acknowledge.send(("deleting", version))
        await registry.delete("bos", version, ANN)
        acknowledge.send(("deleted", version))


async def _run(data: Path, prefix: str, acknowledge: Connection) -> None:
    database = await open_database(default_url(data))
    blobs = DirectoryBlobs(data / "blobs")
    registry = Registry(database.services, database.snapshots)
    await registry.refresh()
    acknowledge.send(("started", ""))
    for number in range(100_000):
        await _publish(f"{prefix}-{number}", database, blobs, registry, acknowledge)
        await blobs.sweep(database.references, grace=30)


def write_for_ever(data: Path, prefix: str, acknowledge: Connection) -> None:
    """Publish and acknowledge until killed."""
    asyncio.run(_run(data, prefix, acknowledge))
