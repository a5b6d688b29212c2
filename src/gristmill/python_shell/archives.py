"""Snapshots: a zip of the workspace file and of all files of the working directory.

What comes in was made by a user: it is unpacked by rules, not by trust.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, BinaryIO, List, Optional, Tuple

from gristmill.python_shell.runtime import ObjectError

if TYPE_CHECKING:
    import zipfile

__all__ = ["WORKSPACE_FILES", "pack", "unpack"]

WORKSPACE_FILES = {"Python": ".dill", "R": ".RData"}

_MAX_FILES = 20_000
_MAX_BYTES = 8 << 30
#: All files together may be this many times as large as the archive, once they are over the size below.
_MAX_RATIO = 250
_RATIO_FREE = 16 << 20
_CHUNK = 1 << 20


def unpack(source: int, directory: str, workspace: str, *, target: str) -> Optional[str]:
    """Unpack the zip behind descriptor `source` into `directory`, an empty one that exists.

    The member called `workspace` goes to the path `target` instead, which is returned if it came. Raises
    ObjectError when the archive is damaged, or holds a link, a name that leads elsewhere, or a bomb.
    """
    import zipfile

    found = None
    try:
        with os.fdopen(os.dup(source), "rb") as file, zipfile.ZipFile(file) as archive:
            for member, name in _checked(archive.infolist(), os.fstat(source).st_size):
                path = target if name == workspace else os.path.join(directory, *name.split("/"))
                if member.is_dir():
                    os.makedirs(path, exist_ok=True)
                    continue
                os.makedirs(os.path.dirname(path), exist_ok=True)
                _extract(archive, member, path)
                found = target if name == workspace else found
    except ObjectError:
        raise
    except MemoryError:
        raise ObjectError("the snapshot cannot be unpacked: not enough memory") from None
    except Exception as error:  # zipfile raises errors of many kinds for damaged archives
        raise ObjectError(f"the snapshot cannot be unpacked: {type(error).__name__}: {error}") from None
    return found


def _checked(members: List[zipfile.ZipInfo], packed: int) -> List[Tuple[zipfile.ZipInfo, str]]:
    if len(members) > _MAX_FILES:
        raise ObjectError(f"the snapshot holds {len(members)} files, {_MAX_FILES} at most")
    total = sum(each.file_size for each in members)
    if total > _MAX_BYTES:
        raise ObjectError(f"the snapshot unpacks to {total} bytes, {_MAX_BYTES} at most")
    if total > max(_RATIO_FREE, _MAX_RATIO * packed):
        raise ObjectError(
            f"the snapshot of {packed} bytes unpacks to {total}: more than {_MAX_RATIO} times its size"
        )
    checked, seen = [], set()
    for member in members:
        name = _safe_name(member)
        if name in seen:
            raise ObjectError(f"the snapshot holds {name!r} twice")
        seen.add(name)
        checked.append((member, name))
    return checked


def _safe_name(member: zipfile.ZipInfo) -> str:
    shown = repr(member.filename[:80])
    name = member.orig_filename.replace("\\", "/").rstrip("/")
    parts = name.split("/")
    if "\0" in name or ":" in parts[0] or any(part in {"", ".", ".."} for part in parts):
        raise ObjectError(f"the snapshot holds the name {shown}, which is not a plain relative one")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ObjectError(
            f"the snapshot's {shown} is a link or a device; only files and directories may come"
        )
    if member.flag_bits & 1:
        raise ObjectError(f"the snapshot's {shown} is encrypted")
    return name


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> None:
    """One file, no longer than announced, with the time that the archive gives it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    left = member.file_size
    mode = 0o700 if (member.external_attr >> 16) & 0o100 else 0o600
    with archive.open(member) as packed, os.fdopen(os.open(path, flags, mode), "wb") as file:
        while True:
            data = packed.read(_CHUNK)
            if not data:
                break
            left -= len(data)
            if left < 0:
                raise ObjectError(f"the snapshot's {member.filename[:80]!r} is longer than it says")
            file.write(data)
    try:
        when = time.mktime((*member.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        when = 0.0
    os.utime(path, (when, when))


def pack(target: BinaryIO, directory: str, workspace: str, source: str) -> None:
    """Write a snapshot: the file `source` under the name `workspace`, and the directory's plain files."""
    import zipfile

    with zipfile.ZipFile(
        target, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False
    ) as archive:
        archive.write(source, workspace)
        for path, directories, files in os.walk(directory):
            inside = os.path.relpath(path, directory)
            for name in sorted(directories + files):
                relative = os.path.normpath(os.path.join(inside, name))
                mode = os.lstat(os.path.join(path, name)).st_mode
                if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and relative != workspace:
                    archive.write(os.path.join(path, name), relative)
