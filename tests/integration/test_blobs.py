"""The directory of blobs as the file system sees it."""

import asyncio
import errno
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest

from gristmill.blobs import DirectoryBlobs
from gristmill.errors import InvalidInput, NotFound
from gristmill.ports import StateUnavailable, StorageFull


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file()}


async def nothing() -> set[str]:
    return set()


async def test_directory_and_content_are_the_servers_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "blobs"
    digest, _ = await DirectoryBlobs(path).put(io.BytesIO(b"content"))
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "tmp").stat().st_mode & 0o777 == 0o700
    assert (path / digest).stat().st_mode & 0o777 == 0o400
    assert list((path / "tmp").iterdir()) == []


async def test_content_is_there_after_reopening(tmp_path: Path) -> None:
    digest, _ = await DirectoryBlobs(tmp_path).put(io.BytesIO(b"content"))
    with await DirectoryBlobs(tmp_path).open(digest) as file:
        assert file.read() == b"content"


async def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    blobs = DirectoryBlobs(tmp_path)
    fsync, rename = os.fsync, os.rename

    def watched_fsync(descriptor: int) -> None:
        steps.append("fsync " + ("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"))
        fsync(descriptor)

    def watched_rename(source: str, target: Path) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    await blobs.put(io.BytesIO(b"content"))
    assert steps == ["fsync file", "rename", "fsync directory"]


async def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = DirectoryBlobs(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match=rf"the disk of {tmp_path} is full \(.* MiB free\)"):
        await blobs.put(io.BytesIO(b"content"))
    assert files(tmp_path) == {"lock"}


async def test_another_failure_of_the_disk_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = DirectoryBlobs(tmp_path)

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StateUnavailable, match=rf"in {tmp_path} cannot .* Input/output error"):
        await blobs.put(io.BytesIO(b"content"))
    assert files(tmp_path) == {"lock"}


class Opening:
    """`Path.open` that fails some times, for contents alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> None:
        self.tried = 0
        real = Path.open

        def opened(path: Path, *arguments: Any, **named: Any) -> Any:
            if len(path.name) == 64:
                self.tried += 1
                if self.tried <= times:
                    raise OSError(number, os.strerror(number), str(path))
            return real(path, *arguments, **named)

        monkeypatch.setattr(Path, "open", opened)


async def test_a_stale_handle_is_tried_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = DirectoryBlobs(tmp_path)
    digest, _ = await blobs.put(io.BytesIO(b"content"))
    opening = Opening(monkeypatch, errno.ESTALE, times=1)
    with await blobs.open(digest) as file:
        assert file.read() == b"content"
    assert opening.tried == 2


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EACCES])
async def test_a_content_that_cannot_be_opened_now_is_not_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    blobs = DirectoryBlobs(tmp_path)
    digest, _ = await blobs.put(io.BytesIO(b"content"))
    Opening(monkeypatch, number, times=100)
    with pytest.raises(StateUnavailable, match=os.strerror(number)) as caught:
        blobs.open_now(digest)
    assert caught.value.retry_after
    assert str(tmp_path) in caught.value.message


async def test_a_folder_that_is_not_mounted_any_more_loses_no_content(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    digest, _ = await blobs.put(io.BytesIO(b"content"))
    with pytest.raises(NotFound, match="is missing"):
        blobs.open_now("0" * 64)
    (tmp_path / "blobs").rename(tmp_path / "elsewhere")
    with pytest.raises(StateUnavailable, match="is not there: is its disk mounted"):
        await blobs.open(digest)
    (tmp_path / "elsewhere").rename(tmp_path / "blobs")
    with await blobs.open(digest) as file:
        assert file.read() == b"content"


async def test_a_sweep_removes_what_a_killed_put_left_behind_and_no_strangers(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    left, stranger = tmp_path / "tmp" / "left", tmp_path / "README"
    for path in (left, stranger):
        path.write_bytes(b"half")
    assert await blobs.sweep(nothing, grace=60) == 0
    assert files(tmp_path) == {"lock", "left", "README"}
    await blobs.sweep(nothing, grace=-60)
    assert files(tmp_path) == {"lock", "README"}


async def test_two_nodes_that_sweep_at_once_remove_each_blob_once(tmp_path: Path) -> None:
    here, there = DirectoryBlobs(tmp_path), DirectoryBlobs(tmp_path)
    for i in range(5):
        await here.put(io.BytesIO(b"content %d" % i))
    removed: list[int] = []

    async def overtaken() -> set[str]:
        removed.append(await there.sweep(nothing, grace=-60))
        return set()

    assert await here.sweep(overtaken, grace=-60) == 0
    assert removed == [5]


async def test_content_put_again_while_a_sweep_asks_for_references_stays(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    digest, _ = await blobs.put(io.BytesIO(b"content"))
    os.utime(tmp_path / digest, (1, 1))

    async def slow() -> set[str]:
        await blobs.put(io.BytesIO(b"content"))
        return set()

    assert await blobs.sweep(slow, grace=60) == 0
    with await blobs.open(digest) as file:
        assert hashlib.sha256(file.read()).hexdigest() == digest


async def test_a_directory_stays_that_of_the_database_that_claimed_it(tmp_path: Path) -> None:
    DirectoryBlobs(tmp_path).claim("one")
    DirectoryBlobs(tmp_path).claim("one")
    with pytest.raises(InvalidInput, match=r"another database \(one\)"):
        DirectoryBlobs(tmp_path).claim("two")


async def test_nodes_that_claim_a_directory_at_once_agree(tmp_path: Path) -> None:
    nodes = [DirectoryBlobs(tmp_path) for _ in range(4)]
    await asyncio.gather(*(asyncio.to_thread(node.claim, "one") for node in nodes))
    assert (tmp_path / "database").read_text() == "one\n"


async def test_what_another_node_puts_again_while_one_sweeps_stays(tmp_path: Path) -> None:
    mine, others = DirectoryBlobs(tmp_path), DirectoryBlobs(tmp_path)
    digest, _ = await mine.put(io.BytesIO(b"content"))
    os.utime(tmp_path / digest, (0, 0))

    async def references() -> set[str]:
        await others.put(io.BytesIO(b"content"))  # for a service that nobody has written yet
        return set()

    assert await mine.sweep(references, grace=3600) == 0
    with await others.open(digest) as file:
        assert file.read() == b"content"


def test_a_directory_that_others_could_enter_is_closed_to_them(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2777)
    DirectoryBlobs(shared)
    assert shared.stat().st_mode & 0o7777 == 0o2770
