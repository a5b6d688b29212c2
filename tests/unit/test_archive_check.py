"""Zips that may become a service's content, and those that may not."""

import contextlib
import io
import stat
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.archive_check import check_archive
from gristmill.errors import GristmillError, InvalidInput, TooLarge


def archive(*members: tuple[str | zipfile.ZipInfo, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return file


def test_a_snapshot_is_taken() -> None:
    check_archive(archive((".dill", b"x" * 1000), ("data/", b""), ("data/rows.csv", b"1,2")))
    check_archive(archive())


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "C:/x", "a//b", "..", "a\\..\\..\\x"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not a plain relative one"):
        check_archive(archive((name, b"x")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        check_archive(archive(("a", b"1"), ("a", b"2")))


def test_links_and_devices_are_refused() -> None:
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        member = zipfile.ZipInfo("a")
        member.external_attr = (kind | 0o777) << 16
        with pytest.raises(InvalidInput, match="link or a device"):
            check_archive(archive((member, b"/etc/passwd")))


def test_a_bomb_is_refused() -> None:
    with pytest.raises(TooLarge, match="more than 250 times"):
        check_archive(archive(("a", bytes(64 * 2**20))))


def test_too_many_files_are_refused_before_their_list_is_read() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for number in range(20_001):
            made.writestr(str(number), b"")
    with pytest.raises(TooLarge, match="more than 20000 files"):
        check_archive(file)


def test_what_is_no_zip_is_refused() -> None:
    for content in (b"", b"x" * 100, b"PK\5\6" + b"\xff" * 40, b"PK\5\6"):
        with pytest.raises((InvalidInput, TooLarge)):
            check_archive(io.BytesIO(content))


def test_a_zip_that_was_cut_off_is_refused() -> None:
    whole = archive((".dill", b"x" * 1000)).getvalue()
    with pytest.raises(InvalidInput):
        check_archive(io.BytesIO(whole[:-30]))
    with pytest.raises(InvalidInput):
        check_archive(io.BytesIO(whole[50:]))


@given(st.data())
def test_no_damage_makes_it_raise_anything_but_an_error_of_ours(data: st.DataObject) -> None:
    whole = bytearray(archive((".dill", b"x" * 50), ("b", b"y")).getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(GristmillError):
        check_archive(io.BytesIO(bytes(whole)))
