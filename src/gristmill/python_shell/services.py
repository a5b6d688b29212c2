"""Services on one shell: load them, keep why one cannot be, drop them, and give their memory back."""

from __future__ import annotations

import json
import os
import shutil
from collections import OrderedDict
from dataclasses import replace
from time import perf_counter_ns
from typing import Any, Dict, List, Optional, Tuple

from gristmill.coerce import Inputs
from gristmill.errors import GristmillError
from gristmill.frames import Frame
from gristmill.python_shell import grouping
from gristmill.python_shell.archives import WORKSPACE_FILES, unpack
from gristmill.python_shell.directories import WorkingDirectory
from gristmill.python_shell.parts import Parts
from gristmill.python_shell.runtime import Cancelled, ObjectError, RuntimeDied, UserError
from gristmill.schema import Form, parse_parameters

__all__ = ["Service", "Services", "blamed"]

#: Memory and number of services that were unloaded, from which on it is given back at once; below that, when
#: no call waits.
_OWED_BYTES, _OWED_SERVICES = 64 << 20, 16


class Service:
    """One service version as it was sent with LOAD."""

    def __init__(self, home: str, language: str) -> None:
        self.home = home
        self.spec: Dict[str, Any] = {}
        self.inputs = Inputs(())
        self.outputs: Tuple[str, ...] = ()
        self.output_files: List[str] = []
        self.groupable = False
        self.workspace: Optional[str] = None
        self.directory: Optional[WorkingDirectory] = None
        self.loaded = False
        self.failed: Optional[str] = None  #: why it cannot be run; each call is answered with it
        self.grown = 0  #: bytes by which the process grew when it was loaded
        self._language = language

    def read(self, spec: Dict[str, Any]) -> None:
        """Take on LOAD's body. Raises InvalidInput."""
        inputs = parse_parameters(spec.get("inputs"), what="inputs")
        if self._language != "Python":  # the form is a matter of Python's
            inputs = tuple(replace(each, form=Form.FRAME) for each in inputs)
        outputs = parse_parameters(spec.get("outputs"), what="outputs")
        parsed = {"inputs": inputs, "outputs": outputs}
        self.spec = {**spec, **{key: [each.describe() for each in these] for key, these in parsed.items()}}
        self.inputs = Inputs(inputs)
        self.outputs = tuple(each.name for each in outputs)
        self.output_files = list(spec.get("outputFiles") or ())
        self.groupable = (
            bool(spec.get("batchable")) and not self.output_files and grouping.row_wise(inputs, outputs)
        )

    def unpack(self, descriptor: Optional[int]) -> None:
        """Put the files of its snapshot in place. Raises ObjectError, OSError."""
        template = os.path.join(self.home, "files")
        os.makedirs(template, mode=0o700)
        if descriptor is not None:
            workspace = WORKSPACE_FILES[self._language]
            target = os.path.join(self.home, "workspace" + workspace)
            self.workspace = unpack(descriptor, template, workspace, target=target)
        self.directory = WorkingDirectory(self.home, template)


