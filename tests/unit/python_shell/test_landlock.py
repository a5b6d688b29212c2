"""What Landlock leaves a process: tried in processes of their own, since nothing undoes it."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gristmill.launch.landlock import is_offered, open_paths
from gristmill.python_shell.landlock import version

needs_landlock = pytest.mark.skipif(not is_offered(), reason="the kernel offers no Landlock here")
SYSTEM = ["/usr", "/lib", "/lib64", "/proc", "/etc", sys.prefix, sys.base_prefix]
BEGIN = """
import ctypes, json, os, sys
from gristmill.python_shell.landlock import restrict
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
folder, reads, writes = json.loads(sys.argv[1])
os.chdir(folder)

def tried(work):
    try:
        work()
    except OSError as error:
        return type(error).__name__
    return "done"

restrict(reads, writes)
"""


def locked(folder: Path, code: str, reads: list[str], writes: list[str]) -> str:
    """What code prints in a process that keeps just these paths."""
    told = json.dumps([str(folder), reads, writes])
    source = str(Path(__file__).parents[3] / "src")
    command = [sys.executable, "-c", BEGIN + textwrap.dedent(code), told]
    done = subprocess.run(
        command, env={"PYTHONPATH": source}, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_server_and_the_shell_see_the_same_kernel() -> None:
    assert is_offered() == (version() > 0)


@needs_landlock
def test_what_is_not_named_can_be_neither_read_nor_listed_nor_written(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "key.pem").write_text("secret")
    code = """
    print(
        tried(lambda: open("key.pem")), tried(lambda: os.listdir(".")), tried(lambda: open("new", "w")),
        tried(lambda: os.symlink("../key.pem", "mine/link")), tried(lambda: open("mine/link")),
        tried(lambda: os.rename("mine/link", "link")), tried(lambda: open("/etc/passwd")),
        tried(lambda: open("/etc/passwd", "a")), tried(lambda: open("/dev/null", "w")),
    )
    """
    told = locked(tmp_path, code, SYSTEM, [str(tmp_path / "mine")]).split()
    refused = "PermissionError"
    # A file moved out of its folder is refused as a link across file systems is: EXDEV, or EACCES.
    assert told[:5] == [refused, refused, refused, "done", refused]
    assert told[5] in {refused, "OSError"}
    assert told[6:] == ["done", refused, "done"]
    assert (tmp_path / "key.pem").read_text() == "secret"


@needs_landlock
def test_a_folder_of_its_own_is_used_like_any_other(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    code = """
    import shutil, subprocess, tempfile
    os.mkdir("mine/a"), open("mine/a/x", "w").write("1"), os.rename("mine/a/x", "mine/y")
    os.truncate("mine/y", 0), os.link("mine/y", "mine/z"), os.mkfifo("mine/f"), shutil.rmtree("mine/a")
    subprocess.run(["touch", "mine/by-a-child"], check=True)
    print(*sorted(os.listdir("mine")), subprocess.run(["touch", "outside"], capture_output=True).returncode)
    """
    assert locked(tmp_path, code, [*SYSTEM, "/no/such/folder"], [str(mine)]) == "by-a-child f y z 1"


@needs_landlock
def test_processes_outside_are_out_of_reach(tmp_path: Path) -> None:
    code = f"""
    server = "/proc/{os.getpid()}"
    print(tried(lambda: os.readlink(server + "/cwd")), tried(lambda: open(server + "/mem", "rb")))
    print(tried(lambda: os.kill({os.getpid()}, 0)))
    """
    looked, *signalled = locked(tmp_path, code, SYSTEM, []).splitlines()
    assert looked == "PermissionError PermissionError"
    assert signalled == ["PermissionError" if version() >= 6 else "done"]


def test_all_is_open_but_what_is_hidden_and_the_way_to_it(tmp_path: Path) -> None:
    for name in ("data/blobs", "data/scratch", "home/ann/.ssh", "home/bob", "usr/lib"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home" / "way").symlink_to(tmp_path / "data")
    (tmp_path / "key.pem").touch()
    (tmp_path / "other.txt").touch()
    hidden = [tmp_path / "data", tmp_path / "home" / "ann", tmp_path / "key.pem", tmp_path / "not-there"]
    needed = tmp_path / "home" / "ann" / ".venv"
    found = open_paths(hidden, [needed])
    inside = [path for path in found if path.startswith(f"{tmp_path}/")]
    assert sorted(inside) == sorted(
        str(path) for path in (tmp_path / "home" / "bob", needed, tmp_path / "other.txt", tmp_path / "usr")
    )
    assert {"/", str(tmp_path), *map(str, tmp_path.parents)}.isdisjoint(found)
    assert "/usr" in found


def test_what_lies_in_a_hidden_folder_stays_hidden_when_it_is_hidden_too(tmp_path: Path) -> None:
    (tmp_path / "data" / "blobs").mkdir(parents=True)
    (tmp_path / "data" / "keys").mkdir()
    found = open_paths([tmp_path / "data" / "blobs", tmp_path / "data"], [])
    assert not [path for path in found if path.startswith(f"{tmp_path}/data")]
