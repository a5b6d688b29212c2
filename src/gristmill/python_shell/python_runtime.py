"""Python services and sessions, run in this process."""

from __future__ import annotations

import ast
import importlib
import os
import platform
import sys
from functools import partial
from types import CodeType, ModuleType
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, Tuple

from gristmill.errors import InvalidInput
from gristmill.python_shell import memory, pickles
from gristmill.python_shell.local_modules import LocalModules
from gristmill.python_shell.python_inputs import named, to_python
from gristmill.python_shell.python_outputs import converter, inferred
from gristmill.python_shell.runtime import Cancelled, Missing, Spec, UserError
from gristmill.python_shell.tracebacks import compiled, describe, forget, remember
from gristmill.schema import Value, parse_parameters

__all__ = ["PythonRuntime"]

_KEPT_SOURCES = 200


class LoadedService:
    """A service that is ready to run: its code, and the namespace that each call starts from."""

    def __init__(self, spec: Spec) -> None:
        title = f"{spec.get('name', 'service')} {spec.get('version', '')}".strip()
        self.filename = f"<{title}>"
        self.init_filename = f"<{title} init>"
        self.inputs = [each.name for each in parse_parameters(spec.get("inputs"))]
        self.outputs: List[Tuple[str, Callable[[Any], object]]] = [
            (each.name, converter(each.name, each.type)) for each in parse_parameters(spec.get("outputs"))
        ]
        self.module = ModuleType("__main__")
        self.modules = LocalModules()
        self.base: Dict[str, Any] = {}
        self.code: Optional[CodeType] = None


