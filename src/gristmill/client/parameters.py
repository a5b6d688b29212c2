"""Inputs and outputs as authors give them: a mapping, a sample frame, or a function's annotations."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from gristmill.client.errors import InvalidInput
from gristmill.client.sources import read_source
from gristmill.client.types import Frame, is_a, of_columns, parameter_of
from gristmill.schema import Parameter

__all__ = ["DEFAULT_OUTPUT", "inputs_of_function", "named", "outputs_of_function"]

#: What the one output of a function is called if its author does not say.
DEFAULT_OUTPUT = "result"


def named(given: Any, *, what: str) -> tuple[Parameter, ...]:
    """Parameters of a mapping from names to types, or of a list of `Parameter`s. Raises InvalidInput."""
    if isinstance(given, Mapping):
        return tuple(parameter_of(str(name), spec, what=what) for name, spec in given.items())
    if isinstance(given, (list, tuple)) and all(isinstance(each, Parameter) for each in given):
        return tuple(given)
    raise InvalidInput(
        f"{what}s are a {type(given).__name__}; expected names and types, as in {what}s={{'x': float}}"
    )


def inputs_of_function(function: Callable[..., Any], given: Any) -> tuple[Parameter, ...]:
    """One parameter per argument, in order: as given, else as annotated.

    given: a mapping by argument; a sample frame (or `Frame`) for the one argument, or with a column for each
    argument; or None. Arguments with defaults that nothing speaks of are left to their defaults.
    """
    source = read_source(function)
    arguments = [parameter.name for parameter in source.parameters]
    specs = _specs(source.name, arguments, given)
    hints = _hints(source.function)
    surplus = [name for name in specs if name not in arguments]
    if surplus:
        raise InvalidInput(
            f"{source.name} has no argument {surplus[0]!r}; there are: {', '.join(arguments) or 'none'}"
        )
    made: list[Parameter] = []
    for parameter in source.parameters:
        spec = specs.get(parameter.name, hints.get(parameter.name))
        if spec is not None:
            made.append(parameter_of(parameter.name, spec, what=f"{source.name}, input"))
        elif parameter.default is parameter.empty:
            raise InvalidInput(
                f"{source.name}: the input {parameter.name!r} has no type; annotate the argument, "
                f"or say inputs={{{parameter.name!r}: …}} with a type or a sample"
            )
    return tuple(made)


def outputs_of_function(function: Callable[..., Any]) -> tuple[Parameter, ...] | None:
    """The one output that a return annotation tells of; None without one. Raises InvalidInput."""
    source = read_source(function)
    hint = _hints(source.function).get("return")
    if hint is None or hint is type(None):
        return None
    return (parameter_of(DEFAULT_OUTPUT, hint, what=f"{source.name}, output"),)


def _specs(name: str, arguments: list[str], given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if is_a(given, "pandas.DataFrame", "polars.DataFrame") and set(arguments) <= set(given.columns):
        return {parameter.name: parameter for parameter in of_columns(given, arguments)}
    if isinstance(given, Frame) or hasattr(given, "columns") or hasattr(given, "dtype"):
        if len(arguments) != 1:
            raise InvalidInput(
                f"{name} has {len(arguments)} arguments ({', '.join(arguments)}) and inputs is one sample; "
                "give a sample for each, by name, or a frame with a column for each"
            )
        return {arguments[0]: given}
    return {parameter.name: parameter for parameter in named(given, what="input")}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations: as types, or as the texts that they are where a name in them is not to be had."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - evaluating annotations can raise anything; as texts they serve as well
        hints = dict(inspect.getfullargspec(function).annotations)
    return hints
