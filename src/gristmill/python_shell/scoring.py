"""Calls of services: answer each once, run those that wait as one."""

from __future__ import annotations

from time import perf_counter_ns
from typing import List, NamedTuple, Optional, Tuple

from gristmill.errors import InvalidInput
from gristmill.frames import TIMES, WITH_FILES, Frame, Kind, Status, pack_header
from gristmill.python_shell import answers, grouping
from gristmill.python_shell.codec import decode
from gristmill.python_shell.directories import FileTooLarge, read_output
from gristmill.python_shell.parts import Parts
from gristmill.python_shell.runtime import Cancelled, RuntimeDied, UserError
from gristmill.python_shell.services import Service, Services, blamed
from gristmill.schema import Value

__all__ = ["Scoring", "Stuck"]

_NO_TIMES = TIMES.pack(0, 0, 0, 0)
_CALL = int(Kind.CALL)
_OK, _FAILED, _INVALID = int(Status.OK), int(Status.FAILED), int(Status.INVALID)
_TOO_LARGE, _BROKEN = int(Status.TOO_LARGE), int(Status.BROKEN)
_MAX_TIME = 0xFFFFFFFF


#: Outputs, a message, why inputs are refused: one of them.
Outcome = Tuple[Optional[List[object]], str, Optional[InvalidInput]]


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


class Stuck(Exception):
    """A call that could not be answered; `frame` is its request."""

    def __init__(self, frame: Frame, why: Exception) -> None:
        super().__init__(f"{type(why).__name__}: {why}")
        self.frame = frame


