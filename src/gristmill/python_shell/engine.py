"""The shell's loop: take a frame, carry it out, answer it; one after another, until the server hangs up."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from typing import Any, Dict, NoReturn

from gristmill.errors import GristmillError
from gristmill.frames import Frame, Kind, Status
from gristmill.python_shell import answers
from gristmill.python_shell.channel import Channel, Gone
from gristmill.python_shell.codec import encode
from gristmill.python_shell.console import Console
from gristmill.python_shell.guard import Guard
from gristmill.python_shell.memory import settle
from gristmill.python_shell.operations import Operations
from gristmill.python_shell.parts import Parts
from gristmill.python_shell.runtime import Runtime, RuntimeDied
from gristmill.python_shell.scoring import Scoring, Stuck

__all__ = ["Engine", "serve"]

_CALL = int(Kind.CALL)


class Ended(Exception):
    """The shell cannot go on; what was asked last has its reply."""


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
        self._operations = Operations(parts, self._scoring.services)

    def run(self) -> None:
        """Serve until the server hangs up. Raises Gone, or Ended when the shell cannot go on."""
        channel, services = self._channel, self._scoring.services
        while True:
            if services.owing or services.fallen:
                self._meanwhile()
            frame = channel.next()
            channel.answered = -1
            try:
                if frame.kind == _CALL:
                    self._scoring.call(frame)
                else:
                    self._other(frame)
            except Gone:
                raise
            except BaseException as error:
                self._give_up(frame, error)

    def _give_up(self, frame: Frame, error: BaseException) -> NoReturn:
        """Answer what was not answered, once, and end: the server moves what waits to another shell."""
        if isinstance(error, Stuck):
            frame = error.frame
        if frame.kind != Kind.UNLOAD and self._channel.answered != frame.id:
            self._channel.reply(frame, Status.BROKEN, b"", answers.problem(error))
        raise Ended from error

    def _meanwhile(self) -> None:
        """Between two frames: put the runtime in order, and give memory back if nothing waits."""
        services = self._scoring.services
        if services.fallen:
            with contextlib.suppress(RuntimeDied, OSError):  # the next call tries again, and is told
                services.revive()
        if services.owing and self._channel.idle():
            services.give_back()

    def _other(self, frame: Frame) -> None:
        if frame.kind == Kind.LOAD:
            self._scoring.load(frame)
            settle()
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
        settle()
        channel.ready(encode(about))
        engine.run()
    except (EOFError, ConnectionError, Ended):
        return
    finally:
        if runtime is not None:
            runtime.close()
