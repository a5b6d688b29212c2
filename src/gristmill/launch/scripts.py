"""Deployment scripts as child processes: no secrets of the server's, a time limit, and an end together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gristmill.errors import GristmillError

__all__ = ["ScriptFailed", "environment", "run_script"]

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
os.execvp(sys.argv[2], sys.argv[2:])
"""
_LAST_LINES = 20
_LONGEST_LINE = 2000
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
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _BEGIN, str(os.getpid())),
            *command,
            cwd=folder,
            env=environment(variables, home),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        last: deque[str] = deque(maxlen=_LAST_LINES)
        try:
            async with asyncio.timeout(seconds):
                await _follow(process, last, tell)
                status = await process.wait()
        except TimeoutError:
            raise ScriptFailed(f"it did not end within {seconds:g} s{_said(last)}") from None
        finally:
            await _end(process)
        if status:
            raise ScriptFailed(f"it ended with {_ending(status)}{_said(last)}")
    finally:
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)


async def _follow(process: asyncio.subprocess.Process, last: deque[str], tell: Callable[[str], None]) -> None:
    """Read what it prints until it has ended, even if something that it started keeps the pipe open."""
    assert process.stdout is not None
    ended = asyncio.create_task(process.wait())
    rest = b""
    try:
        while True:
            reading = asyncio.ensure_future(process.stdout.read(65536))
            await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                # It has ended; what it wrote before is in the pipe already.
                await asyncio.wait({reading}, timeout=0.1)
            if not reading.done():
                reading.cancel()
                break
            chunk = reading.result()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                _note(line, last, tell)
            if len(rest) > _LONGEST_LINE or (not chunk and rest):
                _note(rest, last, tell)
                rest = b""
            if not chunk:
                break
    finally:
        ended.cancel()


def _note(line: bytes, last: deque[str], tell: Callable[[str], None]) -> None:
    text = line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip()
    if text:
        last.append(text)
        tell(text)


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
