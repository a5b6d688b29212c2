"""The process with the node: started, spoken to, looked at and ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..home import Unavailable
from ..processes import family, own_kb
from .stalls import Stall

__all__ = ["PASSWORD", "Look", "Subject"]

ROOT = Path(__file__).parents[3]
PASSWORD = "faults: only for tests 7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the node's process held at one time."""

    tasks: dict[str, int]  #: by their function
    threads: list[str]
    descriptors: int
    server_mb: float  #: proportional set size, mapped files left out
    shells_mb: dict[str, list[float]]  #: by language, of each shell with what it started
    stalls: list[Stall]  #: the longest first
    late: int
    faults: dict[str, int]

    def shell_mb(self, language: str) -> float:
        """Of a shell of that language on average; 0 where there is none."""
        found = self.shells_mb.get(language)
        return sum(found) / len(found) if found else 0.0


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="gristmill-faults-"))
    folder.chmod(0o755)  # shells may be users of their own
    return folder


class Subject:
    """The node's process; its folder is removed at the end."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, ready: dict[str, Any]) -> None:
        self._process = process
        self._folder = folder
        parts = urlsplit(ready["ready"])
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 0

    @classmethod
    async def start(cls, *, seed: int, database: str | None, r: bool, log: Path) -> Subject:
        """Start it, its faults off. Raises Unavailable."""
        folder = _folder()
        options = {
            "data": str(folder / "data"),
            "seed": seed,
            "database": database,
            "r": r,
            "password": PASSWORD,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GRISTMILL_")}
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.harness.faults.node", json.dumps(options)),
                cwd=ROOT,
                env=kept,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=1 << 24,
                start_new_session=True,
            )
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            shutil.rmtree(folder, ignore_errors=True)
            raise Unavailable(f"the node ended with status {await process.wait()}: see {log}")
        return cls(process, folder, json.loads(line))

    async def tell(self, command: str) -> dict[str, Any]:
        """Its answer to a command. Raises Unavailable if it has ended or does not answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{command}\n".encode())
            async with asyncio.timeout(60):
                line = await self._process.stdout.readline()
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"the node does not answer {command!r}: {error!r}") from error
        if not line:
            raise Unavailable(f"the node ended with status {await self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def look(self) -> Look:
        """What it holds now."""
        found = await self.tell("look")
        shells: dict[str, list[float]] = {}
        for pid, language in found["shells"].items():
            shells.setdefault(language, []).append(sum(map(own_kb, family(int(pid)))) / 1024)
        return Look(
            tasks=found["tasks"],
            threads=found["threads"],
            descriptors=found["descriptors"],
            server_mb=own_kb(self._process.pid) / 1024,
            shells_mb=shells,
            stalls=[Stall(**each) for each in found["stalls"]["worst"]],
            late=found["stalls"]["late"],
            faults=found["faults"],
        )

    async def end(self) -> int | None:
        """End it as an administrator would; its status, None if it had to be killed after 30 s."""
        with contextlib.suppress(Unavailable):
            await self.tell("end")
        status: int | None
        try:
            async with asyncio.timeout(30):
                status = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            status = None
        shutil.rmtree(self._folder, ignore_errors=True)
        return status
