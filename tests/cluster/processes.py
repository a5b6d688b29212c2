"""Programs on this machine that stay for a while, and end with us."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["running"]


@contextlib.contextmanager
def running(what: str, command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have `command` run meanwhile; RuntimeError, with the end of its log, when it ended by itself."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us alone, who end it in order
        )
    try:
        yield process
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