class Scoring:
    """Carries out LOAD, UNLOAD and CALL."""

    def __init__(self, parts: Parts) -> None:
        self._runtime = parts.runtime
        self._channel = parts.channel
        self._console = parts.console
        self._guard = parts.guard
        self._limit = int(parts.settings["output_limit"])
        self.services = Services(parts)

    def load(self, frame: Frame) -> None:
        """LOAD: unpack the snapshot and prepare the code; a failure is kept, and answers the calls."""
        start = perf_counter_ns()
        failed = self.services.load(frame)
        times = TIMES.pack(_since(start), 0, 0, 0)
        if failed is None:
            self._channel.reply(frame, _OK, times, b"")
        else:
            self._channel.reply(frame, _FAILED, times, answers.failure(failed))

    def unload(self, frame: Frame) -> None:
        """UNLOAD: forget a service and remove its files."""
        self.services.unload(frame.handle)

    def call(self, frame: Frame) -> None:
        """CALL: answer it, and those of the same service that wait behind it if they can be run as one."""
        services = self.services
        service = services.get(frame.handle)
        if service is None:
            body = answers.problem(ValueError(f"no service has the handle {frame.handle}"), "UnknownHandle")
            self._channel.reply(frame, _BROKEN, _NO_TIMES, body)
            return
        load = services.ready(frame.handle, service)
        if service.failed is not None:
            self._channel.reply(frame, _FAILED, _NO_TIMES, answers.failure(service.failed))
            return
        start = perf_counter_ns()
        try:
            values = service.inputs(decode(frame.body or b"{}"))
        except InvalidInput as error:
            meta = TIMES.pack(min(load, _MAX_TIME), _since(start), 0, 0)
            self._channel.reply(frame, _INVALID, meta, answers.problem(error))
            return
        if service.groupable:
            calls = self._gather(service, Call(frame, values, grouping.count_rows(values)))
            if len(calls) > 1:
                self._run_group(service, calls, _since(start) // len(calls))
                return
        reply = self._run(frame, service, values, load, _since(start))
        self._channel.reply(frame, *reply)

    def _run(self, frame: Frame, service: Service, values: List[Value], load: int, decoding: int) -> Reply:
        """Run one call, in its directory and with its console; whatever it raises is its answer."""
        directory = service.directory
        assert directory is not None
        start = perf_counter_ns()
        outputs, message, refused = self._outcome(frame.handle, service, values)
        ran = perf_counter_ns()
        load = min(load, _MAX_TIME)
        if refused is not None:
            directory.changes()
            directory.reset()
            return Reply(_INVALID, TIMES.pack(load, decoding, _since(start), 0), answers.problem(refused))
        try:
            status, body = self._answer(frame, service, outputs, message)
        except Exception as error:
            status, body = _FAILED, answers.failure(_could_not("the answer could not be made", error))
        directory.reset()
        meta = TIMES.pack(load, decoding, min((ran - start) // 1000, _MAX_TIME), _since(ran))
        return Reply(status, meta, body)

    def _outcome(self, handle: int, service: Service, values: List[Value], *, again: bool = True) -> Outcome:
        """Outputs; or None and what the caller is told; or why the inputs are refused.

        Raises only when the language's process has ended and does not start again.
        """
        directory = service.directory
        assert directory is not None
        try:
            self._console.begin()
            self._runtime.set_directory(directory.enter() if directory.broken else directory.path)
            with self._guard:
                return self._runtime.call(handle, values), "", None
        except UserError as error:
            return None, str(error), None
        except KeyboardInterrupt:
            return None, str(Cancelled()), None
        except InvalidInput as error:
            return None, "", error
        except RuntimeDied as error:
            self.services.fallen = True
            if error.begun or not again:
                return None, blamed(error), None
        except Exception as error:
            return None, _could_not("the call could not be carried out", error), None
        # It had ended before this call, which had no part in that.
        self.services.ready(handle, service)
        if service.failed is not None:
            return None, service.failed, None
        return self._outcome(handle, service, values, again=False)

    def _answer(
        self, frame: Frame, service: Service, outputs: Optional[List[object]], message: str
    ) -> Tuple[int, bytes]:
        """Status and body of a call that ran, with what it printed and wrote."""
        assert service.directory is not None
        console = self._console.end()
        changed = service.directory.changes()
        if outputs is None:
            status, body = _FAILED, answers.failure(message, console, changed)
        else:
            status, body = self._success(service, outputs, console, changed)
        if changed and frame.meta == WITH_FILES and status != _TOO_LARGE:
            status, body = self._with_files(service, changed, status, body)
        return status, body

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
        except Exception as error:
            message = _could_not("the outputs cannot be written as JSON", error)
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
                count = grouping.count_rows(values)
            except Exception:  # it is answered in its turn
                break
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
                self._run_singly(service, call, decoding)
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

    def _run_singly(self, service: Service, call: Call, decoding: int) -> None:
        """Run one call of a group that could not be run as one. Raises Stuck when it cannot be answered."""
        try:
            load = self.services.ready(call.frame.handle, service)
            if service.failed is not None:
                reply = Reply(_FAILED, _NO_TIMES, answers.failure(service.failed))
            else:
                reply = self._run(call.frame, service, call.values, load, decoding)
        except Exception as error:
            raise Stuck(call.frame, error) from error
        self._channel.reply(call.frame, *reply)

    def _outputs_of_group(self, service: Service, calls: List[Call]) -> Optional[List[List[object]]]:
        """Outputs of each call, or None where the calls are better run singly, whatever the reason."""
        directory = service.directory
        assert directory is not None
        outputs: Optional[List[object]] = None
        quiet = False
        try:
            self._console.begin()
            self._runtime.set_directory(directory.enter() if directory.broken else directory.path)
            joined = grouping.join([call.values for call in calls])
            with self._guard:
                outputs = self._runtime.call(calls[0].frame.handle, joined)
            quiet = not self._console.end()
        except RuntimeDied:
            self.services.fallen = True
        except (Exception, KeyboardInterrupt):
            outputs = None
        quiet = not directory.changes() and quiet
        directory.reset()
        if outputs is None or not quiet:
            return None
        try:
            return grouping.split(outputs, [call.rows for call in calls])
        except Exception:  # outputs of a strange form
            return None


def _could_not(what: str, error: Exception) -> str:
    """A message for the caller of a failure that is not an error in the code itself."""
    try:
        return f"{what}: {type(error).__name__}: {error}"
    except Exception:  # an error whose own text fails
        return f"{what}: {type(error).__name__}"


def _since(start: int) -> int:
    """Microseconds since `start`, as they fit into TIMES."""
    return min((perf_counter_ns() - start) // 1000, _MAX_TIME)
