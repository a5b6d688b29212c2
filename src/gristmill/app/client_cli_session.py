"""`gristmill session`: a live R or Python on the server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from gristmill.app.client_cli_common import (
    AsJson,
    Exit,
    Url,
    connected,
    fail,
    note,
    print_json,
    print_table,
    told,
)

if TYPE_CHECKING:
    from gristmill.client import Client, Result, Session

__all__ = ["session_app"]

session_app = typer.Typer(
    no_args_is_help=True,
    help="Work in a live R or Python on the server: run code, move files, or type at its prompt.",
    rich_markup_mode="rich",
)


class Language(str, Enum):
    """What a session runs."""

    R = "R"
    PYTHON = "Python"


Id = Annotated[str, typer.Argument(help="The session's id, or its beginning.", show_default=False)]
Runtime = Annotated[Language, typer.Option("--runtime", "-r", help="Language of a new session.")]
Existing = Annotated[
    Optional[str],
    typer.Option(
        "--session", "-s", metavar="ID", help="Use this session, and leave it open.", show_default=False
    ),
]


@session_app.command("start")
@told
def start(
    runtime: Runtime = Language.PYTHON,
    name: Annotated[str, typer.Option("--name", help="What you call it.")] = "",
    url: Url = None,
) -> None:
    """Start a session and print its id. It lives until it is closed, or has been idle for long.

    [dim]Example:[/dim]

      id=$(gristmill session start --runtime R)
    """
    with connected(url) as client:
        typer.echo(client.session(runtime.value, name=name).id)


@session_app.command("list")
@told
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """List your sessions.

    [dim]Example:[/dim]

      gristmill session list
    """
    with connected(url) as client:
        rows = [(each.id, each.runtime, each.name) for each in client.sessions()]
    if as_json:
        print_json([dict(zip(("id", "runtime", "name"), row)) for row in rows])
    else:
        print_table(("id", "runtime", "name"), rows, empty="You have no sessions.")


@session_app.command("run")
@told
def run(
    file: Annotated[
        Optional[Path],
        typer.Argument(help="A file of code; - is standard input.", show_default=False, allow_dash=True),
    ] = None,
    code: Annotated[
        Optional[str], typer.Option("--code", "-c", help="Code to run instead.", show_default=False)
    ] = None,
    session: Existing = None,
    runtime: Runtime = Language.PYTHON,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Run code on the server and print what it prints.

    It runs in a session that is closed afterwards, unless one is named. A file that ends with
    .R runs in R. Ctrl-C interrupts the code. Status 6 says that the code failed.

    [dim]Examples:[/dim]

      gristmill session run train.R

      gristmill session run -c 'import sklearn; print(sklearn.__version__)'
    """
    text = _code(file, code)
    wanted = Language.R if file is not None and file.suffix.lower() == ".r" else runtime
    with connected(url) as client, _lent(client, session, wanted) as lent:
        result = interruptible(lent, text)
    if as_json:
        print_json(result.raw)
    else:
        typer.echo(result.console_output, nl=False)
        if result.changed_files:
            note(f"files: {', '.join(result.changed_files)}")
    if not result.success:
        if not as_json:
            typer.secho((result.error or "").rstrip(), fg="red", err=True)
        raise typer.Exit(Exit.CODE_FAILED)


@session_app.command("prompt")
@told
def prompt(
    session: Existing = None,
    runtime: Runtime = Language.PYTHON,
    url: Url = None,
) -> None:
    """Type at a session's prompt.

    Ctrl-C interrupts what runs; Ctrl-D ends, and closes the session unless it was named.

    [dim]Example:[/dim]

      gristmill session prompt --runtime R
    """
    from gristmill.app.client_cli_prompt import talk

    with connected(url) as client, _lent(client, session, runtime) as lent:
        talk(lent, interruptible)


@session_app.command("files")
@told
def files(id: Id, url: Url = None) -> None:
    """List the files of a session's working directory.

    [dim]Example:[/dim]

      gristmill session files 3f2a
    """
    with connected(url) as client:
        for name in _find(client, id).files():
            typer.echo(name)


@session_app.command("objects")
@told
def objects(id: Id, url: Url = None) -> None:
    """List a session's variables.

    [dim]Example:[/dim]

      gristmill session objects 3f2a
    """
    with connected(url) as client:
        for name in _find(client, id).objects():
            typer.echo(name)


@session_app.command("upload")
@told
def upload(
    id: Id,
    paths: Annotated[list[Path], typer.Argument(help="Files to send.", show_default=False)],
    url: Url = None,
) -> None:
    """Put files into a session's working directory.

    [dim]Example:[/dim]

      gristmill session upload 3f2a train.csv
    """
    with connected(url) as client:
        found = _find(client, id)
        for path in paths:
            typer.echo(found.upload(path))


@session_app.command("download")
@told
def download(
    id: Id,
    name: Annotated[str, typer.Argument(help="The file there.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", "-o", help="Folder or path here.")] = Path(),
    url: Url = None,
) -> None:
    """Fetch a file of a session's working directory.

    [dim]Example:[/dim]

      gristmill session download 3f2a Rplot001.png --to plots/
    """
    with connected(url) as client:
        content = _find(client, id).download(name, to)
    note(f"{name}: {len(content):,} bytes")


@session_app.command("close")
@told
def close(
    ids: Annotated[Optional[list[str]], typer.Argument(help="Sessions to close.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Close all of yours.")] = False,
    url: Url = None,
) -> None:
    """Close sessions, also those that are busy; their variables and files are gone.

    [dim]Example:[/dim]

      gristmill session close 3f2a
    """
    if bool(ids) == everything:
        fail("name the sessions to close, or say --all", Exit.USAGE)
    with connected(url) as client:
        for each in client.sessions() if everything else [_find(client, id) for id in ids or ()]:
            each.close(force=True)
            typer.echo(f"Closed {each.id}.")


def interruptible(session: Session, code: str) -> Result:
    """Run code; Ctrl-C interrupts it on the server, and then waits for its end."""
    import threading

    answers: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(session.execute(code))
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
            errors.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    while worker.is_alive():
        try:
            worker.join()
        except KeyboardInterrupt:
            note("interrupting …")
            session.cancel()
    if errors:
        raise errors[0]
    return answers[0]


@contextmanager
def _lent(client: Client, id: Optional[str], runtime: Language) -> Iterator[Session]:
    """The session that was named; else a new one, closed afterwards."""
    if id is not None:
        yield _find(client, id)
        return
    with client.session(runtime.value, name="command line") as session:
        yield session


def _find(client: Client, id: str) -> Session:
    from gristmill.client.errors import NotFound

    found = [each for each in client.sessions() if each.id.startswith(id)]
    if len(found) != 1:
        many = f"{len(found)} of your sessions begin" if found else "no session of yours begins"
        raise NotFound(f"{many} with {id}; gristmill session list shows them")
    return found[0]


def _code(file: Optional[Path], code: Optional[str]) -> str:
    if (file is None) == (code is None):
        fail("give either a file or --code", Exit.USAGE)
    if code is not None:
        return code
    assert file is not None
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", Exit.USAGE)
