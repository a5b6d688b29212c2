"""Folders of every shape that user code can make are removed, and nothing besides."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from gristmill.launch.removal import OutOfTime, remove_tree

DEPTH = 3_000
BECOME = """
import os, sys
if os.geteuid() == 0:
    os.setuid(int(sys.argv[1]))
"""
MOUNT = """
import os, subprocess
subprocess.run(["mount", "-t", "tmpfs", "none", "folder/mount"], check=True)
Path("folder/mount/kept").touch()
"""
REMOVE = """
try:
    remove_tree(Path("folder"))
    print("removed")
except OSError as error:
    print(error.strerror)
"""


def run(code: str, folder: Path, *words: str, unshared: bool = False) -> str:
    """What a Python program prints that runs in `folder`, with mounts of its own if asked."""
    before = ["unshare", "--mount"] if unshared else []
    imports = "from pathlib import Path\nfrom gristmill.launch.removal import remove_tree\n"
    command = [*before, sys.executable, "-c", imports + code, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def chain(folder: Path, depth: int) -> None:
    """Folders in folders, far deeper than a path can name."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deeper", dir_fd=here)
        above, here = here, os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_what_is_not_there_is_removed_already(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")


def test_a_file_and_a_link_in_place_of_a_folder_are_removed_themselves(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(kept)
    for name in ("file", "link"):
        remove_tree(tmp_path / name)
    assert os.listdir(tmp_path) == ["kept"]


def test_folders_deeper_than_any_recursion_or_path_goes_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    chain(folder, DEPTH)
    (folder / "beside" / "two").mkdir(parents=True)
    (folder / "beside" / "two" / "file").write_text("x")
    remove_tree(folder)
    assert os.listdir(tmp_path) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder, kept = tmp_path / "folder", tmp_path / "kept"
    (folder / "inner").mkdir(parents=True)
    kept.mkdir()
    (kept / "precious").write_text("x")
    (folder / "inner" / "link").symlink_to(kept)
    (folder / "link").symlink_to(kept)
    (folder / "dangling").symlink_to("nowhere")
    remove_tree(folder)
    assert os.listdir(kept) == ["precious"]
    assert not folder.exists()


def test_sockets_pipes_and_names_that_are_no_text_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    os.mkdir(os.fsencode(folder) + b"/\xff\n")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\n/-rf")).write_text("x")
    remove_tree(folder)
    assert not folder.exists()


def test_folders_that_their_owner_has_closed_are_removed(tmp_path: Path) -> None:
    """As another user than root, too, who has to open them first."""
    folder = tmp_path / "folder"
    (folder / "shut" / "inner" / "last").mkdir(parents=True)
    (folder / "shut" / "inner" / "last" / "file").write_text("x")
    user = 64_321 if os.geteuid() == 0 else os.geteuid()
    for each in (tmp_path, folder, folder / "shut", folder / "shut/inner", folder / "shut/inner/last"):
        os.chown(each, user, -1)
    for name in ("shut/inner/last", "shut/inner", "shut"):
        (folder / name).chmod(0)
    done = run(BECOME + REMOVE, tmp_path, str(user))
    assert done == "removed\n"
    assert not folder.exists()


def test_a_large_folder_takes_little_memory(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(20_000):
        os.close(os.open(folder / f"{number}", os.O_CREAT | os.O_WRONLY))
    tracemalloc.start()
    try:
        remove_tree(folder)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert not folder.exists()


def test_files_that_are_made_meanwhile_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    made: list[str] = []
    folder.mkdir()
    (folder / "file").write_text("x")
    original = os.unlink

    def unlink(name: str, *, dir_fd: int) -> None:
        original(name, dir_fd=dir_fd)
        if len(made) < 3:
            made.append(name)
            (folder / f"more-{len(made)}").mkdir()
            (folder / f"more-{len(made)}" / "file").write_text("x")

    monkeypatch.setattr(os, "unlink", unlink)
    remove_tree(folder)
    assert len(made) == 3
    assert not folder.exists()


def test_a_removal_that_takes_too_long_says_so_and_can_be_begun_again(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_text("x")
    with pytest.raises(OutOfTime):
        remove_tree(folder, seconds=-1)
    assert folder.exists()
    remove_tree(folder, seconds=10)
    assert not folder.exists()


def test_what_cannot_be_removed_is_said_when_all_the_rest_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a", "immutable", "z"):
        (folder / name).write_text("x")
    original = os.unlink

    def unlink(name: str, *, dir_fd: int) -> None:
        if name == "immutable":
            raise PermissionError(1, "Operation not permitted", name)
        original(name, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        with pytest.raises(PermissionError, match="immutable"):
            remove_tree(folder)
    assert os.listdir(folder) == ["immutable"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_file_system_that_is_mounted_inside_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "mount").mkdir(parents=True)
    (folder / "file").write_text("x")
    done = run(
        MOUNT + REMOVE + "print(os.listdir('folder'), os.listdir('folder/mount'))", tmp_path, unshared=True
    )
    assert done.splitlines() == ["Device or resource busy", "['mount'] ['kept']"]
