"""Deployment scripts as child processes: no secrets of the server's, a time limit, and an end together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import structlog

from gristmill.errors import GristmillError
from gristmill.launch.removal import remove_tree
from gristmill.off_loop import Work, off_loop

__all__ = ["ScriptFailed", "environment", "run_script"]

log = structlog.get_logger()

#: What a script may see of the server's environment; the server's secrets are in other variables.
_PASSED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "R_HOME",
    "R_LIBS",
    "R_LIBS_SITE",
    "R_LIBS_USER",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
#: Becomes the script, which ends with the server that started it, even if that is killed.
_BEGIN = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the server ended")
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]} cannot be run: {error.strerror}")
"""
_LAST_LINES = 20
_LONGEST_LINE = 2000
#: For the last of its output, if something else still holds the pipe.
_AFTER_SECONDS = 0.2
#: Between a request to end and the end.
_GRACE_SECONDS = 2.0


class ScriptFailed(GristmillError):
    """A script ended with another status than 0, or did not end in time."""


def environment(given: Mapping[str, str], home: Path) -> dict[str, str]:
    """What a script finds in its environment; `given` goes before what it inherits."""
    inherited = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {
        "LANG": "C.UTF-8",
        **inherited,
        "HOME": str(home),
        "TMPDIR": str(home),
        "USER": "gristmill",
        "LOGNAME": "gristmill",
        **given,
    }


async def run_script(
    command: Sequence[str],
    *,
    folder: Path,
    scratch: Path,
    variables: Mapping[str, str],
    seconds: float,
    tell: Callable[[str], None],
) -> None:
    """Run a command in `folder` to its end, with a new directory below `scratch` as its home.

    `tell` is called with each line that it prints. Raises ScriptFailed with its last ones; it and all that it
    started have ended when this returns, or is cancelled.
    """
    home = Path(tempfile.mkdtemp(prefix="publish-", dir=scratch))
    last: deque[str] = deque(maxlen=_LAST_LINES)

    def note(line: str) -> None:
        last.append(line)
        tell(line)

    try:
        async with _started(command, folder, environment(variables, home)) as (process, output):
            try:
                async with asyncio.timeout(seconds):
                    await _follow(process, output, note)
            except TimeoutError:
                raise ScriptFailed(f"it did not end within {seconds:g} s{_said(last)}") from None
        if process.returncode:
            raise ScriptFailed(f"it ended with {_ending(process.returncode)}{_said(last)}")
    finally:
        await off_loop(Work.REMOVE, _remove, home)


def _remove(home: Path) -> None:
    try:
        remove_tree(home)
    except OSError as error:
        log.warning("scratch_stays", path=str(home), error=str(error))


@contextlib.asynccontextmanager
async def _started(
    command: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """The process, and what it prints. On leaving, it and all of its process group have ended.

    The pipe is our own, as asyncio's would have `wait` wait for whoever else holds it.
    """
    with contextlib.ExitStack() as undo:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb", 0) as theirs:
            output = await _connected(os.fdopen(reading, "rb", 0), undo)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _BEGIN, str(os.getpid())),
                *command,
                cwd=folder,
                env=variables,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        try:
            yield process, output
        finally:
            await _end(process)


async def _connected(pipe: BinaryIO, undo: contextlib.ExitStack) -> asyncio.StreamReader:
    """What comes through a pipe, which from now on is closed by `undo`."""
    output = asyncio.StreamReader()
    try:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), pipe
        )
    except BaseException:
        pipe.close()
        raise
    undo.callback(transport.close)
    return output


async def _follow(
    process: asyncio.subprocess.Process, output: asyncio.StreamReader, note: Callable[[str], None]
) -> None:
    """Tell what it prints until it has ended, even if something that it started keeps the pipe open."""
    reading = asyncio.create_task(_read_lines(output, note))
    try:
        await process.wait()
        # What it wrote is in the pipe already.
        await asyncio.wait({reading}, timeout=_AFTER_SECONDS)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read_lines(output: asyncio.StreamReader, note: Callable[[str], None]) -> None:
    rest = b""
    while chunk := await output.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _note(line, note)
        rest = rest[:_LONGEST_LINE]  # of a longer one, what follows is not told
    _note(rest, note)


def _note(line: bytes, note: Callable[[str], None]) -> None:
    text = line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip()
    if text:
        note(text)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what still runs of its process group: politely, if the script itself does."""
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await process.wait()
    _signal(process.pid, signal.SIGKILL)
    if process.returncode is None:
        await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _ending(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"


def _said(last: deque[str]) -> str:
    return (
        "; its last lines were:\n" + "\n".join(f"    {line}" for line in last)
        if last
        else ", and said nothing"
    )
