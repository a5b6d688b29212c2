"""Names that callers put into paths and uploads, checked before anything is done with them."""

from __future__ import annotations

from gristmill.errors import InvalidInput

__all__ = ["file_name", "object_name", "relative_path"]

_LONGEST = 255


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:57] + "…")


def object_name(name: str) -> str:
    """`name` if it may name a workspace object; raises InvalidInput."""
    sound = 0 < len(name) <= _LONGEST and name.isprintable() and name not in {".", ".."}
    if not sound or "/" in name or "\\" in name:
        raise InvalidInput(
            f"{_shown(name)} cannot name an object: 1 to {_LONGEST} printable characters without slashes"
        )
    return name


def file_name(name: str) -> str:
    """`name` if it is a plain file name; raises InvalidInput."""
    if "/" in name:
        raise InvalidInput(f"{_shown(name)} is not a plain file name: leave out the directory")
    return relative_path(name)


def relative_path(name: str) -> str:
    """`name` if it is a path that stays below the directory it starts from; raises InvalidInput."""
    parts = name.split("/")
    sound = all(
        0 < len(part.encode("utf-8", "replace")) <= _LONGEST and part not in (".", "..") for part in parts
    )
    if not sound or len(name) > 4 * _LONGEST or not name.isprintable() or "\\" in name:
        raise InvalidInput(
            f"{_shown(name)} cannot name a file: give a relative path of printable characters, without '..', "
            f"backslashes or empty parts, each part {_LONGEST} bytes at most"
        )
    return name
