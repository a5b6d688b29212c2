"""The shell's loop: take a frame, carry it out, answer it; one after another, until the server hangs up."""

from __future__ import annotations

import gc
import json
import os
import tempfile
from typing import Any, Dict

from gristmill.errors import GristmillError
from gristmill.frames import Frame, Kind, Status
from gristmill.python_shell import answers
from gristmill.python_shell.channel import Channel
from gristmill.python_shell.codec import encode
from gristmill.python_shell.console import Console
from gristmill.python_shell.guard import Guard
from gristmill.python_shell.operations import Operations
from gristmill.python_shell.parts import Parts
from gristmill.python_shell.runtime import Runtime
from gristmill.python_shell.scoring import Scoring

__all__ = ["Engine", "serve"]

_CALL = int(Kind.CALL)


def make_runtime(settings: Dict[str, Any]) -> Runtime:
    """The runtime that CONFIG asks for."""
    if settings["runtime"] == "R":
        from gristmill.python_shell.r_runtime import RRuntime

        return RRuntime(settings.get("rscript") or "R")
    from gristmill.python_shell.python_runtime import PythonRuntime

    return PythonRuntime(settings.get("preload") or ())


class Engine:
    """One shell after CONFIG was carried out."""

    def __init__(self, runtime: Runtime, channel: Channel, settings: Dict[str, Any]) -> None:
        self._channel = channel
        parts = Parts(
            runtime=runtime,
            channel=channel,
            console=Console(int(settings.get("console_limit", 1 << 20))),
            guard=Guard(runtime.interrupt),
            home=tempfile.mkdtemp(prefix="shell-", dir=os.getcwd()),
            settings=settings,
        )
        self._scoring = Scoring(parts)
        self._operations = Operations(parts)

    def run(self) -> None:
        """Serve until EOFError or a broken connection."""
        channel, scoring = self._channel, self._scoring
        while True:
            frame = channel.next()
            try:
                if frame.kind == _CALL:
                    scoring.call(frame)
                else:
                    self._other(frame)
            except (EOFError, ConnectionError):
                raise
            except Exception as error:
                body = answers.problem(error)
                channel.reply(frame, Status.BROKEN, b"", body)

    def _other(self, frame: Frame) -> None:
        if frame.kind == Kind.LOAD:
            self._scoring.load(frame)
            gc.collect()
            gc.freeze()  # models and libraries are not looked at again by every full collection
        elif frame.kind == Kind.UNLOAD:
            self._scoring.unload(frame)
        elif frame.kind == Kind.OPERATION:
            self._operations.perform(frame)
        else:
            raise GristmillError(f"a shell cannot carry out frames of kind {frame.kind}")


def serve() -> None:
    """Be a shell on the descriptors that `frames` names; returns when the server is gone."""
    channel = Channel()
    runtime = None
    try:
        settings = json.loads(channel.next().body)
        try:
            runtime = make_runtime(settings)
            engine = Engine(runtime, channel, settings)
            about = {**runtime.describe(), "pid": os.getpid()}
        except Exception as error:
            channel.ready(encode({"error": f"{type(error).__name__}: {error}"}))
            return
        gc.collect()
        gc.freeze()
        channel.ready(encode(about))
        engine.run()
    except (EOFError, ConnectionError):
        return
    finally:
        if runtime is not None:
            runtime.close()
