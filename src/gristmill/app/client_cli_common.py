"""What the client's commands share: the server they speak to, their exit codes, and how they print."""

from __future__ import annotations

import enum
import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Optional, TypeVar

import typer

if TYPE_CHECKING:
    from gristmill.client import Client

__all__ = [
    "AsJson",
    "Exit",
    "ServiceName",
    "Url",
    "Version",
    "Yes",
    "confirmed",
    "connected",
    "evaluated",
    "fail",
    "is_terminal",
    "note",
    "print_json",
    "print_table",
    "told",
    "uploads",
]

F = TypeVar("F", bound=Callable[..., Any])


class Exit(enum.IntEnum):
    """Exit codes, the same for all commands."""

    DONE = 0
    FAILED = 1  #: anything that the others do not name
    USAGE = 2  #: the command was not written as it should be
    NOT_ALLOWED = 3  #: not logged in, wrong password, or no right to do it
    NOT_FOUND = 4  #: no such service, version, session, file …
    REFUSED = 5  #: what was sent is not valid, or exists already
    CODE_FAILED = 6  #: the service's or the session's own code failed
    UNREACHABLE = 7  #: no answer: not running, busy, or too slow


Url = Annotated[
    Optional[str],
    typer.Option(
        "--url",
        envvar="GRISTMILL_URL",
        show_envvar=False,
        show_default=False,
        metavar="URL",
        help="The server, if it is not the one that you logged in to last.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _names(incomplete: str) -> Iterator[str]:
    """Names of services that begin so, for completion; a shell that completes is never told of errors."""
    from gristmill.client.errors import GristmillError

    try:
        with connected(None, timeout=2.0) as client:
            yield from sorted({each.name for each in client.services() if each.name.startswith(incomplete)})
    except GristmillError:
        return


def _versions(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Versions of the service that was named before."""
    from gristmill.client.errors import GristmillError

    try:
        with connected(None, timeout=2.0) as client:
            versions = [each.version for each in client.services(ctx.params.get("name"))]
            yield from (each for each in versions if each.startswith(incomplete))
    except GristmillError:
        return


ServiceName = Annotated[
    str, typer.Argument(help="Name of the service.", show_default=False, autocompletion=_names)
]
Version = Annotated[
    str, typer.Argument(help="Its version.", show_default=False, metavar="VERSION", autocompletion=_versions)
]


@contextmanager
def connected(url: Optional[str], *, timeout: float = 300.0) -> Iterator[Client]:
    """A client of the server, by the login that `gristmill login` has kept, or by the environment."""
    from gristmill.client import connect

    with connect(url, timeout=timeout) as client:
        yield client


def told(command: F) -> F:
    """The command, with errors as one message and an exit code instead of a traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        from gristmill.client.errors import GristmillError

        try:
            return command(*args, **kwargs)
        except GristmillError as error:
            fail(str(error), _code(error))
        except BrokenPipeError:  # whoever read us has seen enough
            sys.stderr.close()
            raise typer.Exit(Exit.DONE) from None

    return evaluated(run)  # type: ignore[return-value]


def evaluated(command: F) -> F:
    """The command with its annotations as objects: under Python 3.9 typer does not evaluate texts itself."""
    names = inspect.unwrap(command).__globals__
    signature = inspect.signature(command)
    parameters = [
        each.replace(annotation=eval(each.annotation, names))  # noqa: S307 - annotations of our own
        if isinstance(each.annotation, str)
        else each
        for each in signature.parameters.values()
    ]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


def fail(message: str, code: Exit) -> NoReturn:
    """Say what went wrong, and end."""
    typer.secho(f"Error: {message}", fg="red", err=True)
    raise typer.Exit(code)


def confirmed(question: str, *, yes: bool) -> None:
    """Ask before something is deleted, unless the answer is given already; goes on only after a yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail("nobody is there to be asked: say --yes", Exit.USAGE)
    typer.confirm(question, abort=True, err=True)


def note(message: str) -> None:
    """Say something beside the result, on standard error."""
    typer.secho(message, dim=True, err=True)


def _code(error: Exception) -> Exit:
    from gristmill.client import errors

    for kinds, code in (
        ((errors.CodeFailed,), Exit.CODE_FAILED),
        ((errors.NotAuthenticated, errors.Forbidden, errors.TooManyAttempts), Exit.NOT_ALLOWED),
        ((errors.NotFound, errors.Gone), Exit.NOT_FOUND),
        ((errors.InvalidInput, errors.Conflict, errors.TooLarge, errors.NotSupported), Exit.REFUSED),
        ((errors.Unreachable, errors.Overloaded, errors.TimedOut, errors.ShellDied), Exit.UNREACHABLE),
    ):
        if isinstance(error, kinds):
            return code
    return Exit.FAILED


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """JSON, indented for people and in one line for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2 if is_terminal() else None))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "") -> None:
    """A table on a terminal; in a pipe, lines of cells with tabs between them and no headers."""
    listed = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not is_terminal():
        for row in listed:
            typer.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    if not listed:
        typer.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(headers))
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in listed:
        table.add_row(*map(Text, row))
    Console().print(table)


@contextmanager
def uploads() -> Iterator[Optional[Callable[[str, int, int], None]]]:
    """A callback that draws a bar for each upload, on a terminal; None where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def sent(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)

        yield sent
