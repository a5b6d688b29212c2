"""Snapshots that mean harm are refused by a real shell, which goes on serving."""

import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import dill
import pytest

from gristmill.frames import Status
from tests.integration.shell_client import ShellClient, answer, snapshot


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellClient]:
    with ShellClient(tmp_path_factory.mktemp("shell")) as client:
        yield client


def archive_of(write: Callable[[zipfile.ZipFile], object]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        write(archive)
    return target.getvalue()


def special(kind: int) -> bytes:
    info = zipfile.ZipInfo("way")
    info.external_attr = (kind | 0o777) << 16
    return archive_of(lambda archive: archive.writestr(info, "/etc"))


def link_and_file_behind_it() -> bytes:
    info = zipfile.ZipInfo("way")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16

    def write(archive: zipfile.ZipFile) -> None:
        archive.writestr(info, "/tmp")
        archive.writestr("way/x", "x")

    return archive_of(write)


def lying_about_its_size() -> bytes:
    content = archive_of(lambda archive: archive.writestr("x", b"a" * 1000))
    return content.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little"))


def damaged() -> bytes:
    content = bytearray(snapshot({"a": os.urandom(1000)}))
    content[500] ^= 0xFF
    return bytes(content)


def renamed(name: bytes) -> bytes:
    plain = b"p" * len(name)
    return archive_of(lambda archive: archive.writestr(plain.decode(), "x")).replace(plain, name)


HOSTILE = {
    "no zip": (b"PK, but no zip", "cannot be unpacked"),
    "empty": (b"", "cannot be unpacked"),
    "cut": (snapshot({"a": os.urandom(1000)})[:500], "cannot be unpacked"),
    "damaged": (damaged(), "cannot be unpacked"),
    "parent": (snapshot({"../evil": b"x"}), "not a plain relative"),
    "deep parent": (snapshot({"a/../../evil": b"x"}), "not a plain relative"),
    "absolute": (snapshot({"/tmp/evil": b"x"}), "not a plain relative"),
    "backslash": (renamed(b"..\\evil"), "not a plain relative"),
    "drive": (renamed(b"C:/evil"), "not a plain relative"),
    "nul": (renamed(b"ev\0il"), "not a plain relative"),
    "dot": (snapshot({"./a": b"x"}), "not a plain relative"),
    "link": (special(stat.S_IFLNK), "is a link or a device"),
    "pipe": (special(stat.S_IFIFO), "is a link or a device"),
    "behind a link": (link_and_file_behind_it(), "is a link or a device"),
    "a file as directory": (snapshot({"a": b"x", "a/b": b"x"}), "cannot be unpacked"),
    "a long name": (snapshot({"x" * 300: b"x"}), "cannot be unpacked"),
    "bomb": (archive_of(lambda archive: archive.writestr("zeros", bytes(100 << 20))), "times its size"),
    "many": (snapshot({str(i): b"" for i in range(20_001)}), "20000 at most"),
    "lies": (lying_about_its_size(), "cannot be unpacked"),
    "workspace that raises": (snapshot({".dill": b"no pickle"}), "the workspace cannot be loaded"),
    "workspace of no names": (snapshot({".dill": dill.dumps([1, 2])}), "it holds a list"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_snapshot_is_refused_with_the_reason(
    shell: ShellClient, content: bytes, reason: str
) -> None:
    frame = shell.load(content=content, code="y = 1", outputs={"y": "integer"})
    assert frame.status == Status.FAILED
    assert reason in answer(frame)["errorMessage"]
    assert reason in shell.call()["errorMessage"]
    result = shell.operate("snapshot_load", content=content)
    assert result["status"] is Status.INVALID
    assert reason in result["message"]
    shell.load(2, content=snapshot({"a/b": b"x"}), code="y = open('a/b').read()", outputs={"y": "character"})
    assert shell.score(2) == {"y": "x"}


def test_nothing_came_out_of_the_shells_directory(shell: ShellClient) -> None:
    assert not Path("/tmp/evil").exists()
    assert not list(shell.scratch.parent.rglob("evil"))


def test_names_twice_are_refused(shell: ShellClient) -> None:
    content = snapshot({"aa": b"1", "ab": b"2"}).replace(b"ab", b"aa")
    assert "holds 'aa' twice" in answer(shell.load(content=content))["errorMessage"]


def test_names_of_windows_are_taken_as_paths(shell: ShellClient) -> None:
    content = renamed(b"d\\x")
    shell.load(content=content, code="y = open('d/x').read()", outputs={"y": "character"})
    assert shell.score() == {"y": "x"}
