"""Functions and texts → the block of code that a service runs at each call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gristmill.client.errors import InvalidInput, NotPortable
from gristmill.client.initcode import FUTURE, imports_of
from gristmill.client.names import names_of
from gristmill.client.needs import unmet
from gristmill.client.sources import Source, read_source
from gristmill.schema import Parameter

__all__ = ["Code", "function_block", "text_block"]


@dataclass(frozen=True)
class Code:
    """A block; `imports` are lines that must run before it."""

    text: str
    name: str | None = None
    imports: tuple[str, ...] = ()


def function_block(
    function: Callable[..., Any],
    inputs: Sequence[Parameter],
    outputs: Sequence[Parameter],
    given: Collection[str],
    *,
    runtime: str,
    check: bool,
) -> Code:
    """The function's source, and a call that sets the outputs. Raises NotPortable."""
    if runtime != "Python":
        raise InvalidInput(f"a Python function cannot run as a service of {runtime}; give the code as a text")
    source = read_source(function)
    imports = imports_of(source, given, check=check)
    call = f"{source.name}({_arguments(source, [each.name for each in inputs])})"
    # An output that the function declares global is there without being returned.
    globals_ = names_of(source.text).sets - {source.name}
    returned = [output.name for output in outputs if output.name not in globals_]
    if returned:
        call = f"{', '.join(returned)} = {call}"
    future = f"{FUTURE}\n\n" if source.annotated else ""
    return Code(f"{future}{source.text}\n{call}\n", source.name, imports)


def text_block(
    code: str,
    inputs: Sequence[Parameter],
    outputs: Sequence[Parameter],
    given: Collection[str],
    *,
    runtime: str,
    check: bool,
) -> Code:
    """The text, once it is sure that it finds what it reads and sets the outputs. Raises NotPortable."""
    if runtime == "Python" and check:
        known = {*given, *(each.name for each in inputs)}
        names = unmet(code, known, what="the code")
        for output in outputs:
            if output.name not in known | names.sets and not names.open:
                raise NotPortable(f"the code never sets the output {output.name!r}; nothing was sent")
    return Code(code)


def _arguments(source: Source, inputs: Sequence[str]) -> str:
    """Arguments of the call: by position as far as that goes, then by name."""
    parts, by_name = [], False
    for parameter in source.parameters:
        if parameter.name not in inputs:
            by_name = True
            continue
        by_name = by_name or parameter.kind is parameter.KEYWORD_ONLY
        parts.append(f"{parameter.name}={parameter.name}" if by_name else parameter.name)
    return ", ".join(parts)
