"""Working directories: whatever a call does to one, the next finds the snapshot's files."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.python_shell.directories import FileTooLarge, WorkingDirectory, read_output, scan

FILES = {"a.txt": b"one", "d/b.txt": b"two", "d/e/c.txt": b"three"}


def content(directory: str) -> dict[str, bytes | None]:
    return {
        name: None if name.endswith("/") else Path(directory, name).read_bytes()
        for name in scan(directory)
        if not Path(directory, name).is_symlink()
    }


def made(tmp_path: Path, files: dict[str, bytes]) -> WorkingDirectory:
    template = tmp_path / "files"
    shutil.rmtree(tmp_path, ignore_errors=True)
    template.mkdir(parents=True)
    for name, data in files.items():
        (template / name).parent.mkdir(parents=True, exist_ok=True)
        (template / name).write_bytes(data)
        os.utime(template / name, (1e9, 1e9))
    return WorkingDirectory(str(tmp_path), str(template))


places = st.sampled_from(["a.txt", "d/b.txt", "d/e/c.txt", "d", "d/e", "new", "d/new", "new/er"])


def do(path: Path, action: str, outside: Path) -> None:
    """One thing that code may do; what is not possible there is not done.

    Links lead `outside`, and what follows goes through them: that must be a place of the test's own.
    """
    try:
        if action == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"other")
        elif action == "remove":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif action == "link":
            path.symlink_to(outside)
        elif action == "directory":
            path.mkdir(parents=True)
        else:
            path.chmod(0o500)
    except OSError:
        return


@pytest.mark.parametrize("files", [FILES, {}], ids=["files", "empty"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(actions=st.lists(st.tuples(places, st.sampled_from(["write", "remove", "link", "directory", "mode"]))))
def test_whatever_a_call_does_the_next_finds_the_files(
    tmp_path: Path, files: dict[str, bytes], actions: list[tuple[str, str]]
) -> None:
    directory = made(tmp_path / "home", files)
    outside = tmp_path / "outside"
    outside.mkdir(exist_ok=True)
    before = content(directory.path)
    for _ in range(2):
        for place, action in actions:
            do(Path(directory.path, place), action, outside)
        changed = directory.changes()
        assert set(changed) <= {place for place, _ in actions}
        directory.reset()
        assert content(directory.path) == before
        assert directory.changes() == []


def test_a_file_that_came_and_went_is_no_change(tmp_path: Path) -> None:
    directory = made(tmp_path / "home", {})
    Path(directory.path, "x").write_text("x")
    Path(directory.path, "x").unlink()
    assert directory.changes() == []
    directory.reset()
    Path(directory.path, "x").write_text("x")
    assert directory.changes() == ["x"]


def test_a_directory_that_is_gone_is_made_again(tmp_path: Path) -> None:
    directory = made(tmp_path / "home", FILES)
    shutil.rmtree(directory.path)
    assert directory.changes() == []
    directory.reset()
    assert content(directory.path)["a.txt"] == b"one"


def test_an_output_file_is_plain_inside_and_not_too_large(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside").write_bytes(b"x")
    (inside / "f").write_bytes(b"abc")
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "way").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe")
    assert read_output(str(inside), "f", 3) == b"YWJj"
    for name in (
        "link",
        "way/outside",
        "../outside",
        str(tmp_path / "outside"),
        "pipe",
        "",
        ".",
        "f/x",
        "a\0b",
    ):
        assert read_output(str(inside), name, 3) is None
    with pytest.raises(FileTooLarge, match="'f' has 3 bytes; 2 are allowed"):
        read_output(str(inside), "f", 2)


def test_a_directory_that_cannot_be_made_again_is_made_before_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs the call that is to run, not the one whose answer is at hand."""
    template = tmp_path / "template"
    template.mkdir()
    (template / "model").write_text("m")
    work = WorkingDirectory(str(tmp_path), str(template))
    shutil.rmtree(work.path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(shutil, "copytree", full)
        work.changes()
        work.reset()
        assert work.broken
        with pytest.raises(OSError, match="No space left"):
            work.enter()
    assert os.listdir(work.enter()) == ["model"]
    assert not work.broken
