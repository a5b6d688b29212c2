"""Services on this shell: load them, answer their calls, run calls that wait as one."""

from __future__ import annotations

import json
import os
import shutil
from collections import OrderedDict
from dataclasses import replace
from time import perf_counter_ns
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from gristmill.coerce import Inputs
from gristmill.errors import InvalidInput
from gristmill.frames import TIMES, WITH_FILES, Frame, Kind, Status, pack_header
from gristmill.python_shell import answers, grouping
from gristmill.python_shell.archives import WORKSPACE_FILES, unpack
from gristmill.python_shell.codec import decode
from gristmill.python_shell.directories import FileTooLarge, WorkingDirectory, read_output
from gristmill.python_shell.parts import Parts
from gristmill.python_shell.runtime import Cancelled, ObjectError, UserError
from gristmill.schema import Form, Value, parse_parameters

__all__ = ["Scoring"]

_NO_TIMES = TIMES.pack(0, 0, 0, 0)
_CALL = int(Kind.CALL)
_OK, _FAILED, _INVALID = int(Status.OK), int(Status.FAILED), int(Status.INVALID)
_TOO_LARGE, _BROKEN = int(Status.TOO_LARGE), int(Status.BROKEN)
_MAX_TIME = 0xFFFFFFFF


class Call(NamedTuple):
    """A call that was decoded; `rows` counts only where it matters."""

    frame: Frame
    values: List[Value]
    rows: int = 0


class Reply(NamedTuple):
    """What goes back for one call."""

    status: int
    meta: bytes
    body: bytes


class Service:
    """One service version as it was sent with LOAD."""

    def __init__(self, spec: Dict[str, Any], language: str, home: str) -> None:
        inputs = parse_parameters(spec.get("inputs"), what="inputs")
        if language != "Python":  # the form is a matter of Python's
            inputs = tuple(replace(each, form=Form.FRAME) for each in inputs)
        outputs = parse_parameters(spec.get("outputs"), what="outputs")
        self.spec = spec
        self.home = home
        self.inputs = Inputs(inputs)
        self.outputs = tuple(each.name for each in outputs)
        self.output_files: List[str] = list(spec.get("outputFiles") or ())
        self.groupable = (
            bool(spec.get("batchable")) and not self.output_files and grouping.row_wise(inputs, outputs)
        )
        self.workspace: Optional[str] = None
        self.directory: Optional[WorkingDirectory] = None
        self.loaded = False
        self.failed: Optional[str] = None  #: why it cannot be run; each call is answered with it
        self.target = os.path.join(home, "workspace" + WORKSPACE_FILES[language])


