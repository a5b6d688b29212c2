"""The prompt of a session: lines are read here, and run there."""

from __future__ import annotations

import codeop
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Optional

import typer

if TYPE_CHECKING:
    from gristmill.client import Result, Session

__all__ = ["is_complete", "talk"]

_PAIRS = {")": "(", "]": "[", "}": "{"}
_R_OPERATORS = ("+", "-", "*", "/", "<-", "=", ",", "|>", "%>%", "&", "|", "~", "else")


def talk(session: Session, run: Callable[[Session, str], Result]) -> None:
    """Read, run, print, until the input ends."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() its history and editing
    typer.secho(f"{session.runtime} on the server, session {session.id}. Ctrl-D ends.", dim=True, err=True)
    while True:
        code = _statement(session.runtime)
        if code is None:
            return
        if not code.strip():
            continue
        result = run(session, code)
        typer.echo(
            result.console_output, nl=not result.console_output.endswith("\n") and bool(result.console_output)
        )
        if not result.success:
            typer.secho((result.error or "").rstrip(), fg="red", err=True)
        if result.changed_files:
            typer.secho(f"files: {', '.join(result.changed_files)}", dim=True, err=True)


def _statement(runtime: str) -> Optional[str]:
    """Lines up to the end of a statement; None at the end of input."""
    lines: list[str] = []
    while True:
        try:
            lines.append(input(f"{runtime}> " if not lines else "." * len(runtime) + "> "))
        except EOFError:
            typer.echo()
            return None
        except KeyboardInterrupt:
            typer.echo()
            return ""
        if is_complete(runtime, "\n".join(lines)):
            return "\n".join(lines)


def is_complete(runtime: str, code: str) -> bool:
    """Whether a statement ends here; what is wrong is complete too, and the server says why."""
    if runtime == "Python":
        try:
            return codeop.compile_command(code, symbol="exec" if "\n" in code else "single") is not None
        except (SyntaxError, ValueError, OverflowError):
            return True
    return _r_is_complete(code)


def _r_is_complete(code: str) -> bool:
    """By brackets, quotes and a last operator; nearly what R itself would say."""
    open_: list[str] = []
    quote = ""
    last = ""
    position = 0
    while position < len(code):
        character = code[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"`":
            quote = character
        elif character == "#":
            position = code.find("\n", position)
            if position < 0:
                break
        elif character in _PAIRS.values():
            open_.append(character)
        elif character in _PAIRS and (not open_ or open_.pop() != _PAIRS[character]):
            return True
        last += character if character != "#" else ""
        position += 1
    return not open_ and not quote and not last.rstrip().endswith(_R_OPERATORS)
