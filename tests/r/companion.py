"""A companion with its R for tests: services and sessions without the engine around them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gristmill.python_shell.r_runtime import RRuntime
from gristmill.schema import Column, FrameValue, Value

Pairs = Sequence[tuple[str, str]]
Workspace = Path | None


def spec(code: str, init: str = "", inputs: Pairs = (), outputs: Pairs = ()) -> dict[str, object]:
    """LOAD's description of a service."""
    return {
        "name": "service",
        "version": "1",
        "code": code,
        "initCode": init,
        "inputs": [{"name": name, "type": type_} for name, type_ in inputs],
        "outputs": [{"name": name, "type": type_} for name, type_ in outputs],
    }


class Services:
    """Services on one R, called by a handle that `add` returns."""

    def __init__(self, runtime: RRuntime) -> None:
        self.runtime = runtime
        self._count = 0

    def add(
        self, code: str, init: str = "", inputs: Pairs = (), outputs: Pairs = (), workspace: Workspace = None
    ) -> int:
        """Load a service."""
        self._count += 1
        path = None if workspace is None else str(workspace)
        self.runtime.load(self._count, spec(code, init, inputs, outputs), path)
        return self._count

    def result(self, code: str, type_: str = "vector", init: str = "", workspace: Workspace = None) -> object:
        """What `code` leaves in `y`, declared `type_`, in a service of its own."""
        handle = self.add(code, init, outputs=[("y", type_)], workspace=workspace)
        try:
            return self.runtime.call(handle, [])[0]
        finally:
            self.runtime.unload(handle)

    def passed(self, value: Value, type_: str, code: str = "y <- x", output: str | None = None) -> object:
        """What comes back for `x` of a declared type."""
        handle = self.add(code, inputs=[("x", type_)], outputs=[("y", output or type_)])
        try:
            return self.runtime.call(handle, [value])[0]
        finally:
            self.runtime.unload(handle)


def frame(**columns: tuple[str, list[Any]]) -> FrameValue:
    """A data.frame of columns given as (kind, values)."""
    made = [Column(kind, values) for kind, values in columns.values()]
    return FrameValue(list(columns), made, len(made[0].values) if made else 0)


def write_with_r(code: str) -> None:
    """Run R apart from any shell, to make files."""
    subprocess.run(["Rscript", "--vanilla", "-e", code], check=True, capture_output=True, text=True)
