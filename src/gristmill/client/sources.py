"""The source of a function: what travels, so that it runs under whatever Python the server has."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gristmill.client.errors import NotPortable

__all__ = ["Source", "has_source", "read_source"]


@dataclass(frozen=True)
class Source:
    """A function as text: its definition at the margin, and what is known of it."""

    name: str
    text: str
    function: Callable[..., Any]
    parameters: tuple[inspect.Parameter, ...]

    @property
    def doc(self) -> str:
        """Its docstring, cleaned; empty without one."""
        return inspect.getdoc(self.function) or ""

    @property
    def annotated(self) -> bool:
        """Whether it has annotations, which the server is not to evaluate."""
        return any(
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and (
                node.returns
                or any(each.annotation for each in ast.walk(node.args) if isinstance(each, ast.arg))
            )
            for node in ast.walk(ast.parse(self.text))
        )


def has_source(value: Any) -> bool:
    """Whether a value is a plain function whose source can be had."""
    if not isinstance(value, types.FunctionType) or value.__name__ == "<lambda>":
        return False
    try:
        read_source(value)
    except NotPortable:
        return False
    return True


def read_source(function: Any) -> Source:
    """The source of a plain function; raises NotPortable that says what to do about any other."""
    name = getattr(function, "__name__", type(function).__name__)
    reason = _unfit(function)
    if reason:
        raise NotPortable(f"{name} cannot be published: {reason}")
    text, node = _definition(function)
    outer = inspect.unwrap(function).__qualname__.split(".")[:-1]
    if outer and outer[-1] != "<locals>":
        raise NotPortable(f"{name} is defined in the class {outer[-1]}; write it as a function of its own")
    parameters = tuple(inspect.signature(function, follow_wrapped=True).parameters.values())
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise NotPortable(
                f"{name} takes *{parameter.name}: the inputs of a service have names, so list them one by one"
            )
    return Source(node.name, text, inspect.unwrap(function), parameters)


def _unfit(function: Any) -> str:
    """Why something is no plain function, or an empty text."""
    write = "write a function with def that calls it"
    if isinstance(function, functools.partial):
        return f"it is a functools.partial; {write}, and pass what it binds with objects={{…}}"
    if inspect.ismethod(function):
        return f"it is a method of an object; {write}, and pass the object with objects={{…}}"
    if isinstance(function, type):
        return f"it is a class; {write}"
    if not isinstance(function, types.FunctionType):
        kind = (
            "it is built in" if callable(function) else f"it is a {type(function).__name__}, not a function"
        )
        return f"{kind}; {write}" if callable(function) else f"{kind} and not a text of code"
    if function.__name__ == "<lambda>":
        return "a lambda has neither a name nor a source of its own; write it as a function with def"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "it is asynchronous, and a service runs one call at a time; write it with a plain def"
    if inspect.isgeneratorfunction(function):
        return "it is a generator; return a list or an array instead"
    return ""


def _definition(function: Any) -> tuple[str, ast.FunctionDef]:
    """The text of the definition at the margin, and its tree."""
    name = function.__name__
    try:
        lines = inspect.getsource(function)
    except (OSError, TypeError) as error:
        raise NotPortable(
            f"the source of {name} cannot be found ({error}). Functions typed at a prompt or made by exec "
            "have none: write it in a file or a notebook's cell, or publish its code as a text"
        ) from None
    text = textwrap.dedent(lines)
    if text[:1].isspace():  # a text in it begins at the margin
        text = "if True:\n" + lines
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise NotPortable(
            f"what was found as the source of {name} does not parse (line {error.lineno}): its file may have "
            "changed since it was loaded; load it again"
        ) from None
    try:
        compile(text, name, "exec")
    except SyntaxError as error:
        raise NotPortable(f"{name} cannot stand alone: {error.msg}; return values instead") from None
    node = next((each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)), None)
    if node is None or node.name != inspect.unwrap(function).__name__:
        raise NotPortable(
            f"what was found as the source of {name} is not its definition: its file may have changed "
            "since it was loaded; load it again"
        )
    return text.rstrip() + "\n", node
