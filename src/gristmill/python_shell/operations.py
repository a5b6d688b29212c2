"""Sessions: code that runs in a lasting workspace, its objects, its files and its snapshots."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from typing import Any, Callable, Dict, List, Optional, Tuple

from gristmill.coerce import infer
from gristmill.errors import InvalidInput
from gristmill.frames import TIMES, Frame, Status
from gristmill.python_shell import answers, session_files
from gristmill.python_shell.archives import WORKSPACE_FILES, pack, unpack
from gristmill.python_shell.channel import Gone
from gristmill.python_shell.codec import decode, encode
from gristmill.python_shell.directories import changed_files, scan
from gristmill.python_shell.parts import Parts
from gristmill.python_shell.runtime import Cancelled, Missing, ObjectError, RuntimeDied, UserError
from gristmill.python_shell.services import Services
from gristmill.schema import Value

__all__ = ["Operations"]

_NO_TIMES = TIMES.pack(0, 0, 0, 0)
_EMPTY: Dict[str, Any] = {}
Operation = Callable[["Operations", Dict[str, Any], bytes, int], Tuple[int, bytes]]


class Operations:
    """Carries out OPERATION frames: `perform(frame)` answers each with one reply."""

    def __init__(self, parts: Parts, services: Services) -> None:
        self._runtime = parts.runtime
        self._services = services
        self._channel = parts.channel
        self._console = parts.console
        self._guard = parts.guard
        self._home = parts.home
        self._workspace_file = WORKSPACE_FILES[parts.settings["runtime"]]
        self._limit = int(parts.settings["output_limit"])
        self._number = 0
        self._directory: Optional[str] = None

    def perform(self, frame: Frame) -> None:
        """Answer one frame; what it refuses, or fails at, is INVALID or MISSING with a reason.

        Raises only when it cannot be told which descriptor is whose, and RuntimeDied: a session is over then.
        """
        meta = json.loads(frame.meta or b"{}")
        descriptor = -1
        try:
            if meta.get("fd"):
                descriptor = self._channel.receive_descriptor()
            operation = _OPERATIONS.get(meta.get("op"))
            if operation is None:
                raise InvalidInput(f"there is no operation {meta.get('op')!r}")
            status, body = operation(self, meta, frame.body, descriptor)
            if len(body) > self._limit:
                raise answers.AnswerTooLarge(f"the answer has {len(body)} bytes; {self._limit} are allowed")
        except answers.AnswerTooLarge as error:
            status, body = Status.TOO_LARGE, answers.problem(error, "TooLarge")
        except Missing as error:
            status, body = Status.MISSING, answers.problem(error, "NotFound")
        except (Gone, RuntimeDied):
            raise
        except (InvalidInput, ObjectError, UserError, OSError, KeyboardInterrupt) as error:
            status, body = Status.INVALID, answers.problem(error, "InvalidInput")
        except Exception as error:
            message = f"{meta.get('op')} failed: {type(error).__name__}: {error}"
            status, body = Status.INVALID, answers.problem(InvalidInput(message))
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        self._channel.reply(frame, status, _NO_TIMES, body)

    def _check(self, _meta: Dict[str, Any], body: bytes, _descriptor: int) -> Tuple[int, bytes]:
        request = _object(decode(body))
        if self._services.fallen:
            self._services.revive()
        try:
            self._runtime.check(_text(request, "code"), _text(request, "initCode"))
        except RuntimeDied as error:  # nothing is lost but what was loaded
            self._services.fallen = True
            raise UserError(f"the code cannot be parsed: {error}") from None
        return Status.OK, b"{}"

    def _execute(self, _meta: Dict[str, Any], body: bytes, _descriptor: int) -> Tuple[int, bytes]:
        request = _object(decode(body))
        code, inputs, outputs = _text(request, "code"), _inputs(request), _outputs(request)
        directory = self._working_directory()
        before = scan(directory)
        self._guard.install()
        self._console.begin()
        values: List[Tuple[str, object]] = []
        message = None
        try:
            with self._guard:
                values = self._runtime.execute(code, inputs, outputs)
        except UserError as error:
            message = str(error)
        except KeyboardInterrupt:
            message = str(Cancelled())
        console = self._console.end()
        answer = {
            "success": message is None,
            "errorMessage": message or "",
            "outputParameters": [{"name": name, "value": _unboxed(value)} for name, value in values],
            "consoleOutput": console,
            "changedFiles": changed_files(before, scan(directory)),
        }
        status = Status.OK if message is None else Status.FAILED
        try:
            return status, encode(answer)
        except Exception as error:
            message = f"the outputs cannot be written as JSON: {type(error).__name__}: {error}"
            answer.update(success=False, errorMessage=message, outputParameters=[])
            return Status.FAILED, encode(answer)

    def _workspace_list(self, _meta: Dict[str, Any], _body: bytes, _descriptor: int) -> Tuple[int, bytes]:
        return Status.OK, encode({"names": self._runtime.names()})

    def _workspace_set(self, meta: Dict[str, Any], _body: bytes, descriptor: int) -> Tuple[int, bytes]:
        name = _object_name(meta)
        self._working_directory()
        with self._file() as path:
            session_files.copy_from(descriptor, path)
            with self._guard:
                self._runtime.set_object(name, path)
        return Status.OK, b"{}"

    def _workspace_get(self, meta: Dict[str, Any], _body: bytes, descriptor: int) -> Tuple[int, bytes]:
        name = _object_name(meta)
        with self._file() as path:
            with self._guard:
                self._runtime.get_object(name, path)
            return Status.OK, encode({"size": session_files.copy_to(path, descriptor)})

    def _workspace_delete(self, meta: Dict[str, Any], _body: bytes, _descriptor: int) -> Tuple[int, bytes]:
        self._runtime.delete_object(_object_name(meta))
        return Status.OK, b"{}"

    def _files_list(self, _meta: Dict[str, Any], _body: bytes, _descriptor: int) -> Tuple[int, bytes]:
        return Status.OK, encode({"files": session_files.names(self._working_directory())})

    def _file_put(self, meta: Dict[str, Any], _body: bytes, descriptor: int) -> Tuple[int, bytes]:
        session_files.put(self._working_directory(), _text(meta, "name"), descriptor)
        return Status.OK, b"{}"

    def _file_get(self, meta: Dict[str, Any], _body: bytes, descriptor: int) -> Tuple[int, bytes]:
        size = session_files.get(self._working_directory(), _text(meta, "name"), descriptor)
        return Status.OK, encode({"size": size})

    def _file_delete(self, meta: Dict[str, Any], _body: bytes, _descriptor: int) -> Tuple[int, bytes]:
        session_files.delete(self._working_directory(), _text(meta, "name"))
        return Status.OK, b"{}"

    def _snapshot_save(self, _meta: Dict[str, Any], _body: bytes, descriptor: int) -> Tuple[int, bytes]:
        directory = self._working_directory()
        with self._file() as path:
            with self._guard:
                self._runtime.save_workspace(path)
            with os.fdopen(os.dup(descriptor), "wb") as target:
                pack(target, directory, self._workspace_file, path)
                size = target.tell()
        return Status.OK, encode({"size": size})

    def _snapshot_load(self, _meta: Dict[str, Any], _body: bytes, descriptor: int) -> Tuple[int, bytes]:
        """The session stays as it was unless all of the snapshot could be loaded."""
        old = self._working_directory()
        new = self._new_directory()
        try:
            with self._file() as path:
                os.unlink(path)
                found = unpack(descriptor, new, self._workspace_file, target=path)
                self._runtime.set_directory(new)
                with self._guard:
                    self._runtime.load_workspace(found)
        except BaseException:
            self._runtime.set_directory(old)
            shutil.rmtree(new, ignore_errors=True)
            raise
        self._directory = new
        shutil.rmtree(old, ignore_errors=True)
        return Status.OK, b"{}"

    def _working_directory(self) -> str:
        """The session's directory, which is made when a session's first operation comes."""
        if self._directory is None:
            self._directory = self._new_directory()
            self._runtime.set_directory(self._directory)
        return self._directory

    def _new_directory(self) -> str:
        self._number += 1
        path = os.path.join(self._home, f"session-{self._number}")
        os.makedirs(path, mode=0o700)
        return path

    def _file(self) -> session_files.TemporaryPath:
        return session_files.TemporaryPath(tempfile.mkdtemp(prefix="transfer-", dir=self._home))


_OPERATIONS: Dict[Any, Operation] = {
    "check": Operations._check,
    "execute": Operations._execute,
    "workspace_list": Operations._workspace_list,
    "workspace_set": Operations._workspace_set,
    "workspace_get": Operations._workspace_get,
    "workspace_delete": Operations._workspace_delete,
    "files_list": Operations._files_list,
    "file_put": Operations._file_put,
    "file_get": Operations._file_get,
    "file_delete": Operations._file_delete,
    "snapshot_save": Operations._snapshot_save,
    "snapshot_load": Operations._snapshot_load,
}


def _object(request: Any) -> Dict[str, Any]:
    if not isinstance(request, dict):
        raise InvalidInput("expected an object")
    return request


def _text(request: Dict[str, Any], key: str) -> str:
    value = request.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidInput(f"{key} must be a string")
    return value


def _object_name(meta: Dict[str, Any]) -> str:
    name = _text(meta, "name")
    if not name or "\0" in name or len(name) > 1000:
        raise InvalidInput(f"{name[:60]!r} cannot be the name of an object")
    return name


def _inputs(request: Dict[str, Any]) -> List[Tuple[str, Value]]:
    given = request.get("inputParameters")
    if given is None:
        return []
    if not isinstance(given, list):
        raise InvalidInput("inputParameters must be an array of {name, value} objects")
    values = []
    for each in given:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise InvalidInput("inputParameters must be an array of {name, value} objects")
        name = _object_name(each)
        values.append((name, infer(name, each.get("value"))))
    return values


def _outputs(request: Dict[str, Any]) -> List[str]:
    names = request.get("outputParameters")
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise InvalidInput("outputParameters must be an array of names")
    return names


def _unboxed(value: object) -> object:
    """A vector of length 1 goes as a scalar."""
    if type(value) is list and len(value) == 1 and not isinstance(value[0], (list, dict)):
        return value[0]
    return value
