"""The R runtime: what the engine asks of a language, carried out by an R process."""

from __future__ import annotations

import os
import struct
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple

from gristmill.python_shell import memory
from gristmill.python_shell.r_encode import HEADER, NULL, encode_inputs, list_head, strings
from gristmill.python_shell.r_outputs import by_form, by_type
from gristmill.python_shell.r_process import RProcess
from gristmill.python_shell.runtime import Cancelled, Missing, ObjectError, UserError
from gristmill.schema import Value

__all__ = ["RRuntime"]

#: Requests, as numbered in r_shell/loop.R.
(_CALL, _LOAD, _UNLOAD, _CHECK, _EXECUTE, _NAMES, _SET, _GET, _DELETE, _SAVE, _RESTORE, _DRAIN, _COLLECT) = (
    range(1, 14)
)
_HEAD = struct.Struct("<iiii")
_OK, _FAILED, _INTERRUPTED, _OBJECT, _MISSING = range(5)


def _request(operation: int, slot: int, *parts: bytes) -> bytes:
    return HEADER + list_head(1 + len(parts)) + _HEAD.pack(13, 2, operation, slot) + b"".join(parts)


def _path(path: str) -> bytes:
    """A path as R sees it: what names a descriptor of ours, by our process id."""
    for ours in ("/proc/self/", "/dev/fd/"):
        if path.startswith(ours):
            path = f"/proc/{os.getpid()}/{'fd/' if ours == '/dev/fd/' else ''}{path[len(ours) :]}"
    return strings([os.path.abspath(path)])


class _Service:
    """What a call of one service needs: the request's beginning, names and types."""

    __slots__ = ("names", "outputs", "slot", "start", "types")

    def __init__(self, slot: int, spec: Dict[str, Any]) -> None:
        self.slot = slot
        self.start = _request(_CALL, slot, b"", b"")
        self.names = tuple(each["name"] for each in spec["inputs"])
        self.types = tuple(each["type"] for each in spec["inputs"])
        self.outputs = tuple((each["name"], each["type"]) for each in spec["outputs"])


class RRuntime:
    """R behind the `Runtime` protocol. `command` starts R (`R` or a path to it)."""

    def __init__(self, command: str = "R") -> None:
        """Raises RuntimeDied or OSError when R does not start."""
        self._command = command
        self._process = RProcess(command)
        _, version, _, packages, versions = self._process.hello
        self._version: str = version[0]  # type: ignore[index]
        self._packages = dict(zip(packages, versions))  # type: ignore[call-overload]
        self._services: Dict[int, _Service] = {}
        self._path = os.getcwd()
        self._directory = _path(self._path)  #: as R is told
        self._busy = False
        self._interrupted = False

    def describe(self) -> Dict[str, Any]:
        """Version of R and of the packages it attaches."""
        return {
            "language": f"R {self._version}",
            "packages": self._packages,
            "child_pid": self._process.pid,
        }

    def _exchange(self, request: bytes) -> List[Any]:
        """Answer of R without its status. Raises what the status says."""
        self._busy = True
        try:
            answer: List[Any] = self._process.exchange(request)
        except UnicodeDecodeError:
            raise UserError("Error: an output holds text that is not valid UTF-8") from None
        finally:
            self._busy = False
            if self._interrupted:
                self._interrupted = False
                self._process.exchange(_request(_DRAIN, 0))
        status = int(answer[0][0])
        if status != _OK:
            _fail(status, answer[1][0])
        return answer

    def load(self, handle: int, spec: Dict[str, Any], workspace: Optional[str]) -> None:
        """Prepare a service in a slot of R's table. Raises UserError, ObjectError."""
        self.unload(handle)
        used = {each.slot for each in self._services.values()}
        slot = next(number for number in range(1, len(used) + 2) if number not in used)
        outputs = spec["outputs"]
        self._exchange(
            _request(
                _LOAD,
                slot,
                self._directory,
                NULL if workspace is None else _path(workspace),
                strings([spec["code"]]),
                strings([spec.get("initCode") or ""]),
                strings([each["name"] for each in outputs]),
                strings([each["type"] for each in outputs]),
            )
        )
        self._services[handle] = _Service(slot, spec)

    def unload(self, handle: int) -> None:
        """Free the slot."""
        service = self._services.pop(handle, None)
        if service is not None:
            self._exchange(_request(_UNLOAD, service.slot))

    def give_back(self) -> None:
        """A full collection in R."""
        self._exchange(_request(_COLLECT, 0))

    def resident(self) -> int:
        """Of the R process."""
        return memory.resident(self._process.pid)

    def restart(self) -> None:
        """Another R process, with nothing loaded. Raises RuntimeDied, OSError."""
        self._services.clear()
        self._interrupted = False
        self._process.kill()
        self._process = RProcess(self._command)

    def call(self, handle: int, inputs: Sequence[Value]) -> List[object]:
        """One request to R. Raises UserError, and InvalidInput for text that R cannot hold."""
        service = self._services[handle]
        encoded = encode_inputs(service.names, service.types, inputs)
        answer = self._exchange(service.start + self._directory + encoded)
        return [by_type(value, type_) for value, (_, type_) in zip(answer[1:], service.outputs)]

    def check(self, code: str, init_code: str) -> None:
        """Parse both. Raises UserError."""
        self._exchange(_request(_CHECK, 0, strings([code]), strings([init_code])))

    def execute(
        self, code: str, inputs: Sequence[Tuple[str, Value]], outputs: Sequence[str]
    ) -> List[Tuple[str, object]]:
        """Run in the session's workspace, printing as R's console does. Raises UserError, Cancelled."""
        names = [name for name, _ in inputs]
        values = encode_inputs(names, [""] * len(names), [value for _, value in inputs])
        answer = self._exchange(
            _request(_EXECUTE, 0, self._directory, strings([code]), values, strings(outputs))
        )
        return [(name, by_form(value)) for name, value in zip(outputs, answer[1:])]

    def names(self) -> List[str]:
        """Objects of the workspace, without hidden ones."""
        return sorted(self._exchange(_request(_NAMES, 0))[1])

    def set_object(self, name: str, path: str) -> None:
        """From bytes of `saveRDS`, `serialize` or `save`, compressed or not."""
        self._exchange(_request(_SET, 0, strings([name]), _path(path)))

    def get_object(self, name: str, path: str) -> None:
        """Into a file as `save` writes it."""
        self._exchange(_request(_GET, 0, strings([name]), _path(path)))

    def delete_object(self, name: str) -> None:
        """Raises Missing."""
        self._exchange(_request(_DELETE, 0, strings([name])))

    def save_workspace(self, path: str) -> None:
        """All objects, hidden ones too, as `save` writes them."""
        self._exchange(_request(_SAVE, 0, _path(path)))

    def load_workspace(self, path: Optional[str]) -> None:
        """Replace all objects; what was there stays when the file cannot be loaded."""
        self._exchange(_request(_RESTORE, 0, NULL if path is None else _path(path)))

    def set_directory(self, path: str) -> None:
        """Sent along with what runs next."""
        if path != self._path:
            self._path = path
            self._directory = _path(path)

    def interrupt(self) -> None:
        """Forward SIGINT while R works; else do nothing. Safe in a signal handler."""
        if self._busy:
            self._interrupted = True
            self._process.interrupt()

    def close(self) -> None:
        """End R."""
        self._process.close()


def _fail(status: int, message: str) -> NoReturn:
    if status == _INTERRUPTED:
        raise Cancelled
    if status == _OBJECT:
        raise ObjectError(message)
    if status == _MISSING:
        raise Missing(message)
    raise UserError(message)
