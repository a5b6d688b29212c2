"""A small client of the shell process: what the server's `shell.py` is to it, blocking and for tests only."""

from __future__ import annotations

import array
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gristmill.frames import Decoder, Frame, Kind, Status, pack_header

SOURCES = Path(__file__).parents[2] / "src"


class ShellClient:
    """One shell, spawned for real. Use as a context; `scratch` is its directory."""

    def __init__(
        self,
        scratch: Path,
        *,
        python: str = sys.executable,
        runtime: str = "Python",
        arguments: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        self.scratch = scratch
        ours, theirs = socket.socketpair()
        our_descriptors, their_descriptors = socket.socketpair()
        self.socket, self._descriptors = ours, our_descriptors
        ours.settimeout(50)
        self.console = scratch / "console"
        console = os.open(self.console, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with open(os.devnull, "rb") as nothing:
            self.process = subprocess.Popen(
                [python, *arguments, "-c", _START.format(theirs.fileno(), their_descriptors.fileno())],
                stdin=nothing,
                stdout=console,
                stderr=console,
                cwd=scratch,
                env=_environment(scratch),
                pass_fds=(theirs.fileno(), their_descriptors.fileno()),
            )
        os.close(console)
        theirs.close()
        their_descriptors.close()
        self._decoder = Decoder(1 << 31)
        self._frames: list[Frame] = []
        self._next = 0
        config = {
            "runtime": runtime,
            "output_limit": 1 << 24,
            "console_limit": 10_000,
            "preload": [],
            **settings,
        }
        self.send(Kind.CONFIG, json.dumps(config).encode())
        try:
            self.about = json.loads(self.receive().body)
        except (EOFError, OSError):
            self.__exit__()
            raise RuntimeError(f"the shell did not start: {self.console.read_text()}") from None

    @classmethod
    def session(cls, scratch: Path, **settings: Any) -> ShellClient:
        """Another shell, in a directory below."""
        return cls(Path(tempfile.mkdtemp(dir=scratch)), **settings)

    def __enter__(self) -> ShellClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self._descriptors.close()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()

    def pack(self, kind: Kind, body: bytes, *, handle: int = 0, meta: bytes = b"") -> bytes:
        self._next += 1
        header = pack_header(kind, self._next, len(body), handle=handle, meta_length=len(meta))
        return header + meta + body

    def send(
        self, kind: Kind, body: bytes, *, handle: int = 0, meta: bytes = b"", descriptor: int | None = None
    ) -> int:
        if descriptor is not None:
            rights = array.array("i", [descriptor])
            self._descriptors.sendmsg([b"f"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        self.socket.sendall(self.pack(kind, body, handle=handle, meta=meta))
        return self._next

    def receive(self) -> Frame:
        """The next frame; EOFError when the shell is gone."""
        while not self._frames:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError
            self._frames.extend(self._decoder.feed(data))
        return self._frames.pop(0)

    def load(self, handle: int = 1, content: bytes | None = None, **spec: Any) -> Frame:
        full = {
            "name": "svc",
            "version": "1.0.0",
            "digest": str(handle),
            "code": "",
            "initCode": "",
            "inputs": [],
            "outputs": [],
            "outputFiles": [],
            "batchable": False,
            **spec,
        }
        full["inputs"] = _definitions(full["inputs"])
        full["outputs"] = _definitions(full["outputs"])
        if content is None:
            self.send(Kind.LOAD, json.dumps(full).encode(), handle=handle)
        else:
            with tempfile.TemporaryFile() as file:
                file.write(content)
                file.flush()
                full["content"] = True
                self.send(Kind.LOAD, json.dumps(full).encode(), handle=handle, descriptor=file.fileno())
        return self.receive()

    def call(self, handle: int = 1, body: bytes | None = None, **inputs: Any) -> dict[str, Any]:
        """The answer's JSON, with the frame's status as `status`."""
        self.send(Kind.CALL, json.dumps(inputs).encode() if body is None else body, handle=handle)
        return answer(self.receive())

    def score(self, handle: int = 1, **inputs: Any) -> dict[str, Any]:
        """Outputs of a call that must succeed."""
        result = self.call(handle, **inputs)
        assert result["status"] is Status.OK, result
        outputs: dict[str, Any] = result["outputParameters"]
        return outputs

    def operate(
        self, op: str, *, content: bytes | None = None, body: Any = None, **meta: Any
    ) -> dict[str, Any]:
        """Carry out an operation; with `content` its descriptor has these bytes, and `written` comes back."""
        header = json.dumps({"op": op, "fd": content is not None, **meta}).encode()
        raw = b"" if body is None else json.dumps(body).encode()
        if content is None:
            self.send(Kind.OPERATION, raw, meta=header)
            return answer(self.receive())
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            file.seek(0)
            self.send(Kind.OPERATION, raw, meta=header, descriptor=file.fileno())
            result = answer(self.receive())
            file.seek(0)
            return {**result, "written": file.read()}

    def execute(self, code: str, outputs: tuple[str, ...] = (), **inputs: Any) -> dict[str, Any]:
        given = [{"name": name, "value": value} for name, value in inputs.items()]
        request = {"code": code, "inputParameters": given, "outputParameters": list(outputs)}
        result = self.operate("execute", body=request)
        result["outputs"] = {each["name"]: each["value"] for each in result.get("outputParameters", ())}
        return result

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)


def other_python(version: str) -> str:
    """Path of another interpreter, such as 3.8; the test is skipped where there is none."""
    kept = [str(each) for each in Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    for python in (*kept, shutil.which(f"python{version}")):
        if python and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip(f"there is no Python {version} on this machine")


def answer(frame: Frame) -> dict[str, Any]:
    assert frame.kind == Kind.REPLY, frame
    result: dict[str, Any] = json.loads(frame.body) if frame.body else {}
    return {**result, "status": Status(frame.status)}


def snapshot(files: dict[str, bytes]) -> bytes:
    """A zip of these files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def _definitions(given: Any) -> list[Any]:
    """`{"x": "vector"}` as the protocol's list; lists go as they are."""
    if isinstance(given, dict):
        return [{"name": name, "type": type_} for name, type_ in given.items()]
    return list(given)


def _environment(scratch: Path) -> dict[str, str]:
    (scratch / "tmp").mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_CONFIG") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(SOURCES),
        "LC_ALL": "C.UTF-8",
        "HOME": str(scratch),
        "TMPDIR": str(scratch / "tmp"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


#: Puts the sockets on 3 and 4, then is a shell; what the server's launcher does in its own way.
_START = """
import os, sys
high = [os.dup(os.dup(os.dup(os.dup(each)))) for each in ({}, {})]
os.dup2(high[0], 3); os.dup2(high[1], 4)
os.closerange(5, 64)
from gristmill.python_shell.__main__ import main
main()
"""
