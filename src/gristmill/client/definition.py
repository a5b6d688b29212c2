"""What is to be published, made of what the author gave: pure, and complete before anything is sent."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gristmill.client.blocks import Code, function_block, text_block
from gristmill.client.errors import InvalidInput
from gristmill.client.initcode import FUTURE, Init, make_init
from gristmill.client.parameters import inputs_of_function, named, outputs_of_function
from gristmill.client.sources import has_source
from gristmill.schema import Parameter

__all__ = ["Definition", "Packed", "define"]


@dataclass(frozen=True)
class Packed:
    """An object that is serialized already: the bytes of dill or pickle, or of R's saveRDS or save."""

    data: bytes


@dataclass(frozen=True)
class Definition:
    """A service, ready to be sent. None: not given, and at a redeploy left as it is."""

    runtime: str = "Python"
    code: str | None = None
    init_code: str | None = None
    alias: str | None = None
    description: str | None = None
    inputs: tuple[Parameter, ...] | None = None
    outputs: tuple[Parameter, ...] | None = None
    artifacts: tuple[str, ...] | None = None
    batchable: bool | None = None
    objects: Mapping[str, Any] = field(default_factory=dict)  #: models too
    files: Mapping[str, Any] = field(default_factory=dict)  #: name → path or bytes
    notes: tuple[str, ...] = ()  #: what was added to the author's code, for him to read

    def request(self, snapshot: str | None) -> dict[str, Any]:
        """The body of the protocol's publish or patch request."""
        listed = {
            "inputParameterDefinitions": self.inputs,
            "outputParameterDefinitions": self.outputs,
        }
        body: dict[str, Any] = {
            "runtimeType": self.runtime,
            "code": self.code,
            "initCode": self.init_code,
            "operationId": self.alias,
            "description": self.description,
            "snapshotId": snapshot,
            "batchable": self.batchable,
            "outputFileNames": None if self.artifacts is None else list(self.artifacts),
            **{k: None if v is None else [each.describe() for each in v] for k, v in listed.items()},
        }
        return {name: value for name, value in body.items() if value is not None}


def define(
    code: str | Callable[..., Any] | None,
    *,
    models: Mapping[str, Any] | None = None,
    objects: Mapping[str, Any] | None = None,
    files: Mapping[str, Any] | Sequence[Any] | None = None,
    init: str | Callable[..., Any] | None = None,
    inputs: Any = None,
    outputs: Any = None,
    artifacts: str | Sequence[str] | None = None,
    alias: str | None = None,
    description: str | None = None,
    batchable: bool | None = None,
    runtime: str = "Python",
    check: bool = True,
    known: str | None = None,
) -> Definition:
    """A definition of everything given.

    known: init code that the service has already, at a redeploy. Raises InvalidInput (and NotPortable),
    naming what is wrong with the code, a parameter or an object.
    """
    sent, helpers = _apart(_objects(models, objects), runtime)
    before = Init.parse(known or "")
    renewed = models is not None or objects is not None
    new_init: Init
    if runtime == "Python":
        new_helpers = helpers if renewed else None
        new_init = make_init(init, new_helpers, given=sent, before=before, check=check)
    elif callable(init):
        raise InvalidInput(f"a Python function cannot prepare a service of {runtime}; give init as a text")
    else:
        new_init = Init(own=init) if init is not None else before
    listed_inputs, listed_outputs, block = _block(
        code,
        inputs,
        outputs,
        given={*sent, *(new_init.sets if runtime == "Python" else ())},
        runtime=runtime,
        # Objects that the service has already cannot be seen: without new ones, names of theirs are let pass.
        check=check and (known is None or renewed),
    )
    new_init = new_init.with_imports(block.imports if block else ())
    rendered = new_init.render()
    return Definition(
        runtime=runtime,
        code=block.text if block else None,
        init_code=rendered if rendered != (known or "") else None,
        alias=alias or (block.name if block else None),
        description=_described(description, code),
        inputs=listed_inputs,
        outputs=listed_outputs,
        artifacts=(artifacts,)
        if isinstance(artifacts, str)
        else None
        if artifacts is None
        else tuple(artifacts),
        batchable=batchable,
        objects=sent,
        files=_files(files),
        notes=_notes(new_init, before),
    )


def _notes(init: Init, before: Init) -> tuple[str, ...]:
    new = [line for line in init.imports if line not in before.imports and line != FUTURE]
    return tuple(f"added to the init code: {line}" for line in new)


def _block(
    code: str | Callable[..., Any] | None,
    inputs: Any,
    outputs: Any,
    *,
    given: set[str],
    runtime: str,
    check: bool,
) -> tuple[tuple[Parameter, ...] | None, tuple[Parameter, ...] | None, Code | None]:
    """Inputs, outputs and block of the code; None where nothing was said."""
    listed = None if outputs is None else named(outputs, what="output")
    if code is None or isinstance(code, str):
        taken = None if inputs is None else named(inputs, what="input")
        if code is None:
            return taken, listed, None
        return taken, listed, text_block(code, taken or (), listed or (), given, runtime=runtime, check=check)
    taken = inputs_of_function(code, inputs)
    listed = outputs_of_function(code) if listed is None else listed
    return taken, listed, function_block(code, taken, listed or (), given, runtime=runtime, check=check)


def _apart(objects: Mapping[str, Any], runtime: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What travels as data, and Python functions, which travel as their source."""
    helpers = {name: each for name, each in objects.items() if runtime == "Python" and has_source(each)}
    return {name: each for name, each in objects.items() if name not in helpers}, helpers


def _described(description: str | None, code: Any) -> str | None:
    """As given, or the function's docstring."""
    if description is None and code is not None and not isinstance(code, str):
        return inspect.getdoc(code) or None
    return description


def _objects(*given: Any) -> dict[str, Any]:
    """Models and objects as one; raises InvalidInput for names that code could not use."""
    merged: dict[str, Any] = {}
    for kind, mapping in zip(("models", "objects"), given):
        if mapping is None:
            continue
        if not isinstance(mapping, Mapping):
            raise InvalidInput(
                f"{kind} is a {type(mapping).__name__}; expected names and values: {kind}={{'model': model}}"
            )
        for name, value in mapping.items():
            if not isinstance(name, str) or not name.replace(".", "_").isidentifier():
                raise InvalidInput(f"{kind}: {name!r} is no name that code could use")
            if name in merged:
                raise InvalidInput(f"{name!r} is among the models and among the objects; name it once")
            merged[name] = value
    return merged


def _files(files: Mapping[str, Any] | Sequence[Any] | None) -> dict[str, Any]:
    """Name on the server → path here, or content as bytes."""
    if files is None:
        return {}
    if isinstance(files, Mapping):
        return dict(files)
    listed = [files] if isinstance(files, str) else list(files)
    return {str(path).replace("\\", "/").rpartition("/")[2]: path for path in listed}
