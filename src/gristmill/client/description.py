"""A published version, as the server describes it."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gristmill.client.connection import path_of
from gristmill.client.errors import UnexpectedAnswer
from gristmill.client.types import PYTHON_TYPES, shown
from gristmill.errors import InvalidInput
from gristmill.schema import Parameter, parse_parameters

__all__ = ["Description", "arguments", "docstring", "python_name", "signature"]


@dataclass(frozen=True)
class Description:
    """What is known of a service version, without calling it."""

    name: str
    version: str
    runtime: str
    alias: str  #: name of the operation, and of the method that calls it
    description: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    artifacts: tuple[str, ...]  #: files that each answer brings
    published_by: str
    created: str  #: ISO 8601, UTC
    writable: bool  #: whether the one who asked may change it
    batchable: bool
    code: str  #: empty for those who may not change it
    init_code: str
    raw: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)

    @property
    def label(self) -> str:
        """Name and version, as errors have it."""
        return f"{self.name} {self.version}"

    @property
    def path(self) -> str:
        """Where it is called."""
        return path_of("api", self.name, self.version)

    @staticmethod
    def parse(answer: Any) -> Description:
        """Of the protocol's `WebService`; raises UnexpectedAnswer for anything else."""
        try:
            return Description(
                name=answer["name"],
                version=answer["version"],
                runtime=answer.get("runtimeType") or "R",
                alias=answer.get("operationId") or "consume",
                description=answer.get("description") or "",
                inputs=parse_parameters(answer.get("inputParameterDefinitions") or []),
                outputs=parse_parameters(answer.get("outputParameterDefinitions") or []),
                artifacts=tuple(answer.get("outputFileNames") or ()),
                published_by=answer.get("versionPublishedBy") or "",
                created=answer.get("creationTime") or "",
                writable=answer.get("myPermissionOnService") != "read only",
                batchable=bool(answer.get("batchable")),
                code=answer.get("code") or "",
                init_code=answer.get("initCode") or "",
                raw=answer,
            )
        except (KeyError, TypeError, AttributeError, InvalidInput) as error:
            raise UnexpectedAnswer(f"the server described a service in an unknown way: {error!r}") from None


def python_name(name: str) -> str:
    """A parameter's or operation's name as Python can write it: R allows dots, and Python's keywords."""
    made = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
    if not made or made[0].isdigit():
        made = f"_{made}"
    return f"{made}_" if keyword.iskeyword(made) else made


def signature(description: Description, *, returns: str, bound: bool = False) -> inspect.Signature:
    """The signature of the method that calls the service."""
    parameters: list[inspect.Parameter] = []
    if not bound:
        parameters.append(inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY))
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters += [
        inspect.Parameter(python_name(each.name), kind, annotation=PYTHON_TYPES[each.type])
        for each in description.inputs
    ]
    return inspect.Signature(parameters, return_annotation=returns)


def docstring(description: Description) -> str:
    """What `help()` shows of that method."""
    parts = [
        f"Call {description.label}." + (f" {description.description}" if description.description else "")
    ]
    for title, listed in (("Inputs", description.inputs), ("Outputs", description.outputs)):
        if listed:
            parts.append(f"{title}:\n" + "\n".join(f"    {each.name}: {shown(each)}" for each in listed))
    if description.artifacts:
        parts.append("Files:\n" + "\n".join(f"    {name}" for name in description.artifacts))
    return "\n\n".join(parts)


def arguments(description: Description, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs by their own names; a call gives them by position, by name, or by the name as Python writes it.

    Raises InvalidInput that names what is missing, surplus or given twice.
    """
    names = [each.name for each in description.inputs]
    expected = ", ".join(names) or "none"
    if len(args) > len(names):
        raise _refuse(description, f"{len(args)} inputs were given, {len(names)} are expected: {expected}")
    given: dict[str, Any] = dict(zip(names, args))
    forms = {**{python_name(name): name for name in names}, **{name: name for name in names}}
    for key, value in kwargs.items():
        name = forms.get(key)
        if name is None:
            raise _refuse(description, f"there is no input {key!r}; expected: {expected}", key)
        if name in given:
            raise _refuse(description, f"the input {name!r} was given twice", name)
        given[name] = value
    missing = [name for name in names if name not in given]
    if missing:
        raise _refuse(description, f"the input {missing[0]!r} is missing; expected: {expected}", missing[0])
    return given


def _refuse(description: Description, message: str, parameter: str | None = None) -> InvalidInput:
    error = InvalidInput(f"{description.label}: {message}")
    error.service, error.parameter = description.label, parameter
    return error
