"""Programs on the PATH that are not what they are called: each notes how, and does as the test says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Programs"]

_SCRIPT = """#!{python}
import json, os, sys
here = {folder!r}
call = {{"program": {name!r}, "words": sys.argv[1:], "input": "" if sys.stdin.isatty() else sys.stdin.read()}}
call["config"] = os.listdir(sys.argv[2]) if sys.argv[1:2] == ["--config"] else None
with open(os.path.join(here, "calls"), "a") as calls:
    calls.write(json.dumps(call) + "\\n")
sys.argv[0] = {name!r}
exec(open(os.path.join(here, {name!r} + ".py")).read())
"""


class Programs:
    """The only programs on the PATH, in a folder of the test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir(parents=True)
        monkeypatch.setenv("PATH", str(self._bin))

    def add(self, name: str, code: str = "") -> None:
        """A program that runs this Python; `words` are its arguments."""
        (self._folder / f"{name}.py").write_text(f"words = sys.argv[1:]\n{code}\n")
        script = self._bin / name
        script.write_text(_SCRIPT.format(python=sys.executable, folder=str(self._folder), name=name))
        script.chmod(0o755)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """`program`, `words`, `input`, of each call in turn."""
        path = self._folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def words(self, verb: str) -> list[list[str]]:
        """The calls with this word among their first three."""
        return [call["words"] for call in self.calls if verb in call["words"][:3]]
