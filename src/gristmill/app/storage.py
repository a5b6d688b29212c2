"""The room on the disks that state is kept on: looked at again and again, for `/status` and readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog

from gristmill import disk
from gristmill.background import Background
from gristmill.disk import Room
from gristmill.off_loop import Work, off_loop

__all__ = ["Storage", "watched"]

log = structlog.get_logger()

#: How often the disks are looked at.
_LOOK_SECONDS = 10.0
#: A look at a network's disk that takes longer has failed.
_PATIENCE = 5.0
#: A disk on which a write has found no room counts as full for so long.
_FULL_SECONDS = 60.0
_MIB = 2**20


class Storage:
    """What was last seen of the disks of some folders. `look` is to be repeated every `_LOOK_SECONDS`."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = list(dict.fromkeys(folders))
        self._seen: dict[Path, Room | str] = {}

    async def look(self) -> None:
        """Ask each disk, in a thread: one of a network may hang, and keeps only its own from being seen."""
        await asyncio.gather(*(self._look_at(folder) for folder in self._folders))

    async def _look_at(self, folder: Path) -> None:
        before = self._seen.get(folder)
        try:
            async with asyncio.timeout(_PATIENCE):
                found: Room | str = await off_loop(Work.READ, disk.look, folder)
        except TimeoutError:
            found = f"it has not answered for {_PATIENCE:g} s"
        except OSError as error:
            found = error.strerror or str(error)
        self._seen[folder] = found
        if _code(found) != "pass" and (before is None or _code(before) != _code(found)):
            log.warning("disk_is_low", folder=str(folder), **_details(found))

    def describe(self) -> dict[str, Any]:
        """A component of `/status`, with one component a folder; disks not looked at yet pass."""
        parts = {
            str(folder): {"statusCode": _code(found), "details": _details(found), "components": {}}
            for folder, found in self._seen.items()
        }
        codes = {part["statusCode"] for part in parts.values()}
        code = next((code for code in ("fail", "warn") if code in codes), "pass")
        return {"statusCode": code, "details": {}, "components": parts}

    def trouble(self) -> str:
        """What keeps something from being stored now, in a sentence; empty if nothing does."""
        for folder, found in self._seen.items():
            if isinstance(found, str):
                return f"the disk of {folder} cannot be used: {found}"
            if _code(found) == "fail":
                return f"the disk of {folder} is full, or nearly: {found.free / _MIB:,.0f} MiB are free"
        return ""


def watched(folders: Iterable[Path], background: Background) -> Storage:
    """The disks of some folders, looked at from now on by `background`."""
    storage = Storage(folders)
    background.repeat("look at disks", storage.look, every=_LOOK_SECONDS, at_once=True)
    return storage


def _code(found: Room | str) -> str:
    if isinstance(found, str):
        return "fail"
    since = disk.seconds_since_full(found.device)
    if found.exhausted or (since is not None and since < _FULL_SECONDS):
        return "fail"
    return "warn" if found.low else "pass"


def _details(found: Room | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"error": found}
    details: dict[str, Any] = {"freeBytes": found.free, "totalBytes": found.total}
    if found.files_left is not None:
        details["freeFiles"] = found.files_left
    since = disk.seconds_since_full(found.device)
    if since is not None:
        details["secondsSinceFull"] = round(since, 1)
    return details
