"""A disk without room: said with its name, nothing half-written stays, and all is well with room again."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gristmill import disk
from gristmill.app.storage import Storage
from gristmill.blobs import DirectoryBlobs
from gristmill.db import Database, default_url, open_database
from gristmill.identity import Principal, Role
from gristmill.moving import Moving
from gristmill.ports import StorageFull
from gristmill.registry import Registry
from gristmill.service_file import write_head
from gristmill.testing import MemoryBlobs, MemoryStores
from tests.contract.records import service
from tests.small_disks import fill, small_disk

MIB = 2**20
ANN = Principal(name="ann", role=Role.CONTRIBUTOR)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(disk, "_found_full", {})  # the next disk may get this one's number
    with small_disk(tmp_path / "disk", 8) as folder:
        yield folder


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


async def test_a_content_that_does_not_fit_is_refused_and_leaves_nothing(small: Path) -> None:
    blobs = DirectoryBlobs(small / "blobs")
    kept, _ = await blobs.put(io.BytesIO(b"kept"))
    before = files(small)
    with pytest.raises(StorageFull, match=rf"the disk of {small}/blobs is full \(.* of 8 MiB free\)"):
        await blobs.put(io.BytesIO(b"x" * (9 * MIB)))
    assert files(small) == before
    with await blobs.open(kept) as file:
        assert file.read() == b"kept"
    await blobs.put(io.BytesIO(b"y" * (4 * MIB)))


async def test_a_write_of_the_database_that_finds_no_room_is_undone(small: Path) -> None:
    database = await open_database(default_url(small))
    await database.services.add(service("first"))
    filling = fill(small)
    with pytest.raises(StorageFull, match=rf"the disk of {small} is full"):
        await publish_many(database)
    known = await database.services.load()  # reading goes on
    filling.unlink()
    assert await database.services.load() == known
    await database.services.add(service("later"))
    await database.close()


async def publish_many(database: Database) -> None:
    for i in range(100):
        await database.services.add(service("large", str(i), code="#" * 100_000))


async def test_an_import_that_does_not_fit_leaves_nothing(small: Path) -> None:
    stores = MemoryStores()
    registry = Registry(stores.services, stores.snapshots)
    await registry.refresh()

    class Sound:
        async def check(self, *_: object) -> None: ...

    moving = Moving(
        registry, MemoryBlobs(), cast("Any", Sound()), cast("Any", SimpleNamespace(limit=MIB)),
        cast("Any", None), limit=64 * MIB, staging=small,
    )  # fmt: skip
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(".RData", b"x" * (10 * MIB))
    size = len(content.getvalue())
    digest = (await MemoryBlobs().put(io.BytesIO(content.getvalue()))).digest
    head = write_head(service(content=digest).sealed(), size)
    with pytest.raises(StorageFull, match=rf"the disk of {small} is full"):
        await moving.take_in(io.BytesIO(head + content.getvalue()), ANN)
    assert files(small) == set()
    assert registry.versions() == []


async def test_the_status_says_which_disk_is_full_until_there_is_room(small: Path) -> None:
    storage = Storage([small])
    await storage.look()
    assert storage.describe()["statusCode"] == "pass"
    assert not storage.trouble()
    filling = fill(small)
    await storage.look()
    part = storage.describe()["components"][str(small)]
    assert part["statusCode"] == "fail"
    assert part["details"]["freeBytes"] == 0
    assert storage.trouble() == f"the disk of {small} is full, or nearly: 0 MiB are free"
    filling.unlink()
    await storage.look()
    assert storage.describe()["statusCode"] == "pass"


async def test_a_write_that_found_no_room_is_seen_although_the_disk_has_some(small: Path) -> None:
    with pytest.raises(StorageFull):
        await DirectoryBlobs(small / "blobs").put(io.BytesIO(b"x" * (9 * MIB)))
    storage = Storage([small])
    await storage.look()
    part = storage.describe()["components"][str(small)]
    assert part["statusCode"] == "fail"
    assert part["details"]["secondsSinceFull"] < 30


async def test_a_folder_that_is_gone_fails(tmp_path: Path) -> None:
    storage = Storage([tmp_path / "gone"])
    await storage.look()
    assert storage.describe()["statusCode"] == "fail"
    assert "cannot be used: No such file" in storage.trouble()
