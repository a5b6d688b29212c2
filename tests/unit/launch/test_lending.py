"""A shell reads what it is lent and cannot change it, whichever way it is kept from the server's files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gristmill.blobs import DirectoryBlobs
from gristmill.errors import NotFound
from gristmill.launch import landlock, lending
from gristmill.launch.isolation import Isolation
from gristmill.launch.lending import Lender

CONTENT = b"the model" * 1000
ROOT = os.geteuid() == 0
#: What a shell may try on what it was lent as descriptor 7: `kept` are the ways that must not work.
ATTACK = """
def tried(work):
    try:
        work()
    except (OSError, ValueError):
        return "refused"
    return "done"
def write(path):
    opened = os.open(path, os.O_RDWR)
    os.write(opened, b"changed")
def link(path):
    os.link(path, os.getcwd() + "/link", follow_symlinks=True)
    os.chmod("link", 0o600)
    write("link")
tried(lambda: os.fchmod(7, 0o666))
path = "/proc/self/fd/7"
results = [
    tried(lambda: os.write(7, b"changed")), tried(lambda: write(path)), tried(lambda: os.truncate(path, 0)),
    tried(lambda: os.ftruncate(7, 0)), tried(lambda: mmap.mmap(7, 10, prot=mmap.PROT_WRITE)),
    tried(lambda: link(path)),
]
print(set(results), len(os.pread(7, 1 << 20, 0)), os.lseek(7, 0, 1))
"""
RESTRICT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
from gristmill.python_shell.landlock import restrict
restrict([sys.prefix, sys.base_prefix, "/usr", "/proc"], [os.getcwd()])
"""


@pytest.fixture
async def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


async def put(blobs: DirectoryBlobs, content: bytes = CONTENT) -> str:
    return (await blobs.put(io.BytesIO(content))).digest


def attack(descriptor: int, folder: Path, *, before: str = "", user: int | None = None) -> str:
    """What user code achieves that was lent a descriptor and runs in `folder`."""
    place = f"import ctypes, fcntl, mmap, os\nos.dup2({descriptor}, 7)\n"
    become = f"os.setgroups([]); os.setresgid({user}, {user}, {user}); os.setresuid({user}, {user}, {user})\n"
    code = place + before + (become if user is not None else "") + ATTACK
    folder.mkdir()
    folder.chmod(0o777)
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, pass_fds=[descriptor], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def no_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "_through_read_only_mount", lambda source: None)


REFUSED = f"{{'refused'}} {len(CONTENT)} 0"


@pytest.mark.skipif(not ROOT, reason="a mount needs root")
async def test_a_shell_of_root_cannot_change_it_through_a_mount_of_its_own(
    blobs: DirectoryBlobs, tmp_path: Path
) -> None:
    digest = await put(blobs)
    lent = Lender(blobs.open_now, Isolation(bubblewrap=None, users=False)).lend(digest)
    try:
        assert os.fstat(lent).st_ino == (tmp_path / "blobs" / digest).stat().st_ino, "it was copied"
        assert attack(lent, tmp_path / "shell") == REFUSED
    finally:
        os.close(lent)
    with blobs.open_now(digest) as file:
        assert file.read() == CONTENT


@pytest.mark.skipif(not ROOT, reason="another user needs root")
async def test_a_shell_of_another_user_cannot_change_it(blobs: DirectoryBlobs, tmp_path: Path) -> None:
    digest = await put(blobs)
    lent = Lender(blobs.open_now, Isolation(bubblewrap=None, users=True)).lend(digest)
    try:
        assert attack(lent, tmp_path / "shell", user=64_501) == REFUSED
    finally:
        os.close(lent)


@pytest.mark.skipif(landlock.version() < 3, reason="the kernel offers no such Landlock here")
async def test_a_shell_behind_landlock_cannot_change_the_file_itself(
    blobs: DirectoryBlobs, tmp_path: Path
) -> None:
    digest = await put(blobs)
    lent = Lender(blobs.open_now, Isolation(bubblewrap=None, users=False, landlock=True)).lend(digest)
    try:
        assert os.fstat(lent).st_ino == (tmp_path / "blobs" / digest).stat().st_ino, "it was copied"
        assert attack(lent, tmp_path / "shell", before=RESTRICT) == REFUSED
    finally:
        os.close(lent)
    with blobs.open_now(digest) as file:
        assert file.read() == CONTENT


@pytest.mark.parametrize("old_landlock", [True, False])
async def test_where_nothing_else_keeps_it_a_shell_is_lent_a_sealed_copy(
    blobs: DirectoryBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old_landlock: bool
) -> None:
    no_mount(monkeypatch)
    monkeypatch.setattr(landlock, "version", lambda: 2)
    digest = await put(blobs)
    lender = Lender(blobs.open_now, Isolation(bubblewrap=None, users=False, landlock=old_landlock))
    lent, more = lender.lend(digest), lender.lend(digest)
    try:
        assert attack(lent, tmp_path / "shell") == REFUSED
        assert os.pread(more, 1 << 20, 0) == CONTENT
        assert os.fstat(lent).st_ino == os.fstat(more).st_ino, "each shell has a copy of its own"
        os.lseek(lent, 100, os.SEEK_SET)
        assert os.lseek(more, 0, os.SEEK_CUR) == 0
    finally:
        os.close(lent)
        os.close(more)


async def test_copies_are_kept_up_to_a_size_and_no_descriptor_is_lost(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_mount(monkeypatch)
    monkeypatch.setattr(lending, "_KEPT_BYTES", 2500)
    lender = Lender(blobs.open_now, Isolation(bubblewrap=None, users=False))
    digests = [await put(blobs, bytes([number]) * 1000) for number in range(5)]
    digests.append(await put(blobs, b"x" * 3000))
    before = len(os.listdir("/proc/self/fd"))
    for digest in digests * 2:
        os.close(lender.lend(digest))
    assert len(os.listdir("/proc/self/fd")) == before + 2


async def test_many_threads_are_lent_it_at_once(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_mount(monkeypatch)
    lender = Lender(blobs.open_now, Isolation(bubblewrap=None, users=False))
    digest, seen = await put(blobs), []

    def use() -> None:
        for _ in range(20):
            lent = lender.lend(digest)
            seen.append(os.pread(lent, 1 << 20, 0) == CONTENT)
            os.close(lent)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 160


async def test_a_content_that_is_missing_is_said_and_leaves_no_descriptor(blobs: DirectoryBlobs) -> None:
    lender = Lender(blobs.open_now, Isolation(bubblewrap=None, users=False))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotFound):
        lender.lend("0" * 64)
    assert len(os.listdir("/proc/self/fd")) == before
