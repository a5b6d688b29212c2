"""The Python client's reference, made from its docstrings and signatures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import gristmill
from gristmill import client, compat
from gristmill.client import errors

FUNCTIONS = (
    "connect",
    "connect_async",
    "publish",
    "redeploy",
    "publish_realtime",
    "redeploy_realtime",
    "serialize_model",
    "service",
    "list_services",
    "delete",
    "session",
)
CLASSES = ("Client", "Service", "Result", "Session", "Frame", "Packed")
MODULE_PREFIXES = re.compile(r"\b(?:gristmill(?:\.\w+)*\.|collections\.abc\.|typing\.|pathlib\.)(?=\w)")


def render() -> str:
    """All of the page that is made."""
    parts = ["## Functions", *(function(getattr(gristmill, name), f"gristmill.{name}") for name in FUNCTIONS)]
    parts += [class_(getattr(client, name), f"{home(name)}.{name}") for name in CLASSES]
    parts.append(error_table())
    parts.append("## Names of ML Server's client: `gristmill.compat`")
    parts += [
        class_(getattr(compat, name), f"compat.{name}", level=3) for name in ("MLServer", "ServiceResponse")
    ]
    return "\n\n".join(parts)


def home(name: str) -> str:
    """Where a class is found."""
    return "gristmill" if name in gristmill.__all__ else "gristmill.client"


def function(thing: Callable[..., Any], name: str, level: int = 3) -> str:
    """Heading, signature and docstring."""
    return f"{'#' * level} `{name}`\n{code(signature(thing, name))}\n\n{text(thing)}"


def class_(thing: Any, name: str, level: int = 2) -> str:
    """A class with what one uses of it."""
    parts = [f"{'#' * level} `{name}`\n{text(thing)}"]
    properties = [(key, value) for key, value in members(thing) if isinstance(value, property)]
    if properties:
        rows = [f"| `{key}` | {first(value)} |" for key, value in properties]
        parts.append("\n".join(["| attribute | what |", "|---|---|", *rows]))
    for key, value in members(thing):
        if callable(value) and thing is client.Client and key in FUNCTIONS:
            parts.append(f"{'#' * (level + 1)} `{key}`\nAs `gristmill.{key}`, on this server.")
        elif callable(value):
            parts.append(function(value, key, level + 1))
    return "\n\n".join(parts)


def members(thing: Any) -> Iterator[tuple[str, Any]]:
    """Public members in the order in which they are written, those of bases first."""
    written = [pair for base in reversed(thing.__mro__[:-1]) for pair in vars(base).items()]
    seen = {
        key: value
        for key, value in written
        if not key.startswith("_") and (callable(value) or isinstance(value, property))
    }
    yield from seen.items()


def error_table() -> str:
    """Errors with what they stand for."""
    lines = [
        "## Errors",
        "All of them are in `gristmill.client.errors`, derived from `GristmillError`. Where it is known, an",
        "error has the attributes `service`, `parameter`, `expected`, `got` and `retry_after` (seconds).",
        "",
    ]
    rows = [
        f"| `{name}` | `{getattr(errors, name).__bases__[0].__name__}` | {first(getattr(errors, name))} |"
        for name in errors.__all__
        if isinstance(getattr(errors, name), type) and name != "GristmillError"
    ]
    return "\n".join([*lines, "| error | is a | when |", "|---|---|---|", *rows])


def signature(thing: Any, name: str) -> str:
    """As it is called: without self, one argument a line where it gets long."""
    found = inspect.signature(thing)
    parameters = [each for each in found.parameters.values() if each.name != "self"]
    plain = found.replace(parameters=parameters)
    called = name if "." in name else f".{name}"
    shown = f"{called}{plain}".replace("'", "")
    shown = (
        MODULE_PREFIXES.sub("", shown)
        if not shown.startswith("gristmill.")
        else ("gristmill." + MODULE_PREFIXES.sub("", shown[len("gristmill.") :]))
    )
    if len(shown) <= 100:
        return shown
    head, _, rest = shown.partition("(")
    inside, _, returns = rest.rpartition(")")
    return f"{head}(\n" + "".join(f"    {each},\n" for each in split(inside)) + f"){returns}"


def split(arguments: str) -> Iterator[str]:
    """Arguments, cut at the commas that are in no bracket."""
    depth, start = 0, 0
    for position, character in enumerate(arguments):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            yield arguments[start:position].strip()
            start = position + 1
    yield arguments[start:].strip()


def code(shown: str) -> str:
    return f"```python\n{shown}\n```"


def text(thing: Any) -> str:
    """The docstring; lines that describe an argument become a list."""
    lines: list[str] = []
    for line in (inspect.getdoc(thing) or "").splitlines():
        argument = re.match(r"([a-z_]+(?:, [a-z_]+)*): (.*)", line)
        if argument:
            lines.append(f"- `{argument[1]}`: {argument[2]}")
        else:
            lines.append(line)
    return re.sub(r"(\S)\n- `", r"\1\n- `", "\n".join(lines))


def first(thing: Any) -> str:
    """The docstring's first paragraph in one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()).replace("|", "\\|")
