"""Errors of disks become answers that name the disk."""

import errno
import io
import os
import tempfile
from pathlib import Path

import pytest

from gristmill import disk
from gristmill.disk import Room, explained, storing
from gristmill.ports import StateUnavailable, StorageFull

MIB = 2**20


def failing(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name) if name else OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room_names_the_folder_and_what_is_free(tmp_path: Path, number: int) -> None:
    with pytest.raises(StorageFull) as caught, storing(tmp_path, "content"):
        raise failing(number)
    assert caught.value.message.startswith(f"the disk of {tmp_path} is full (")
    assert caught.value.message.endswith(" MiB free), and content cannot be stored: make room on it")
    since = disk.seconds_since_full(os.stat(tmp_path).st_dev)
    assert since is not None
    assert since < 60


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.EROFS, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EACCES]
)
def test_other_trouble_of_a_disk_can_be_tried_again(tmp_path: Path, number: int) -> None:
    with pytest.raises(StateUnavailable) as caught, storing(tmp_path, "content"):
        raise failing(number)
    assert type(caught.value) is StateUnavailable
    assert (
        f"content in {tmp_path} cannot be read or written now: {os.strerror(number)}" in caught.value.message
    )
    assert caught.value.retry_after


def test_an_error_that_nobody_translated_is_told_by_the_file_it_names(tmp_path: Path) -> None:
    found = explained(failing(errno.EIO, str(tmp_path / "file")))
    assert isinstance(found, StateUnavailable)
    assert str(tmp_path) in found.message
    assert isinstance(explained(failing(errno.ENOSPC)), StorageFull)


@pytest.mark.parametrize(
    "error",
    [
        failing(errno.EINVAL),
        failing(errno.EBADF),
        FileNotFoundError(errno.ENOENT, "no such file", "/x"),
        ConnectionResetError(),
        TimeoutError(),
        ValueError("no disk"),
    ],
    ids=repr,
)
def test_what_is_no_disks_stays_a_defect(error: Exception) -> None:
    assert explained(error) is None


@pytest.mark.parametrize(
    ("free", "total", "low", "exhausted"),
    [
        (10_000 * MIB, 100_000 * MIB, False, False),
        (4_000 * MIB, 100_000 * MIB, True, False),
        (900 * MIB, 10_000 * MIB, True, False),
        (60 * MIB, 10_000 * MIB, True, True),
        (50 * MIB, 100 * MIB, False, False),
        (5 * MIB, 100 * MIB, True, True),
    ],
)
def test_low_and_exhausted_go_by_the_size_of_the_disk(
    tmp_path: Path, free: int, total: int, low: bool, exhausted: bool
) -> None:
    room = Room(folder=tmp_path, device=1, free=free, total=total, files_left=None)
    assert (room.low, room.exhausted) == (low, exhausted)


def test_the_folder_of_a_file_without_a_name_is_known(tmp_path: Path) -> None:
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        assert disk.folder_of(file) == tmp_path
    assert disk.folder_of(io.BytesIO()) is None


def test_a_peer_that_leaves_is_no_matter_of_the_disks(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), storing(tmp_path, "content"):
        raise ConnectionResetError


def test_a_disk_that_takes_no_further_file_is_exhausted(tmp_path: Path) -> None:
    assert Room(folder=tmp_path, device=1, free=10**12, total=10**13, files_left=0).exhausted