class Services:
    """Services by their handles, the one used longest ago first."""

    def __init__(self, parts: Parts) -> None:
        self._runtime = parts.runtime
        self._channel = parts.channel
        self._console = parts.console
        self._guard = parts.guard
        self._home = parts.home
        self._language = parts.settings["runtime"]
        self._most = max(1, int(parts.settings.get("max_services", 32)))
        self._services: OrderedDict[int, Service] = OrderedDict()
        self._loads = 0
        self._owed_bytes = 0
        self.owing = 0  #: services unloaded since memory was given back last
        self.fallen = False  #: the language's process is gone, and with it what was loaded there

    def get(self, handle: int) -> Optional[Service]:
        """The service behind a handle."""
        return self._services.get(handle)

    def load(self, frame: Frame) -> Optional[str]:
        """Carry out LOAD; what failed is kept as `Service.failed` and returned, whatever it was.

        Raises only when body and descriptor cannot be told apart from those of other frames.
        """
        spec = json.loads(frame.body)
        descriptor = self._channel.receive_descriptor() if spec.get("content") else None
        try:
            self.unload(frame.handle)
            self._loads += 1
            service = Service(os.path.join(self._home, f"service-{self._loads}"), self._language)
            self._services[frame.handle] = service
            self._try(frame.handle, service, spec, descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return service.failed

    def _try(self, handle: int, service: Service, spec: Dict[str, Any], descriptor: Optional[int]) -> None:
        try:
            service.read(spec)
            service.unpack(descriptor)
            self._prepare(handle, service)
        except Exception as error:
            service.failed = f"the service cannot be loaded: {_reason(error)}"

    def ready(self, handle: int, service: Service) -> int:
        """Make sure that the runtime has the service; microseconds that this took."""
        if self.fallen:
            self.revive()
        self._services.move_to_end(handle)
        if service.loaded or service.failed is not None:
            return 0
        start = perf_counter_ns()
        try:
            self._prepare(handle, service)
        except Exception as error:
            service.failed = f"the service cannot be loaded: {_reason(error)}"
        return (perf_counter_ns() - start) // 1000

    def _prepare(self, handle: int, service: Service) -> None:
        """Load a service into the runtime; of too many, the one used longest ago is dropped from it."""
        directory = service.directory
        assert directory is not None
        if self.fallen:
            self.revive()
        before = self._runtime.resident()
        self._console.begin()
        self._runtime.set_directory(directory.path)
        try:
            with self._guard:
                self._runtime.load(handle, service.spec, service.workspace)
            service.loaded = True
        except UserError as error:
            service.failed = str(error)
        except KeyboardInterrupt:
            service.failed = str(Cancelled())
        except RuntimeDied as error:
            self.fallen = True
            service.failed = f"the service cannot be loaded: {blamed(error)}"
        finally:
            self._console.end()  # what loading printed belongs to no call
            directory.changes()
            directory.reset()
        service.grown = max(0, self._runtime.resident() - before)
        if service.loaded:
            self._drop_surplus(handle)

    def _drop_surplus(self, handle: int) -> None:
        loaded = [each for each, other in self._services.items() if other.loaded and each != handle]
        for other in loaded[: max(0, len(loaded) + 1 - self._most)]:
            self._unload(other, self._services[other])

    def unload(self, handle: int) -> None:
        """Forget a service and remove its files; its memory is given back soon."""
        service = self._services.pop(handle, None)
        if service is None:
            return
        if service.loaded:
            self._unload(handle, service)
        self._runtime.set_directory(self._home)  # never be in a directory that is gone
        shutil.rmtree(service.home, ignore_errors=True)

    def _unload(self, handle: int, service: Service) -> None:
        service.loaded = False
        self.owing += 1
        self._owed_bytes += service.grown
        try:
            self._runtime.unload(handle)
        except Exception:  # R is gone, or not in the state that it should be in: both end with another R
            self.fallen = True
        if self._owed_bytes >= _OWED_BYTES or self.owing >= _OWED_SERVICES:
            self.give_back()

    def give_back(self) -> None:
        """Free what was unloaded; takes some 0.1 s, and is asked for when nothing waits, or much is owed."""
        self.owing = self._owed_bytes = 0
        try:
            self._runtime.give_back()
        except Exception:
            self.fallen = True

    def revive(self) -> None:
        """Start the language's process again; services are loaded into it when they are called.

        Raises RuntimeDied, OSError: then this shell cannot go on.
        """
        for service in self._services.values():
            service.loaded = False
        self._runtime.restart()
        self.fallen = False


def blamed(error: RuntimeDied) -> str:
    """What the caller is told whose code ended the language's process."""
    return f"{error}; code that is run as a service must not end it, as quit() does: use stop() to fail"


def _reason(error: Exception) -> str:
    if isinstance(error, GristmillError):
        return error.message
    if isinstance(error, (ObjectError, OSError)):
        return str(error)
    return f"{type(error).__name__}: {error}"
