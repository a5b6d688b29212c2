"""Python objects in files: dill where it is installed, else pickle.

Loading runs what the file says; it happens in shells only, which hold no secrets.
"""

from __future__ import annotations

import importlib.util
import pickle
import platform
import sys
from types import CodeType, ModuleType
from typing import Any, Dict, Optional, Set

from gristmill.python_shell.bytecode import may_be_ours
from gristmill.python_shell.runtime import ObjectError

__all__ = ["dump", "dump_workspace", "load", "load_workspace", "use_main"]

_HAVE_DILL = importlib.util.find_spec("dill") is not None
#: Arguments of a code object in dill's format, by version of Python; equal does not mean the same.
_CODE_ARGUMENTS = 19 if sys.version_info >= (3, 11) else 17 if sys.version_info >= (3, 10) else 16
_LONGEST = 400


def use_main(module: ModuleType) -> None:
    """Make `module` what `__main__` means: to pickles, and to classes and functions that code defines."""
    sys.modules["__main__"] = module
    dill = sys.modules.get("dill")
    if dill is not None:
        dill._dill._main_module = module


def load(path: str, name: str, main: ModuleType) -> Any:
    """The object in a file; functions in it get `main` as their globals. Raises ObjectError naming `name`."""
    packages: Set[str] = set()
    try:
        with open(path, "rb") as file:
            return _unpickler(file, main, packages).load()
    except BaseException as error:
        raise ObjectError(f"{name} cannot be loaded: {_reason(error, packages)}") from None


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
        raise ObjectError(f"{name} cannot be saved: {_text(error)}") from None


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


def _unpickler(file: Any, main: ModuleType, packages: Set[str]) -> Any:
    """Reads one file; notes in `packages` which it takes classes and functions from."""
    base: Any = pickle.Unpickler
    if _HAVE_DILL:
        import dill

        base = dill.Unpickler
    use_main(main)

    class Unpickler(base):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            if name == "_create_code" and module.startswith("dill"):
                return _checked_code
            packages.add(module.partition(".")[0])
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
    fields = arguments if isinstance(arguments[0], int) else arguments[1:]
    if not may_be_ours(words=fields[6], flags=fields[5], name=fields[11]):
        raise _OtherPython
    code = dill._dill._create_code(*arguments)
    assert isinstance(code, CodeType)
    return code


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + " [...]"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _reason(error: BaseException, packages: Set[str]) -> str:
    """Why a pickle that uses these packages cannot be loaded, and what may help."""
    here = f"this shell runs Python {platform.python_version()}"
    if isinstance(error, _OtherPython):
        return (
            "it holds a function, or a class with methods, that another version of Python compiled; "
            f"{here}: make the object with that version, or send the source as code or init code"
        )
    if isinstance(error, (pickle.UnpicklingError, EOFError, IndexError)):
        return f"{_text(error)}; the bytes are no complete pickle"
    if isinstance(error, ModuleNotFoundError) and not _is_installed(error.name):
        return f"{_text(error)}; it is not installed where {here}"
    if isinstance(error, (ImportError, AttributeError, LookupError, TypeError, ValueError)):
        versions = "".join(f", {each}" for each in sorted(filter(None, map(_version, packages))))
        return f"{_text(error)}; other versions may have made it: {here}{versions}"
    return _text(error)


def _is_installed(module: Optional[str]) -> bool:
    """Whether the package is there that a missing module would be a part of."""
    return str(module).partition(".")[0] in sys.modules


def _version(package: str) -> str:
    """`numpy 2.3.5`, or nothing where there is no version."""
    version = getattr(sys.modules.get(package), "__version__", None)
    return f"{package} {version}" if isinstance(version, str) and package != "dill" else ""
