"""What a function needs of where it was written: imports that can be added for it, and names that cannot."""

from __future__ import annotations

import difflib
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gristmill.client.errors import NotPortable
from gristmill.client.names import Names, names_of
from gristmill.client.types import told

__all__ = ["Needs", "complain", "needs_of", "surroundings", "unmet"]


@dataclass(frozen=True)
class Needs:
    """imports: lines to run before. missing: name → what it is here, and how to send it."""

    imports: tuple[str, ...]
    missing: Mapping[str, str]


_ABSENT = object()


def surroundings(function: Callable[..., Any]) -> dict[str, Any]:
    """Every name that a function can see beside its own: those of its module, then of functions around it."""
    seen = dict(getattr(function, "__globals__", {}))
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(function.__code__.co_freevars, cells):
        try:
            seen[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    return seen


def needs_of(names: Names, seen: Mapping[str, Any], given: Iterable[str]) -> Needs:
    """What must be added so that these names are there, if `given` ones are already.

    seen: the names that are visible here. A module, or something of an installed one, is imported; any other
    value is missing, and explained.
    """
    imports: list[str] = []
    missing: dict[str, str] = {}
    known = set(given)
    for name in sorted(names.reads - known):
        value = seen.get(name, _ABSENT)
        if value is _ABSENT:
            missing[name] = _absent(name, known | set(seen))
        elif isinstance(value, types.ModuleType):
            if _is_installed(value):
                imports += _module_lines(name, value, names.chains.get(name, frozenset()))
            else:
                missing[name] = _local_module(name, value)
        else:
            line = _import_of(name, value)
            if line:
                imports.append(line)
            else:
                missing[name] = _own_value(name, value)
    return Needs(tuple(dict.fromkeys(imports)), missing)


def complain(what: str, missing: Mapping[str, str]) -> NotPortable:
    """The error that lists all that is missing at once."""
    width = max(map(len, missing))
    listed = "".join(f"\n  {name:{width}}  {hint}" for name, hint in missing.items())
    error = NotPortable(f"{what} uses names that would not be there on the server; nothing was sent:{listed}")
    error.parameter = next(iter(missing))
    return error


def _absent(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return "is defined nowhere" + (f"; is {close[0]} meant?" if close else "")


def _local_module(name: str, module: types.ModuleType) -> str:
    where = getattr(module, "__file__", None) or "here"
    return (
        f"is a module of yours ({where}): pass what is used of it with objects={{…}}; "
        f"or, if the server has it installed, import it inside the function"
    )


def _own_value(name: str, value: Any) -> str:
    if isinstance(value, types.FunctionType):
        return f'is a function of yours: pass it with objects={{"{name}": {name}}}'
    if isinstance(value, type):
        return f'is a class of yours: pass it with objects={{"{name}": {name}}}'
    keyword = "models" if hasattr(value, "predict") else "objects"
    return f'is {told(value)} here: pass it with {keyword}={{"{name}": {name}}}'


def _module_lines(name: str, module: types.ModuleType, chains: frozenset[tuple[str, ...]]) -> list[str]:
    """Import lines for a module under a name, and for the submodules that are reached through it."""
    full = module.__name__
    lines = [f"import {full}" if full == name else f"import {full} as {name}"]
    for chain in sorted(chains):
        parent, dotted = module, full
        for attribute in chain:
            child = getattr(parent, attribute, None)
            dotted = f"{dotted}.{attribute}"
            if not isinstance(child, types.ModuleType) or child.__name__ != dotted:
                break
            lines.append(f"import {dotted}")
            parent = child
    return lines


def _import_of(name: str, value: Any) -> str | None:
    """`from module import name` for something that an installed module has, or None."""
    if value is None or isinstance(value, (bool, int, float, str, bytes, list, dict, set, tuple)):
        return None
    for module, attribute in _homes(name, value):
        if _is_installed(module) and getattr(module, attribute, _ABSENT) is value:
            short = attribute if attribute == name else f"{attribute} as {name}"
            return f"from {module.__name__} import {short}"
    return None


def _homes(name: str, value: Any) -> Iterable[tuple[types.ModuleType, str]]:
    """Modules where a value may live: the one it names, then any that has it under this name."""
    own = sys.modules.get(getattr(value, "__module__", None) or "")
    qualified = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if own is not None and isinstance(qualified, str) and "." not in qualified:
        yield own, qualified
    if isinstance(value, types.FunctionType) and own is not None and not _is_installed(own):
        return
    public = (key for key in list(sys.modules) if not any(part.startswith("_") for part in key.split(".")))
    for key in sorted(public, key=lambda each: (each.count("."), each)):
        module = sys.modules.get(key)
        if module is not None and module.__dict__.get(name, _ABSENT) is value:
            yield module, name


def _is_installed(module: types.ModuleType) -> bool:
    """Whether a module belongs to Python or to an installed package, rather than to the user's own files."""
    name = module.__name__
    if name in {"__main__", "__mp_main__"}:
        return False
    file = getattr(module, "__file__", None)
    if file is None:
        search = list(getattr(module, "__path__", ()))  # a namespace package; none at all: built in
        return not search or any(_in_library(Path(each)) for each in search)
    return _in_library(Path(file))


def _in_library(path: Path) -> bool:
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    library = {Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib")}
    resolved = path.resolve()
    return any(root in resolved.parents for root in library)


def unmet(code: str, given: Iterable[str], *, what: str) -> Names:
    """The names of a block of text, once it is sure that all it reads is given. Raises NotPortable."""
    names = names_of(code, what=what)
    known = set(given)
    missing = {} if names.open else {name: _absent(name, known) for name in sorted(names.reads - known)}
    if missing:
        raise complain(what, missing)
    return names
