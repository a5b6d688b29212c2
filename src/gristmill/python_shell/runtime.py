"""What the engine asks of a language: the `Runtime` protocol and the errors it raises."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple

from gristmill.schema import Value

__all__ = ["Cancelled", "Missing", "ObjectError", "Runtime", "RuntimeDied", "Spec", "UserError"]

Spec = Dict[str, Any]


class UserError(Exception):
    """User code failed; the text is ready for `errorMessage`: the message, then the user's traceback."""


class Cancelled(UserError):
    """User code was interrupted because the caller asked for it."""

    def __init__(self, message: str = "execution was cancelled") -> None:
        super().__init__(message)


class ObjectError(Exception):
    """An object that cannot be loaded or saved; the text names the object and the reason."""


class Missing(Exception):
    """There is no object or file of this name; the text names it."""


class RuntimeDied(Exception):
    """The language's own process (R's) has ended; `restart` begins again without what it held.

    `begun` is False when it had ended before what was asked of it last, which had no part in that.
    """

    def __init__(self, message: str, *, begun: bool = True) -> None:
        super().__init__(message)
        self.begun = begun


class Runtime(Protocol):
    """One language. All paths are absolute; calls come one at a time, from the main thread."""

    def describe(self) -> Dict[str, Any]:
        """For READY: `{"language": "R 4.2.2", "packages": {name: version}, "child_pid": int or None}`."""

    def load(self, handle: int, spec: Spec, workspace: Optional[str]) -> None:
        """Prepare a service: read the workspace file, run its init code, compile its code.

        `spec` is LOAD's body. Raises UserError or ObjectError; the handle is then not loaded.
        """

    def unload(self, handle: int) -> None:
        """Forget a service; an unknown handle is no error."""

    def give_back(self) -> None:
        """Free the memory of what was unloaded; takes long, so that it is asked for when nobody waits."""

    def resident(self) -> int:
        """Bytes of memory that the language's process holds."""

    def restart(self) -> None:
        """After RuntimeDied: begin again with nothing loaded. Raises RuntimeDied, OSError."""

    def call(self, handle: int, inputs: Sequence[Value]) -> List[object]:
        """Run a service on inputs in the order of `spec["inputs"]`.

        Returns the outputs in the order of `spec["outputs"]`, each of its declared type and ready for JSON: a
        scalar; a list (vector); a list of rows (matrix); a dict of lists (data.frame). Floats may be NaN or
        infinite, the engine writes null for them. Raises UserError.
        """

    def check(self, code: str, init_code: str) -> None:
        """Parse only. Raises UserError that names the line."""

    def execute(
        self, code: str, inputs: Sequence[Tuple[str, Value]], outputs: Sequence[str]
    ) -> List[Tuple[str, object]]:
        """Run code in the session's workspace. Raises UserError, or Cancelled after `interrupt`."""

    def names(self) -> List[str]:
        """Names of the session's objects, sorted."""

    def set_object(self, name: str, path: str) -> None:
        """Set an object from serialized bytes in a file. Raises ObjectError."""

    def get_object(self, name: str, path: str) -> None:
        """Serialize an object into a file. Raises Missing, ObjectError."""

    def delete_object(self, name: str) -> None:
        """Remove an object. Raises Missing."""

    def save_workspace(self, path: str) -> None:
        """Write all objects of the session. Raises ObjectError naming those that cannot be serialized."""

    def load_workspace(self, path: Optional[str]) -> None:
        """Replace the session's objects by those of a file, or by none. Raises ObjectError."""

    def set_directory(self, path: str) -> None:
        """Working directory of what runs next."""

    def interrupt(self) -> None:
        """Called by the SIGINT handler while user code runs; what runs ends with an error soon."""

    def close(self) -> None:
        """End the runtime and its processes."""
