"""Commands that speak to a server: who one is, what there is, and removing it."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Callable, Optional

import typer

from gristmill.app.client_cli_batch import batch
from gristmill.app.client_cli_call import call
from gristmill.app.client_cli_common import (
    AsJson,
    Exit,
    ServiceName,
    Url,
    Version,
    Yes,
    confirmed,
    connected,
    fail,
    is_terminal,
    print_json,
    print_table,
    told,
)
from gristmill.app.client_cli_demo import demo
from gristmill.app.client_cli_move import export, import_
from gristmill.app.client_cli_publish import publish, redeploy
from gristmill.app.client_cli_session import session_app

__all__ = ["add_commands"]

ServerArgument = Annotated[
    Optional[str],
    typer.Argument(
        metavar="[URL]",
        show_default=False,
        envvar="GRISTMILL_URL",
        show_envvar=False,
        help="Address of the server; if left out, the last one, or http://127.0.0.1:12800.",
    ),
]


@told
def login(
    url: ServerArgument = None,
    username: Annotated[
        Optional[str], typer.Option("--username", "-u", help="Account; asked for if left out.")
    ] = None,
    password_stdin: Annotated[
        bool,
        typer.Option("--password-stdin", help="Read the password from the first line of standard input."),
    ] = False,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read an access token instead, of an identity provider.")
    ] = False,
) -> None:
    """Log in to a server, and stay so.

    Tokens, never the password, are kept in ~/.config/gristmill, which only you can read. Other commands, and
    gristmill.connect() in Python, find them there.

    [dim]Examples:[/dim]

      gristmill login http://127.0.0.1:12800

      echo "$PASSWORD" | gristmill login https://models.example.com -u ann --password-stdin
    """
    from gristmill.client import connect
    from gristmill.client.connecting import DEFAULT_URL
    from gristmill.client.profile import Profile, Saved, normal_url

    profile = Profile()
    address = normal_url(url or profile.current or DEFAULT_URL)
    if token_stdin:
        token = sys.stdin.readline().strip()
        with connect(address, token=token) as client:
            client.services()
        profile.save(address, Saved("", token, "", 0.0))
        typer.echo(f"Logged in to {address} with the token.")
        return
    known = profile.load(address)
    name = username or typer.prompt("Account", default=known.username if known else "admin", err=True)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt(f"Password of {name} at {address}", hide_input=True, err=True)
    connect(address, username=name, password=password, save=True).close()
    profile.make_current(address)
    typer.echo(f"Logged in to {address} as {name}.")


@told
def logout(
    url: ServerArgument = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Log out of every server.")] = False,
) -> None:
    """Log out: the tokens are revoked, and removed from ~/.config/gristmill.

    [dim]Example:[/dim]

      gristmill logout
    """
    from gristmill.client import connect
    from gristmill.client.errors import GristmillError
    from gristmill.client.profile import Profile, normal_url

    profile = Profile()
    wanted = list(profile.logins()) if everywhere else [normal_url(url or profile.current or "")]
    known = [each for each in wanted if profile.load(each) is not None]
    if not known:
        fail("you are not logged in" + (f" to {url}" if url else ""), Exit.NOT_ALLOWED)
    for address in known:
        try:
            connect(address, retries=0).logout()
        except GristmillError as error:
            profile.remove(address)
            typer.secho(f"The tokens are removed here, but not revoked: {error}", fg="yellow", err=True)
        typer.echo(f"Logged out of {address}.")


@told
def services(
    name: Annotated[
        Optional[str], typer.Argument(help="Show the versions of this one only.", show_default=False)
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List services; of one name the oldest version comes first.

    [dim]Examples:[/dim]

      gristmill services

      gristmill services bos-rf --json | jq -r '.[-1].version'
    """
    from gristmill.client.listing import HEADERS, row_of

    with connected(url) as client:
        found = client.services(name)
    if as_json:
        print_json([each.raw for each in found])
        return
    print_table(HEADERS, map(row_of, found), empty="There are no services yet: gristmill publish --help")


@told
def show(
    name: ServiceName,
    version: Annotated[str, typer.Argument(help="Its version.")] = "latest",
    code: Annotated[
        bool, typer.Option("--code", help="Print the code that it runs, and nothing else.")
    ] = False,
    swagger: Annotated[
        bool, typer.Option("--swagger", help="Print its Swagger document, for code generators.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a service: what it takes and gives, who published it, and how it is called.

    [dim]Examples:[/dim]

      gristmill show bos-rf

      gristmill show bos-rf 1.0.0 --swagger > bos-rf.json
    """
    with connected(url) as client:
        service = client.service(name, version)
        document = service.swagger() if swagger else None
    if document is not None or as_json:
        print_json(document if document is not None else service.details.raw)
    elif code:
        _print_code(service)
    else:
        typer.echo(typer.style(f"{service.name} {service.version}", bold=is_terminal()))
        print_table((), service.rows())
        typer.echo(f"\nTry: {_example(service)}")


def _print_code(service: Any) -> None:
    if not service.code:
        fail(
            f"{service.name} {service.version}: its code is shown only to those who may change it",
            Exit.NOT_ALLOWED,
        )
    if service.init_code:
        typer.echo(f"{service.init_code.rstrip()}\n")
    typer.echo(service.code.rstrip())


def _example(service: Any) -> str:
    """A command that would call it."""
    from gristmill.schema import ParameterType

    samples = {
        ParameterType.LOGICAL: "true",
        ParameterType.INTEGER: "1",
        ParameterType.NUMERIC: "1.5",
        ParameterType.CHARACTER: "text",
        ParameterType.VECTOR: "1,2,3",
        ParameterType.MATRIX: "@rows.csv",
        ParameterType.DATA_FRAME: "@rows.csv",
    }
    inputs = [f"{each.name}={samples[each.type]}" for each in service.inputs]
    return " ".join(["gristmill call", service.name, service.version, *inputs])


@told
def delete(
    name: ServiceName,
    version: Version,
    yes: Yes = False,
    url: Url = None,
) -> None:
    """Delete a version of a service; calls in flight finish, later ones get an error.

    [dim]Example:[/dim]

      gristmill delete bos-rf 1.0.0 --yes
    """
    confirmed(f"Delete {name} {version}?", yes=yes)
    with connected(url) as client:
        client.delete(name, version)
    typer.echo(f"Deleted {name} {version}.")


def add_commands(app: typer.Typer) -> None:
    """Register them all."""
    panels: dict[str, tuple[Callable[..., None], ...]] = {
        "Log in": (login, logout),
        "Use services": (services, show, call, batch),
        "Publish services": (publish, redeploy, delete),
    }
    for panel, commands in panels.items():
        for command in commands:
            app.command(rich_help_panel=panel)(command)
    app.command("export", rich_help_panel="Publish services")(export)
    app.command("import", rich_help_panel="Publish services")(import_)
    app.add_typer(session_app, name="session", rich_help_panel="Work on the server")
    app.command(rich_help_panel="Work on the server")(demo)
