"""`gristmill` and helm, as people run them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers import GRISTMILL

__all__ = ["Done", "gristmill", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    status: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        return self.output + self.errors


def run(
    command: list[str], *, input: str = "", environment: Mapping[str, str] | None = None, check: bool = True
) -> Done:
    """Run it to its end; CalledProcessError, with what it printed, when it fails and `check` is on."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRISTMILL_")}
    done = subprocess.run(
        command, input=input, check=check, capture_output=True, text=True, timeout=1800,
        env={**clean, "COLUMNS": "200", **(environment or {})},
    )  # fmt: skip
    return Done(status=done.returncode, output=done.stdout, errors=done.stderr)


def gristmill(
    *arguments: str | Path, input: str = "", environment: Mapping[str, str] | None = None, check: bool = True
) -> Done:
    """`gristmill ARGUMENTS`."""
    return run([str(GRISTMILL), *map(str, arguments)], input=input, environment=environment, check=check)