class PythonRuntime:
    """Runs user code by `exec`, each call in a namespace of its own."""

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._services: Dict[int, LoadedService] = {}
        self._session: Optional[ModuleType] = None
        self._executed = 0
        self._cancelled = False
        self._deepest = sys.getrecursionlimit()
        self._packages: Dict[str, str] = {}
        os.environ.setdefault("MPLBACKEND", "Agg")
        sys.dont_write_bytecode = True  # a helper module of a snapshot leaves no files behind
        sys.path.append("")  # such modules are found, and never in place of installed ones
        for name in preload:
            self._preload(name)

    def _preload(self, name: str) -> None:
        try:
            module = importlib.import_module(name)
        except ImportError:
            return
        self._packages[name] = str(getattr(module, "__version__", "unknown"))

    def describe(self) -> Dict[str, Any]:
        """For READY."""
        return {
            "language": f"Python {platform.python_version()}",
            "packages": self._packages,
            "child_pid": None,
        }

    def load(self, handle: int, spec: Spec, workspace: Optional[str]) -> None:
        """See `Runtime.load`."""
        self.unload(handle)
        service = LoadedService(spec)
        try:
            self._prepare(service, spec, workspace)
        except BaseException:
            self._drop(service)
            raise
        self._services[handle] = service

    def _prepare(self, service: LoadedService, spec: Spec, workspace: Optional[str]) -> None:
        """Compile its code, read its workspace and run its init code."""
        try:
            service.code = compiled(str(spec.get("code") or ""), service.filename)
            init = compiled(str(spec.get("initCode") or ""), service.init_filename)
        except BaseException as error:
            self._fail(error)
        with service.modules:
            if workspace is not None:
                service.module.__dict__.update(pickles.load_workspace(workspace, service.module))
            pickles.use_main(service.module)
            try:
                exec(init, service.module.__dict__)
            except BaseException as error:
                self._fail(error)
        service.base = dict(service.module.__dict__)

    def unload(self, handle: int) -> None:
        """See `Runtime.unload`; what libraries still hold, such as its classes, leads to nothing of it."""
        service = self._services.pop(handle, None)
        if service is not None:
            self._drop(service)

    def _drop(self, service: LoadedService) -> None:
        pickles.use_main(ModuleType("__main__"))
        forget(service.filename)
        forget(service.init_filename)
        service.modules.clear()
        service.base.clear()
        service.module.__dict__.clear()

    def give_back(self) -> None:
        """See `Runtime.give_back`."""
        memory.give_back()

    def resident(self) -> int:
        """See `Runtime.resident`."""
        return memory.resident()

    def restart(self) -> None:
        """See `Runtime.restart`: there is no process beside this one."""

    def call(self, handle: int, inputs: Sequence[Value]) -> List[object]:
        """See `Runtime.call`."""
        service = self._services[handle]
        assert service.code is not None
        module = ModuleType("__main__")
        namespace = module.__dict__
        namespace.update(service.base)
        sys.modules["__main__"] = module
        try:
            name = ""
            try:
                for name, value in zip(service.inputs, inputs):
                    namespace[name] = to_python(value)
            except InvalidInput as error:
                raise named(name, error) from None
            with service.modules:
                exec(service.code, namespace)
                return [self._output(namespace, name, convert) for name, convert in service.outputs]
        except BaseException as error:
            self._fail(error)
        finally:
            if sys.getrecursionlimit() != self._deepest:
                sys.setrecursionlimit(self._deepest)
            namespace.clear()  # what the call made goes now, cycles included
            _restore(service.module.__dict__, service.base)

    @staticmethod
    def _output(namespace: Dict[str, Any], name: str, convert: Callable[[Any], object]) -> object:
        if name not in namespace:
            raise UserError(f"the code did not set the output {name!r}")
        return convert(namespace[name])

    def _fail(self, error: BaseException) -> NoReturn:
        """Raise what the caller is told of an error in user code."""
        if isinstance(error, (UserError, InvalidInput)):
            raise error
        cancelled, self._cancelled = self._cancelled, False
        if cancelled and isinstance(error, KeyboardInterrupt):
            raise Cancelled from None
        raise UserError(describe(error)) from None

    def check(self, code: str, init_code: str) -> None:
        """See `Runtime.check`."""
        _check(init_code, "initCode")
        _check(code, "code")

    # Sessions

    def _workspace(self) -> ModuleType:
        if self._session is None:
            self._session = ModuleType("__main__")
        pickles.use_main(self._session)
        return self._session

    def execute(
        self, code: str, inputs: Sequence[Tuple[str, Value]], outputs: Sequence[str]
    ) -> List[Tuple[str, object]]:
        """See `Runtime.execute`; an expression at the end is printed, as at a prompt."""
        module = self._workspace()
        namespace = module.__dict__
        self._executed += 1
        filename = f"<session {self._executed}>"
        forget(f"<session {self._executed - _KEPT_SOURCES}>")
        self._cancelled = False
        try:
            for name, value in inputs:
                try:
                    namespace[name] = to_python(value)
                except InvalidInput as error:  # noqa: PERF203 - the error is to name the input
                    raise named(name, error) from None
            _run_block(code, filename, namespace)
            return [
                (name, self._output(namespace, name, partial(inferred, where=f"output {name!r}")))
                for name in outputs
            ]
        except BaseException as error:
            self._fail(error)

    def names(self) -> List[str]:
        """See `Runtime.names`."""
        return sorted(self._objects())

    def _objects(self) -> Dict[str, Any]:
        objects = self._workspace().__dict__
        return {name: value for name, value in objects.items() if not _is_special(name)}

    def set_object(self, name: str, path: str) -> None:
        """See `Runtime.set_object`."""
        module = self._workspace()
        module.__dict__[name] = pickles.load(path, f"the object {name!r}", module)

    def get_object(self, name: str, path: str) -> None:
        """See `Runtime.get_object`."""
        module = self._workspace()
        pickles.dump(self._existing(name), path, f"the object {name!r}", module)

    def delete_object(self, name: str) -> None:
        """See `Runtime.delete_object`."""
        self._existing(name)
        del self._workspace().__dict__[name]

    def _existing(self, name: str) -> Any:
        objects = self._objects()
        if name not in objects:
            raise Missing(f"there is no object {name!r} in the session")
        return objects[name]

    def save_workspace(self, path: str) -> None:
        """See `Runtime.save_workspace`."""
        pickles.dump_workspace(self._objects(), path, self._workspace())

    def load_workspace(self, path: Optional[str]) -> None:
        """See `Runtime.load_workspace`; if it cannot be loaded the objects stay as they were."""
        fresh = ModuleType("__main__")
        if path is not None:
            try:
                fresh.__dict__.update(pickles.load_workspace(path, fresh))
            finally:
                self._workspace()
        self._session = fresh
        self._workspace()

    def set_directory(self, path: str) -> None:
        """See `Runtime.set_directory`."""
        os.chdir(path)

    def interrupt(self) -> None:
        """See `Runtime.interrupt`."""
        self._cancelled = True
        raise KeyboardInterrupt

    def close(self) -> None:
        """See `Runtime.close`."""


def _check(code: str, where: str) -> None:
    try:
        compile(code, f"<{where}>", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise UserError(f"{where}, line {error.lineno}: {type(error).__name__}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise UserError(f"{where} cannot be compiled: {type(error).__name__}: {error}") from None


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _restore(namespace: Dict[str, Any], base: Dict[str, Any]) -> None:
    """Undo what functions of the base did to their globals."""
    namespace.update(base)
    if len(namespace) != len(base):
        for name in namespace.keys() - base.keys():
            del namespace[name]


def _run_block(code: str, filename: str, namespace: Dict[str, Any]) -> None:
    remember(code, filename)
    tree = ast.parse(code, filename)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, filename, "exec", dont_inherit=True), namespace)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), filename, "eval", dont_inherit=True), namespace)  # noqa: S307 - as for exec
        if value is not None:
            sys.stdout.write(f"{value!r}\n")
