"""What of a folder never goes into an image: hidden files, byte code, and what .gristmillignore says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gristmill.deploy.errors import BadFolder

__all__ = ["IGNORE_FILE", "Ignored", "ignored_by"]

IGNORE_FILE = ".gristmillignore"
_LARGEST = 1024 * 1024

#: Whether a path is left out: its path in the folder, and whether it is a folder itself.
Ignored = Callable[[str, bool], bool]


def ignored_by(root: Path) -> Ignored:
    """The rule of this folder. A line of .gristmillignore is a pattern as git has them, `!` brings back."""
    from pathspec import GitIgnoreSpec

    try:
        spec = GitIgnoreSpec.from_lines(_lines(root / IGNORE_FILE))
    except ValueError as error:
        raise BadFolder(f"{IGNORE_FILE}: {error}") from None

    def ignored(path: str, is_folder: bool) -> bool:
        name = path.rpartition("/")[2]
        if name.startswith(".") or (name == "__pycache__" and is_folder) or name.endswith((".pyc", ".pyo")):
            return True
        return bool(spec.match_file(f"{path}/" if is_folder else path))

    return ignored


def _lines(path: Path) -> list[str]:
    try:
        if os.path.getsize(path) > _LARGEST:
            raise BadFolder(f"{IGNORE_FILE} is larger than {_LARGEST:,} bytes")
        return path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BadFolder(f"{IGNORE_FILE} cannot be read: {error}") from None
