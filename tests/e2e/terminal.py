"""An interactive R at a terminal, typed at as a person does."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from pathlib import Path
from types import TracebackType

__all__ = ["RTerminal"]

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x07")


class RTerminal:
    """`R --interactive` on a pseudo-terminal. `expect` waits for what appears, `enter` types a line."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.seen = ""  #: all that appeared, without what moves the cursor
        self._read = 0
        self._process, self._terminal = pty.fork()
        if self._process == 0:  # the child, to which the terminal belongs: Ctrl-C reaches it as a signal
            os.chdir(folder)
            environment = {**os.environ, "TERM": "dumb", **environment}
            os.execvpe("R", ["R", "--quiet", "--vanilla", "--interactive"], environment)

    def enter(self, line: str) -> None:
        """Type a line."""
        os.write(self._terminal, line.encode() + b"\n")

    def press_ctrl_c(self) -> None:
        """Interrupt what runs."""
        os.write(self._terminal, b"\x03")

    def expect(self, text: str, seconds: float = 30) -> str:
        """Wait until `text` appears behind what was expected before; what came until then."""
        deadline = time.monotonic() + seconds
        while (at := self.seen.find(text, self._read)) < 0:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not appear in {self.seen[self._read :]!r}"
            if select.select([self._terminal], [], [], left)[0]:
                self.seen += _CONTROLS.sub("", os.read(self._terminal, 65536).decode(errors="replace"))
        between = self.seen[self._read : at]
        self._read = at + len(text)
        return between

    def __enter__(self) -> RTerminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._terminal)
