"""The shell of one session: operations asked one after another, and what it printed, read at any time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import structlog

from gristmill.calls import Request
from gristmill.errors import Gone, GristmillError, ShellDied
from gristmill.frames import Kind
from gristmill.launching import Limits, ShellLauncher
from gristmill.off_loop import Work, off_loop
from gristmill.services import Runtime
from gristmill.shell import Shell, over_memory

__all__ = ["SessionShell"]

log = structlog.get_logger()

#: How long the end of a shell is waited for; it is killed long before.
_GONE_SECONDS = 15.0


class SessionShell:
    """Implements `ShellKeeper` for a shell that belongs to one session."""

    def __init__(self, shell: Shell | None, *, limits: Limits, staging: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._staging = staging  #: where files on their way to the user are kept, without a name
        self._ready = asyncio.Event()
        self._shell = shell
        self._why: GristmillError | None = None
        self._end: int | None = None  #: how much of the console file is the last execution's
        if shell is not None:
            shell.adopt(self)
            self._ready.set()

    def launch(self, launcher: ShellLauncher, runtime: Runtime) -> None:
        """Start a shell where none was given."""
        config = launcher.config(runtime)
        process = launcher.launch(runtime)
        try:
            self._shell = Shell(process, self, config=config, output_limit=self._limits.output_bytes)
        except BaseException:  # no descriptor is left for the loop, for instance
            process.kill()
            process.close()
            raise

    async def wait_ready(self) -> None:
        """Return when operations can be asked. Raises ShellDied when the shell does not start."""
        try:
            await asyncio.wait_for(self._ready.wait(), self._limits.start_seconds)
        except TimeoutError:
            self.kill(ShellDied("the session's shell did not start in time"))
            raise ShellDied("the session's shell did not start in time") from None
        if self._why is not None:
            raise ShellDied(f"the session's shell did not start: {self._why.message}")

    @property
    def launched(self) -> bool:
        """Whether there is a shell, ready or not."""
        return self._shell is not None

    @property
    def alive(self) -> bool:
        """Whether operations can still be asked."""
        return self._why is None

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self._shell is not None and bool(self._shell.inflight)

    @property
    def executing(self) -> bool:
        """Whether an operation is under way on a shell that lives."""
        return self.busy and self._why is None

    async def ask(
        self, op: str, *, body: bytes = b"", descriptor: int | None = None, name: str | None = None
    ) -> bytes:
        """Carry out an operation, on the object or file `name` where it is about one; its answer's body.

        Raises InvalidInput, NotFound, LimitExceeded as the shell says, and Gone when the shell has ended.
        """
        shell = self._living()
        request = Request(
            kind=Kind.OPERATION,
            meta=msgspec.json.encode({"op": op, "fd": descriptor is not None, "name": name}),
            body=body,
            future=self._loop.create_future(),
            limit=None,
            descriptor=descriptor,
            submitted=self._loop.time(),
        )
        if op == "execute":
            os.ftruncate(shell.console, 0)
            self._end = None
        shell.send(request)
        try:
            answer = await request.future
        except ShellDied as error:
            raise Gone(f"the session has ended: {error.message}") from error
        finally:
            if op == "execute" and self.alive:
                self._end = os.fstat(shell.console).st_size
        return answer.body

    async def ask_json(self, op: str, *, name: str | None = None) -> Mapping[str, Any]:
        """As `ask`, for operations that answer an object."""
        return msgspec.json.decode(await self.ask(op, name=name), type=dict[str, Any])

    async def give(self, op: str, source: BinaryIO, *, name: str | None = None) -> None:
        """An operation that reads a file which the server lends it."""
        await self.ask(op, descriptor=source.fileno(), name=name)

    async def take(self, op: str, *, name: str | None = None) -> BinaryIO:
        """An operation that writes a file; the caller gets it at its start, without a name, and closes it."""
        lent = tempfile.TemporaryFile(dir=self._staging)  # noqa: SIM115 - closed below
        try:
            await self.ask(op, descriptor=lent.fileno(), name=name)
        except BaseException:
            lent.close()
            raise
        return await off_loop(Work.WRITE, _own_copy, lent, self._staging)

    def console(self) -> str:
        """What the current or last execution printed so far, cut to the limit."""
        shell = self._shell
        if shell is None or shell.dead:
            return ""
        end = os.fstat(shell.console).st_size if self._end is None else self._end
        length = min(end, self._limits.console_bytes)
        return os.pread(shell.console, length, 0).decode("utf-8", "replace")

    def interrupt(self) -> None:
        """Ask the code that runs to stop. Raises Gone."""
        self._living().interrupt()

    def check(self) -> None:
        """End the shell when it has grown past its memory, at work or not; to be called now and then."""
        shell = self._shell
        if shell is not None and self.alive:
            used = shell.memory(self._limits.memory_bytes)
            if used > self._limits.memory_bytes:
                self.kill(over_memory(used, self._limits.memory_bytes))

    def kill(self, reason: GristmillError) -> None:
        """End it at once."""
        if self._shell is not None and not self._shell.dead:
            self._shell.kill(reason)

    async def close(self) -> None:
        """End it, and wait until it is gone; not for ever, as even SIGKILL does not end every process."""
        if self._shell is None:
            return
        if self._shell.inflight or not self._shell.ready:
            self._shell.kill(Gone("the session was closed"))
        elif not self._shell.dead:
            self._shell.close()
        try:
            await asyncio.wait_for(self._shell.gone(), _GONE_SECONDS)
        except TimeoutError:
            log.warning("session_shell_stays", pid=self._shell.pid)

    def _living(self) -> Shell:
        if self._why is not None or self._shell is None:
            why = self._why.message if self._why else "it was closed"
            raise Gone(f"the session has ended: {why}")
        return self._shell

    # ShellKeeper

    def on_ready(self, shell: Shell) -> None:
        """The shell takes operations."""
        self._ready.set()

    def on_reply(self, shell: Shell, request: Request) -> None:
        """Nothing waits anywhere but in the socket."""

    def on_death(self, shell: Shell, waiting: list[Request]) -> None:
        """The workspace is lost; whoever waits hears of it."""
        self._why = shell.reason or Gone(f"its process ended with status {shell.exit_status}")
        for request in waiting:
            request.fail(Gone(f"the session has ended: {self._why.message}"))
        self._ready.set()


def _own_copy(lent: BinaryIO, staging: Path) -> BinaryIO:
    """A copy that the shell, which may have kept the descriptor, cannot change any more; closes `lent`."""
    with lent, contextlib.ExitStack() as undo:
        copy = tempfile.TemporaryFile(dir=staging)  # noqa: SIM115 - the caller closes it
        undo.callback(copy.close)
        size = os.fstat(lent.fileno()).st_size
        offset = 0
        while offset < size:
            sent = os.copy_file_range(lent.fileno(), copy.fileno(), size - offset, offset)
            if sent == 0:
                break
            offset += sent
        copy.seek(0)
        undo.pop_all()
        return copy
