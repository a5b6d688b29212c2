"""A database file that is damaged, or that cannot be opened: said in a line, with the way out."""

import asyncio
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from gristmill.db import Database, default_url, open_database
from gristmill.db.engine import make_engine
from gristmill.ports import DatabaseDamaged, StateUnavailable
from tests.contract.records import service

GARBAGE = bytes(range(255, 0, -1)) * 100


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A database of some hundred pages, all of them in the file."""
    database = await open_database(default_url(tmp_path))
    for i in range(60):
        await database.services.add(service("s", str(i), code=f"#{i}" * 2000))
    await database.close()
    path = tmp_path / "gristmill.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


async def refused(path: Path) -> str:
    with pytest.raises(DatabaseDamaged) as caught:
        await open_database(default_url(path.parent))
    message = caught.value.message
    assert "\n" not in message
    assert str(path) in message
    assert "put back a backup of it" in message
    return message


def change(path: Path, by: Callable[[bytes], bytes]) -> None:
    path.write_bytes(by(path.read_bytes()))


def scribbled(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + GARBAGE + content[middle + len(GARBAGE) :]


async def test_garbage_in_the_middle_is_found_at_start(path: Path) -> None:
    change(path, scribbled)
    assert f"sqlite3 {path} .dump" in await refused(path)


@pytest.mark.parametrize("share", [3, 50])
async def test_a_file_that_was_cut_off_is_found_at_start(path: Path, share: int) -> None:
    change(path, lambda content: content[: len(content) // share])
    assert "is damaged" in await refused(path)


async def test_a_file_that_is_no_database_is_found_at_start_and_left_as_it_is(path: Path) -> None:
    change(path, lambda _: GARBAGE)
    assert "is no SQLite database" in await refused(path)
    change(path, lambda content: content if content == GARBAGE else pytest.fail("it was written to"))


async def test_damage_at_run_time_is_told_and_remembered(path: Path) -> None:
    database: Database = await open_database(default_url(path.parent))
    assert database.damage is None
    change(path, scribbled)
    other = open_readers(path)
    with pytest.raises(DatabaseDamaged, match=rf"the database file {path} is damaged"):
        await other.services.load()
    assert await other.revision() >= 0  # what is whole is still read, and yet
    assert other.damage is not None
    await other.close()
    await database.close()


def open_readers(path: Path) -> Database:
    """A node that has no page of the file in memory, and did not look it through."""
    return Database(make_engine(default_url(path.parent)))


async def test_a_text_that_was_changed_on_the_disk_is_damage_and_is_not_shown(path: Path) -> None:
    change(path, lambda content: content.replace(b"#7#7#7#7", b"\xff\xfe#7#7#7"))
    other = open_readers(path)
    with pytest.raises(DatabaseDamaged, match="Could not decode to UTF-8 column 'code'") as caught:
        await other.services.load()
    assert "#7" not in caught.value.message
    await other.close()


def cut_off(content: bytes) -> bytes:
    return content[: len(content) * 3 // 4]


async def test_what_the_message_advises_saves_what_can_be_read(path: Path) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("there is no sqlite3 program")
    change(path, cut_off)
    saving = re.findall("`(.+)`", await refused(path))[0]
    done = await asyncio.create_subprocess_shell(saving, cwd=path.parent, stderr=asyncio.subprocess.DEVNULL)
    assert await done.wait() == 0
    saved = path.with_name("saved.db")
    saved.rename(path)
    database = await open_database(default_url(path.parent))
    _, services = await database.services.load()
    assert len(services) > 10
    await database.close()


async def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "gristmill.db").mkdir()
    with pytest.raises(StateUnavailable, match=r"gristmill.db cannot be made or opened: Is a directory"):
        await open_database(default_url(tmp_path))
