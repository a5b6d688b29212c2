"""A model on its way to becoming a service: vetted in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from typing import BinaryIO, NamedTuple

import structlog

from gristmill import errors
from gristmill.errors import GristmillError, InvalidInput, Overloaded, TimedOut
from gristmill.off_loop import Work, off_loop
from gristmill.ports import BlobStore
from gristmill.realtime import container
from gristmill.realtime.description import Description, parse
from gristmill.realtime.threads import made_off_loop
from gristmill.schema import Parameter

__all__ = ["Accepted", "Publisher"]

log = structlog.get_logger("gristmill.realtime")

#: What the program may see of the server's environment; no secret is among them.
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "COVERAGE_PROCESS_CONFIG")
_MOST_SAID = 1024 * 1024  #: bytes of what the program may say, of which the last line is the verdict
#: What the interpreter is to run.
PROGRAM = ("-m", "gristmill.realtime.vetting")
_REFUSALS: dict[str, type[GristmillError]] = {
    each.__name__: each for each in (errors.InvalidInput, errors.TooLarge, errors.NotSupported)
}


class Accepted(NamedTuple):
    """A model that was vetted, and is in the blob store."""

    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    content: str  #: SHA-256 of the native model's file


class Publisher:
    """Vets models, a few at a time, and puts them into the blob store."""

    def __init__(self, blobs: BlobStore, *, limit: int, seconds: float = 300.0, at_once: int = 2) -> None:
        self._blobs = blobs
        self.limit = limit  #: bytes of a model's file
        self._seconds = seconds
        self._places = asyncio.Semaphore(at_once)

    async def accept(self, source: BinaryIO) -> Accepted:
        """Vet the model in `source`, a file, and keep what is scored. Raises as `vet`; Overloaded."""
        try:
            target = await off_loop(Work.READ, tempfile.TemporaryFile)
        except OSError as error:
            raise _not_now(error) from error
        try:
            described = await self.vet(source, target)
            blob = await self._blobs.put(target)
        finally:
            await asyncio.shield(off_loop(Work.REMOVE, target.close))
        return Accepted(described.inputs(), described.results(), blob.digest)

    async def vet(self, source: BinaryIO, target: BinaryIO) -> Description:
        """Vet the model in `source`, write the native one to `target` (both are files); its description.

        Raises InvalidInput, TooLarge or TimedOut that say what is wrong with it.
        """
        async with self._places:
            status, said = await self._run(source, target)
        try:
            verdict = json.loads(said.splitlines()[-1])
        except (ValueError, IndexError):
            log.warning("model_ended_its_check", status=status, said=said[-500:].decode("utf-8", "replace"))
            raise InvalidInput(
                f"the model ended the process that checked it ({_ending(status)}): it is damaged or too big"
            ) from None
        if "refused" in verdict:
            raise _REFUSALS.get(verdict["kind"], InvalidInput)(verdict["refused"])
        return await off_loop(Work.WRITE, _described, target)

    async def _run(self, source: BinaryIO, target: BinaryIO) -> tuple[int, bytes]:
        """Exit status of the program and what it said. Raises TimedOut, Overloaded."""
        try:
            checking = await made_off_loop(
                Work.READ, lambda: _Checking(source, target, self.limit), _Checking.result
            )
        except OSError as error:
            raise _not_now(error) from error
        try:
            async with asyncio.timeout(self._seconds):
                await checking.ended()
        except TimeoutError:
            raise TimedOut(f"checking the model took longer than {self._seconds:g} s") from None
        finally:
            status, said = await asyncio.shield(off_loop(Work.READ, checking.result))
        return status, said


class _Checking:
    """The program that checks a model, started: in a thread, because that takes a large server a while."""

    def __init__(self, source: BinaryIO, target: BinaryIO, limit: int) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `result` closes it
        inherited = {name: os.environ[name] for name in _PASSED if name in os.environ}
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own words only
                [sys.executable, *PROGRAM, str(limit)],
                stdin=source,
                stdout=target,
                stderr=self._said,
                env={**inherited, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                cwd="/",
            )
        except BaseException:
            self._said.close()
            raise

    async def ended(self) -> None:
        """Return when the process has ended."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        descriptor = os.pidfd_open(self.process.pid)
        loop.add_reader(descriptor, ended.cancel)
        try:
            await asyncio.wait([ended])
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def result(self) -> tuple[int, bytes]:
        """Exit status, and the end of what it said; it is ended if it has not."""
        with self._said:
            self.process.kill()
            status = self.process.wait()
            size = self._said.seek(0, os.SEEK_END)
            self._said.seek(max(0, size - _MOST_SAID))
            return status, self._said.read()


def _not_now(error: OSError) -> Overloaded:
    return Overloaded(f"the model cannot be checked now: {error.strerror or error}; try again in a moment")


def _described(target: BinaryIO) -> Description:
    """The description of the model in `target`, which is then at its start again."""
    target.seek(0)
    found = container.read(target.read())
    target.seek(0)
    return parse(found.description)


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
