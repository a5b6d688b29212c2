"""Where a server finds itself."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["without_r"]


def without_r(folder: Path) -> dict[str, str]:
    """An environment in which R is not found, and bubblewrap is if it is there: starts are quicker, too."""
    programs = folder / "programs"
    programs.mkdir()
    found = shutil.which("bwrap")
    if found:
        (programs / "bwrap").symlink_to(found)
    return {"PATH": str(programs)}