class Scoring:
    """Carries out LOAD, UNLOAD and CALL."""

    def __init__(self, parts: Parts) -> None:
        self._runtime = parts.runtime
        self._channel = parts.channel
        self._console = parts.console
        self._guard = parts.guard
        self._home = parts.home
        self._language = parts.settings["runtime"]
        self._limit = int(parts.settings["output_limit"])
        self._max_services = max(1, int(parts.settings.get("max_services", 32)))
        self._services: OrderedDict[int, Service] = OrderedDict()
        self._loads = 0

    def load(self, frame: Frame) -> None:
        """LOAD: unpack the snapshot and prepare the code; a failure is kept, and answers the calls."""
        start = perf_counter_ns()
        spec = json.loads(frame.body)
        descriptor = self._channel.receive_descriptor() if spec.get("content") else None
        self.unload(frame)
        self._loads += 1
        service = Service(spec, self._language, os.path.join(self._home, f"service-{self._loads}"))
        self._services[frame.handle] = service
        try:
            self._unpack(service, descriptor)
            self._prepare(frame.handle, service)
        except (ObjectError, OSError) as error:
            service.failed = f"the service cannot be loaded: {error}"
        finally:
            if descriptor is not None:
                os.close(descriptor)
        times = TIMES.pack(_since(start), 0, 0, 0)
        if service.failed is None:
            self._channel.reply(frame, _OK, times, b"")
        else:
            self._channel.reply(frame, _FAILED, times, answers.failure(service.failed))

    def _unpack(self, service: Service, descriptor: Optional[int]) -> None:
        template = os.path.join(service.home, "files")
        os.makedirs(template, mode=0o700)
        if descriptor is not None:
            service.workspace = unpack(
                descriptor, template, WORKSPACE_FILES[self._language], target=service.target
            )
        service.directory = WorkingDirectory(service.home, template)

    def _prepare(self, handle: int, service: Service) -> None:
        """Load a service into the runtime; of too many, the one used longest ago is dropped from it."""
        assert service.directory is not None
        self._console.begin()
        self._runtime.set_directory(service.directory.path)
        try:
            with self._guard:
                self._runtime.load(handle, service.spec, service.workspace)
            service.loaded = True
        except UserError as error:
            service.failed = str(error)
            return
        except KeyboardInterrupt:
            service.failed = str(Cancelled())
            return
        finally:
            self._console.end()  # what loading printed belongs to no call
            service.directory.changes()
            service.directory.reset()
        loaded = [each for each, other in self._services.items() if other.loaded and each != handle]
        for other in loaded[: max(0, len(loaded) + 1 - self._max_services)]:
            self._runtime.unload(other)
            self._services[other].loaded = False

    def unload(self, frame: Frame) -> None:
        """UNLOAD: forget a service and remove its files."""
        service = self._services.pop(frame.handle, None)
        if service is not None:
            self._runtime.unload(frame.handle)
            self._runtime.set_directory(self._home)  # never be in a directory that is gone
            shutil.rmtree(service.home, ignore_errors=True)

    def call(self, frame: Frame) -> None:
        """CALL: answer it, and those of the same service that wait behind it if they can be run as one."""
        service = self._services.get(frame.handle)
        if service is None:
            body = answers.problem(ValueError(f"no service has the handle {frame.handle}"), "UnknownHandle")
            self._channel.reply(frame, _BROKEN, _NO_TIMES, body)
            return
        load = self._ready(frame.handle, service)
        if service.failed is not None:
            self._channel.reply(frame, _FAILED, _NO_TIMES, answers.failure(service.failed))
            return
        start = perf_counter_ns()
        try:
            values = service.inputs(decode(frame.body or b"{}"))
        except InvalidInput as error:
            meta = TIMES.pack(load, _since(start), 0, 0)
            self._channel.reply(frame, _INVALID, meta, answers.problem(error))
            return
        if service.groupable:
            calls = self._gather(service, Call(frame, values, grouping.count_rows(values)))
            if len(calls) > 1:
                self._run_group(service, calls, _since(start) // len(calls))
                return
        reply = self._run(frame, service, values, load, _since(start))
        self._channel.reply(frame, *reply)

    def _ready(self, handle: int, service: Service) -> int:
        """Make sure that the runtime has the service; microseconds that this took."""
        self._services.move_to_end(handle)
        if service.loaded or service.failed is not None:
            return 0
        start = perf_counter_ns()
        try:
            self._prepare(handle, service)
        except (ObjectError, OSError) as error:
            service.failed = f"the service cannot be loaded: {error}"
        return _since(start)

    def _run(self, frame: Frame, service: Service, values: List[Value], load: int, decoding: int) -> Reply:
        """Run one call, in its directory and with its console."""
        directory = service.directory
        assert directory is not None
        start = perf_counter_ns()
        self._console.begin()
        self._runtime.set_directory(directory.path)
        outputs: Optional[List[object]] = None
        message = ""
        try:
            with self._guard:
                outputs = self._runtime.call(frame.handle, values)
        except UserError as error:
            message = str(error)
        except KeyboardInterrupt:
            message = str(Cancelled())
        except InvalidInput as error:
            directory.changes()
            directory.reset()
            return Reply(_INVALID, TIMES.pack(load, decoding, _since(start), 0), answers.problem(error))
        ran = perf_counter_ns()
        console = self._console.end()
        changed = directory.changes()
        if outputs is None:
            status, body = _FAILED, answers.failure(message, console, changed)
        else:
            status, body = self._success(service, outputs, console, changed)
        if changed and frame.meta == WITH_FILES and status != _TOO_LARGE:
            status, body = self._with_files(service, changed, status, body)
        directory.reset()
        meta = TIMES.pack(load, decoding, min((ran - start) // 1000, _MAX_TIME), _since(ran))
        return Reply(status, meta, body)

    def _success(
        self, service: Service, outputs: List[object], console: str, changed: List[str]
    ) -> Tuple[int, bytes]:
        """Status and body for outputs in their order."""
        files = None
        try:
            if service.output_files:
                assert service.directory is not None
                path, limit = service.directory.path, self._limit
                files = [(name, read_output(path, name, limit)) for name in service.output_files]
            named = dict(zip(service.outputs, outputs))
            return _OK, answers.success(
                named, files=files, console=console, changed=changed, limit=self._limit
            )
        except (answers.AnswerTooLarge, FileTooLarge) as error:
            return _TOO_LARGE, answers.problem(error, "TooLarge")
        except (MemoryError, RecursionError, TypeError) as error:
            message = f"the outputs cannot be written as JSON: {type(error).__name__}: {error}"
            return _FAILED, answers.failure(message, console, changed)

    def _with_files(
        self, service: Service, changed: List[str], status: int, body: bytes
    ) -> Tuple[int, bytes]:
        """The answer with the files that the call wrote and that are not among its outputs."""
        assert service.directory is not None
        room, files = self._limit - len(body), []
        try:
            for name in changed:
                if status == _OK and name in service.output_files:
                    continue
                content = read_output(service.directory.path, name, max(0, room * 3 // 4))
                if content is not None:
                    files.append((name, content))
                    room -= len(content) + len(name) + 8
        except FileTooLarge as error:
            return _TOO_LARGE, answers.problem(error, "TooLarge")
        return status, answers.with_files(body, files)

    def _gather(self, service: Service, first: Call) -> List[Call]:
        """The call and those right behind it that can be run with it, decoded."""
        calls, rows = [first], first.rows
        waiting = self._channel.waiting
        if rows < 1:
            return calls
        self._channel.look()
        while waiting and len(calls) < grouping.MAX_CALLS:
            frame = waiting[0]
            if frame.kind != _CALL or frame.handle != first.frame.handle:
                break
            try:
                values = service.inputs(decode(frame.body))
            except InvalidInput:
                break  # it is answered in its turn
            count = grouping.count_rows(values)
            rows += count
            if count < 1 or rows > grouping.MAX_ROWS or not grouping.alike(first.values, values):
                break
            waiting.popleft()
            calls.append(Call(frame, values, count))
        return calls

    def _run_group(self, service: Service, calls: List[Call], decoding: int) -> None:
        """Run calls as one; if that is not as good as running them singly, do that instead."""
        self._channel.send(pack_header(Kind.GROUP, len(calls), 0, handle=calls[0].frame.handle))
        start = perf_counter_ns()
        parts = self._outputs_of_group(service, calls)
        if parts is None:
            for call in calls:
                reply = self._run(call.frame, service, call.values, 0, decoding)
                self._channel.reply(call.frame, *reply)
            return
        running = _since(start) // len(calls)
        start = perf_counter_ns()
        replies = [self._success(service, outputs, "", []) for outputs in parts]
        meta = TIMES.pack(0, decoding, running, _since(start) // len(calls))
        pieces = []
        for call, (status, body) in zip(calls, replies):
            pieces.append(self._channel.pack_reply(call.frame, status, meta, len(body)))
            pieces.append(body)
        self._channel.send(b"".join(pieces))

    def _outputs_of_group(self, service: Service, calls: List[Call]) -> Optional[List[List[object]]]:
        directory = service.directory
        assert directory is not None
        joined = grouping.join([call.values for call in calls])
        self._console.begin()
        self._runtime.set_directory(directory.path)
        try:
            with self._guard:
                outputs = self._runtime.call(calls[0].frame.handle, joined)
        except (UserError, InvalidInput, KeyboardInterrupt):
            outputs = None
        quiet = not self._console.end()
        quiet = not directory.changes() and quiet
        directory.reset()
        if outputs is None or not quiet:
            return None
        return grouping.split(outputs, [call.rows for call in calls])


def _since(start: int) -> int:
    """Microseconds since `start`, as they fit into TIMES."""
    return min((perf_counter_ns() - start) // 1000, _MAX_TIME)
