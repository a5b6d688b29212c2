"""Python objects in files: dill where it is installed, else pickle.

Loading runs what the file says; it happens in shells only, which hold no secrets.
"""

from __future__ import annotations

import dis
import importlib.util
import pickle
import platform
import sys
from types import CodeType, ModuleType
from typing import Any, Dict

from gristmill.python_shell.runtime import ObjectError

__all__ = ["dump", "dump_workspace", "load", "load_workspace", "use_main"]

_HAVE_DILL = importlib.util.find_spec("dill") is not None
#: Arguments of a code object in dill's format, by version of Python; equal does not mean the same.
_CODE_ARGUMENTS = 19 if sys.version_info >= (3, 11) else 17 if sys.version_info >= (3, 10) else 16
_RESUME = dis.opmap.get("RESUME")


def use_main(module: ModuleType) -> None:
    """Make `module` what `__main__` means: to pickles, and to classes and functions that code defines."""
    sys.modules["__main__"] = module
    dill = sys.modules.get("dill")
    if dill is not None:
        dill._dill._main_module = module


def load(path: str, name: str, main: ModuleType) -> Any:
    """The object in a file; functions in it get `main` as their globals. Raises ObjectError naming `name`."""
    try:
        with open(path, "rb") as file:
            return _unpickler(file, main).load()
    except BaseException as error:
        raise ObjectError(f"{name} cannot be loaded: {_reason(error)}") from None


def load_workspace(path: str, main: ModuleType) -> Dict[str, Any]:
    """Objects by name, of a pickled dict or of a session that dill dumped. Raises ObjectError."""
    before = set(main.__dict__)
    loaded = load(path, "the workspace", main)
    if isinstance(loaded, ModuleType):
        found = {name: each for name, each in loaded.__dict__.items() if name not in before}
        return {name: each for name, each in found.items() if not name.startswith("__")}
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        raise ObjectError(
            f"the workspace cannot be loaded: it holds a {type(loaded).__name__}, not objects by their names"
        )
    return loaded


def dump(value: object, path: str, name: str, main: ModuleType) -> None:
    """Write one object. Raises ObjectError naming it."""
    try:
        with open(path, "wb") as file:
            _pickler(file, main).dump(value)
    except BaseException as error:
        raise ObjectError(f"{name} cannot be saved: {_reason(error)}") from None


def dump_workspace(objects: Dict[str, Any], path: str, main: ModuleType) -> None:
    """Write all objects as one dict. Raises ObjectError naming those that cannot be."""
    try:
        dump(objects, path, "the workspace", main)
    except ObjectError:
        refused = [_refused(value, path, name, main) for name, value in objects.items()]
        reasons = [reason for reason in refused if reason]
        if reasons:
            raise ObjectError("; ".join(reasons)) from None
        raise


def _refused(value: object, path: str, name: str, main: ModuleType) -> str:
    try:
        dump(value, path, f"the object {name!r}", main)
    except ObjectError as error:
        return str(error)
    return ""


def _pickler(file: Any, main: ModuleType) -> Any:
    if not _HAVE_DILL:
        return pickle.Pickler(file)
    import dill

    use_main(main)
    pickler = dill.Pickler(file)
    pickler._main = main
    return pickler


def _unpickler(file: Any, main: ModuleType) -> Any:
    if not _HAVE_DILL:
        use_main(main)
        return pickle.Unpickler(file)
    import dill

    use_main(main)

    class Unpickler(dill.Unpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            if name == "_create_code" and module.startswith("dill"):
                return _checked_code
            return super().find_class(module, name)

    unpickler = Unpickler(file)
    unpickler._main = main
    return unpickler


class _OtherPython(Exception):
    """A function that another version of Python compiled."""


def _checked_code(*arguments: Any) -> CodeType:
    """Byte code of another version of Python would end the process when it is run, so it is refused here."""
    import dill

    if len(arguments) != _CODE_ARGUMENTS:
        raise _OtherPython
    code = dill._dill._create_code(*arguments)
    assert isinstance(code, CodeType)
    if _RESUME is not None and _RESUME not in code.co_code[: 64 + 2 * len(code.co_cellvars) : 2]:
        raise _OtherPython
    return code


def _reason(error: BaseException) -> str:
    running = f"this shell runs Python {platform.python_version()}"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, _OtherPython):
        return f"it holds a function that was compiled by another version of Python; {running}"
    if isinstance(error, ModuleNotFoundError):
        return f"{text}; the module is not installed where {running[5:]}"
    if isinstance(error, (pickle.UnpicklingError, EOFError, IndexError)):
        return f"{text}; the bytes are no complete pickle"
    if isinstance(error, (ValueError, TypeError)) and ("code()" in text or "pickle protocol" in text):
        return f"{text}; it was made by another version of Python, {running}"
    return text
