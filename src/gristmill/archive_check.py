"""Whether a zip that was sent may become the content of a service; nothing of it is unpacked here.

A shell applies the same rules again as it unpacks. Here they refuse at once, and before memory is spent on
it, what no shell would take.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from typing import BinaryIO

from gristmill.errors import InvalidInput, TooLarge

__all__ = ["check_archive"]

_MOST_FILES = 20_000
_MOST_BYTES = 8 << 30
#: All files together may be this many times as large as the archive, once they are over the size below.
_MOST_RATIO = 250
_RATIO_FREE = 16 << 20
#: Of the list of all files, which is read as a whole.
_MOST_DIRECTORY = 16 << 20
#: The record at the end of a zip (APPNOTE.TXT, 4.3.16), and how far from the end a comment may push it.
_END = struct.Struct("<4s4H2LH")
_FARTHEST = _END.size + 0xFFFF


def check_archive(file: BinaryIO) -> None:
    """Raise InvalidInput, or TooLarge, that says what is wrong with the zip in `file`."""
    size = file.seek(0, 2)
    _check_end(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError, OverflowError) as error:
        raise InvalidInput(f"the content of the service is no sound zip: {error}") from None
    total = sum(member.file_size for member in members)
    if len(members) > _MOST_FILES or total > _MOST_BYTES:
        raise TooLarge(
            f"the content of the service holds {len(members)} files of {total} bytes; "
            f"{_MOST_FILES} of {_MOST_BYTES} at most"
        )
    if total > max(_RATIO_FREE, _MOST_RATIO * size):
        raise TooLarge(
            f"the content of the service, {size} bytes, unpacks to more than {_MOST_RATIO} times that"
        )
    seen: set[str] = set()
    for member in members:
        name = _plain_name(member)
        if name in seen:
            raise InvalidInput(f"the content of the service holds {name[:80]!r} twice")
        seen.add(name)


def _check_end(file: BinaryIO, size: int) -> None:
    """Bound what reading the list of files will cost."""
    file.seek(max(0, size - _FARTHEST))
    tail = file.read(_FARTHEST)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < _END.size:
        raise InvalidInput("the content of the service is no zip")
    _, _, _, _, files, directory, _, _ = _END.unpack_from(tail, found)
    if files > _MOST_FILES or directory > _MOST_DIRECTORY:  # more is written as 0xFFFF, with a record beside
        raise TooLarge(f"the content of the service holds more than {_MOST_FILES} files")


def _plain_name(member: zipfile.ZipInfo) -> str:
    shown = repr(member.filename[:80])
    name = member.orig_filename.replace("\\", "/").rstrip("/")
    parts = name.split("/")
    if "\0" in name or ":" in parts[0] or any(part in {"", ".", ".."} for part in parts):
        raise InvalidInput(
            f"the content of the service holds the name {shown}, which is not a plain relative one"
        )
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InvalidInput(f"the content's {shown} is a link or a device: only files and folders may come")
    if member.flag_bits & 1:
        raise InvalidInput(f"the content's {shown} is encrypted")
    return name
