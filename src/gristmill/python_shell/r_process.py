"""The R process of a companion: start it, send requests, receive answers, notice its death."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import struct
import subprocess
from pathlib import Path
from typing import List, Optional

from gristmill.python_shell.r_decode import decode
from gristmill.python_shell.runtime import RuntimeDied

__all__ = ["RProcess"]

_DRIVER = Path(__file__).resolve().parent.parent / "r_shell" / "driver.R"
_F_SETPIPE_SZ = 1031
_PIPE_SIZE = 1 << 20
_SIZE = struct.Struct("<d")
_PR_SET_PDEATHSIG = 1
_FIRST_READ = 1 << 16


def _pipe() -> List[int]:
    ends = os.pipe()
    try:
        fcntl.fcntl(ends[0], _F_SETPIPE_SZ, _PIPE_SIZE)
    except OSError:  # over the user's limit for pipes: the usual 64 KiB do, at more switches
        return list(ends)
    return list(ends)


def _environment() -> dict[str, str]:
    """Ours, in a UTF-8 locale: strings come and go as UTF-8."""
    variables = {name: value for name, value in os.environ.items() if name != "R_DEFAULT_PACKAGES"}
    locale = variables.get("LC_ALL") or variables.get("LC_CTYPE") or variables.get("LANG") or ""
    if not locale.lower().replace("-", "").endswith("utf8"):
        variables["LC_ALL"] = "C.UTF-8"
    return variables


class RProcess:
    """One R child; every `exchange` is one request and its answer."""

    def __init__(self, command: str) -> None:
        """Start R and wait until it is ready. Raises RuntimeDied or OSError."""
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()
        libc = ctypes.CDLL(None)

        def die_with_us() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

        arguments = [command, "--no-echo", "--no-restore", "--vanilla", "-f", str(_DRIVER), "--args"]
        arguments += [str(_DRIVER.parent), str(theirs_in), str(theirs_out)]
        try:
            self._child = subprocess.Popen(  # noqa: S603 - R, as configured by the server
                arguments,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs_in, theirs_out),
                env=_environment(),
                preexec_fn=die_with_us,  # noqa: PLW1509 - a companion has one thread
                restore_signals=False,
            )
        except OSError:
            os.close(self._in)
            os.close(self._out)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._poll = select.poll()
        self._poll.register(self._in, select.POLLIN)
        self._death: Optional[int] = None
        if hasattr(os, "pidfd_open"):  # where programs that user code started keep the pipe open
            self._death = os.pidfd_open(self._child.pid)
            self._poll.register(self._death, select.POLLIN)
        self._doing = "before it was ready"
        self.hello = self.receive()
        self._doing = "while it ran the code"

    @property
    def pid(self) -> int:
        """Process id of R."""
        return self._child.pid

    def exchange(self, request: bytes) -> List[object]:
        """R's answer to a request: a list whose first item is [status]. Raises RuntimeDied."""
        try:
            sent = os.write(self._out, request)
        except BrokenPipeError:
            self._doing = "before this call"
            raise self._died(begun=False) from None
        try:
            while sent < len(request):
                request = request[sent:]
                sent = os.write(self._out, request)
        except BrokenPipeError:
            raise self._died() from None
        return self.receive()

    def receive(self) -> List[object]:
        """The next answer."""
        self._wait()
        data = os.read(self._in, _FIRST_READ)
        while len(data) < _SIZE.size:
            more = os.read(self._in, _FIRST_READ)
            if not more:
                raise self._died()
            data += more
        try:
            size = int(_SIZE.unpack_from(data)[0])
            if len(data) < size + _SIZE.size:
                data = self._rest(data, size + _SIZE.size)
            return decode(data, _SIZE.size)
        except UnicodeDecodeError:
            raise
        except MemoryError:
            raise RuntimeDied(
                "the R process sent an answer that is too large for the memory of a shell"
            ) from None
        except (ValueError, OverflowError, struct.error, IndexError, KeyError) as error:
            raise RuntimeDied(f"the R process sent an answer that cannot be read: {error}") from None

    def _rest(self, start: bytes, size: int) -> bytes:
        whole = bytearray(size)
        whole[: len(start)] = start
        view = memoryview(whole)
        at = len(start)
        while at < size:
            self._wait()
            count = os.readv(self._in, [view[at:]])
            if not count:
                raise self._died()
            at += count
        view.release()
        return bytes(whole)

    def _wait(self) -> None:
        """Wait for bytes of R, or for its end."""
        for number, event in self._poll.poll():
            if number == self._in and event & select.POLLIN:
                return
        raise self._died()

    def _died(self, *, begun: bool = True) -> RuntimeDied:
        try:
            code = self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            code = self._child.wait()
        if code < 0:
            name = signal.Signals(-code).name
            return RuntimeDied(f"the R process was ended by {name} {self._doing}", begun=begun)
        return RuntimeDied(f"the R process ended with status {code} {self._doing}", begun=begun)

    def interrupt(self) -> None:
        """SIGINT to R, if it still runs."""
        if self._child.returncode is None:
            os.kill(self._child.pid, signal.SIGINT)

    def kill(self) -> None:
        """End R at once."""
        if self._child.returncode is None:
            self._child.kill()
            self._child.wait()
        self.close()

    def close(self) -> None:
        """End R: it goes when its input ends, and is killed if it does not."""
        if self._out < 0:
            return
        os.close(self._out)
        self._out = -1
        try:
            self._child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        os.close(self._in)
        if self._death is not None:
            os.close(self._death)
