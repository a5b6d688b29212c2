"""Modules that a service imports from its own files: they are that service's alone."""

from __future__ import annotations

import linecache
import os
import sys
from types import ModuleType, TracebackType
from typing import Dict, Optional, Type

__all__ = ["LocalModules"]


class LocalModules:
    """A context in which a service's own modules are in `sys.modules`; outside of it they are not."""

    __slots__ = ("_count", "_home", "_own")

    def __init__(self) -> None:
        self._own: Dict[str, ModuleType] = {}
        self._home = os.path.dirname(os.path.realpath(os.getcwd())) + os.sep
        self._count = 0

    def __enter__(self) -> None:
        if self._own:
            sys.modules.update(self._own)
        self._count = len(sys.modules)

    def __exit__(
        self,
        _kind: Optional[Type[BaseException]],
        _error: Optional[BaseException],
        _traceback: Optional[TracebackType],
    ) -> None:
        if len(sys.modules) != self._count:
            self._own.update(
                (name, module) for name, module in list(sys.modules.items()) if self._is_own(module)
            )
        for name in self._own:
            sys.modules.pop(name, None)

    def clear(self) -> None:
        """Forget them, their sources and where they were looked for; their names lead to nothing any more."""
        for module in self._own.values():
            module.__dict__.clear()
        self._own.clear()
        for cache in (linecache.cache, sys.path_importer_cache):
            for path in [each for each in list(cache) if self._is_inside(each)]:
                cache.pop(path, None)

    def _is_inside(self, path: object) -> bool:
        return isinstance(path, str) and (path + os.sep).startswith(self._home)

    def _is_own(self, module: ModuleType) -> bool:
        path = getattr(module, "__file__", None)
        return isinstance(path, str) and os.path.realpath(path).startswith(self._home)
