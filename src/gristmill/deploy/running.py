"""A builder's command, run: its lines as they come, its end, and its end before time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from gristmill.deploy.errors import NoBuilder

__all__ = ["Done", "Tell", "asked", "readable", "run"]

Tell = Callable[[str], None]
_KEPT = 400  #: lines
_LONGEST_LINE = 4096
_GRACE = 15.0  #: seconds that a builder gets to clean up when it is stopped
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    lines: tuple[str, ...]  #: the last of them, both outputs together

    @property
    def text(self) -> str:
        """All the lines."""
        return "\n".join(self.lines)

    def tail(self, count: int = 15) -> str:
        """The last lines, for an error."""
        return "\n".join(f"  {line}" for line in [line for line in self.lines if line.strip()][-count:])


def run(
    command: Sequence[str],
    *,
    tell: Tell | None = None,
    environment: Mapping[str, str] | None = None,
    secret: str | None = None,
) -> Done:
    """Run it to its end; `secret` goes to its standard input. Ctrl-C reaches it, and is waited for."""
    kept: deque[str] = deque(maxlen=_KEPT)
    with _started(command, environment, secret is not None) as process:
        assert process.stdout is not None
        if secret is not None:
            _feed(process, secret)
        for line in _lines(process.stdout):
            kept.append(line)
            if tell is not None:
                tell(line)
        code = process.wait()
    return Done(code=code, lines=tuple(kept))


def asked(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout: float = 30.0
) -> Done:
    """A short question to a program; code 124 if it does not answer in time."""
    try:
        done = subprocess.run(  # noqa: S603 - a list of checked arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            env=None if environment is None else dict(environment),
            check=False,
        )
    except FileNotFoundError:
        raise _gone(command) from None
    except subprocess.TimeoutExpired:
        return Done(code=124, lines=(f"{command[0]} did not answer within {timeout:g} seconds",))
    text = readable(done.stdout.decode("utf-8", "replace"))
    return Done(code=done.returncode, lines=tuple(text.splitlines()))


def readable(text: str) -> str:
    """Without what would move a terminal's cursor or change its colours."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str] | None, wants_input: bool
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(  # noqa: S603 - a list of checked arguments
            list(command),
            stdin=subprocess.PIPE if wants_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            process_group=0,  # so that Ctrl-C comes from here, once, to it and its children
        )
    except FileNotFoundError:
        raise _gone(command) from None
    try:
        yield process
    finally:
        if process.poll() is None:
            _stop(process)
        assert process.stdout is not None
        process.stdout.close()


def _feed(process: subprocess.Popen[bytes], secret: str) -> None:
    assert process.stdin is not None
    # One that ends without reading says why in its output.
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(f"{secret}\n".encode())


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop, as Ctrl-C does; then end it. What it still says is read: it cannot hang on that."""
    assert process.stdout is not None
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    reader.start()
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(_GRACE)
        except ProcessLookupError:
            process.wait()
        except subprocess.TimeoutExpired:
            continue
        break
    reader.join(_GRACE)


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines as they come; a carriage return ends one too, and what is longer than a line should be is cut."""
    pending = b""
    while chunk := stream.read1(65536):  # type: ignore[attr-defined]
        *whole, pending = re.split(rb"[\r\n]+", pending + chunk)
        for line in whole:
            if line:
                yield _decoded(line)
        if len(pending) > 16 * _LONGEST_LINE:
            yield _decoded(pending)
            pending = b""
    if pending:
        yield _decoded(pending)


def _decoded(line: bytes) -> str:
    return readable(line.decode("utf-8", "replace"))[:_LONGEST_LINE]


def _gone(command: Sequence[str]) -> NoBuilder:
    return NoBuilder(f"there is no program {command[0]} on the PATH")
