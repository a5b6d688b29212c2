"""A model on its way to becoming a service: vetted in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
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
from gristmill.schema import Parameter

__all__ = ["Accepted", "Publisher"]

log = structlog.get_logger("gristmill.realtime")

#: What the program may see of the server's environment; no secret is among them.
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "COVERAGE_PROCESS_CONFIG")
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
        inherited = {name: os.environ[name] for name in _PASSED if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *PROGRAM,
                str(self.limit),
                stdin=source,
                stdout=target,
                stderr=asyncio.subprocess.PIPE,
                env={**inherited, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                cwd="/",
            )
        except OSError as error:
            raise _not_now(error) from error
        try:
            async with asyncio.timeout(self._seconds):
                _, said = await process.communicate()
        except TimeoutError:
            raise TimedOut(f"checking the model took longer than {self._seconds:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, said


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
