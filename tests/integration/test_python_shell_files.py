"""A call may ask for every file that it wrote: the items of a batch do."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill.frames import WITH_FILES, Kind, Status
from tests.integration.shell_client import ShellClient, answer, snapshot

WRITES = """
import os
open("note.txt", "w").write(text)
os.makedirs("sub"); open("sub/ü.bin", "wb").write(b"\\0\\xff")
os.symlink("/etc/passwd", "link")
open("plot.png", "wb").write(b"png")
y = 1
if text == "fail":
    raise ValueError(text)
"""
SUB = {"text": "character"}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[ShellClient]:
    with ShellClient(tmp_path, output_limit=100_000) as client:
        yield client


def ask(shell: ShellClient, body: bytes, meta: bytes = WITH_FILES) -> Any:
    shell.send(Kind.CALL, body, handle=1, meta=meta)
    return shell.receive()


def files_of(found: dict[str, Any]) -> dict[str, bytes]:
    return {name: base64.b64decode(content) for name, content in found["files"].items()}


def test_files_beyond_the_outputs_come_last_and_links_do_not(shell: ShellClient) -> None:
    shell.load(code=WRITES, inputs=SUB, outputs={"y": "integer"}, outputFiles=["plot.png"])
    found = answer(ask(shell, b'{"text": "hello"}'))
    assert list(found)[-3:] == ["changedFiles", "files", "status"]
    assert files_of(found) == {"note.txt": b"hello", "sub/ü.bin": b"\0\xff"}
    assert found["outputFiles"] == {"plot.png": base64.b64encode(b"png").decode()}
    assert found["changedFiles"] == ["link", "note.txt", "plot.png", "sub/ü.bin"]


def test_they_come_only_where_they_are_asked_for(shell: ShellClient) -> None:
    shell.load(code=WRITES, inputs=SUB, outputs={"y": "integer"})
    assert "files" not in answer(ask(shell, b'{"text": "hello"}', meta=b""))
    shell.load(2, code="y = 1", inputs=SUB, outputs={"y": "integer"}, content=snapshot({"old.txt": b"old"}))
    shell.send(Kind.CALL, b'{"text": ""}', handle=2, meta=WITH_FILES)
    assert "files" not in answer(shell.receive())


def test_a_failure_hands_over_what_it_wrote(shell: ShellClient) -> None:
    shell.load(code=WRITES, inputs=SUB, outputs={"y": "integer"}, outputFiles=["plot.png"])
    frame = ask(shell, b'{"text": "fail"}')
    assert frame.status == Status.FAILED
    assert set(files_of(answer(frame))) == {"note.txt", "sub/ü.bin", "plot.png"}


@pytest.mark.parametrize("sizes", [[80_000], [30_000, 30_000, 30_000]])
def test_files_that_are_too_large_together_are_refused(shell: ShellClient, sizes: list[int]) -> None:
    code = f"for i, size in enumerate({sizes}): open(f'{{i}}.txt', 'w').write('x' * size)\ny = 1"
    shell.load(code=code, inputs=SUB, outputs={"y": "integer"})
    frame = ask(shell, b'{"text": ""}')
    assert frame.status == Status.TOO_LARGE
    shell.load(2, code="y = 1", inputs=SUB, outputs={"y": "integer"})
    assert shell.score(2, text="")["y"] == 1
