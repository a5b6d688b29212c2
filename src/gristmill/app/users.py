"""`gristmill user`: local accounts, on the same database as a server that may be running."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from gristmill.auth import Passwords, Users
from gristmill.db import default_url, open_database
from gristmill.errors import GristmillError, InvalidInput
from gristmill.identity import Role
from gristmill.ports import User

__all__ = ["user_app", "with_users"]

T = TypeVar("T")
user_app = typer.Typer(
    no_args_is_help=True,
    help="""Manage local accounts.

    Works on the data directory (or database) of a server, running or not. A running server takes a change
    over within two seconds; a changed password or role, and a removed account, end that user's logins.

    Roles: an **owner** may do anything, a **contributor** may publish services and change his own, a
    **reader** may list and consume services.
    """,
    rich_markup_mode="markdown",
)

Name = Annotated[str, typer.Argument(help="The user's name, as given at login.", show_default=False)]
Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="GRISTMILL_DATA",
        help="Data directory of the server.",
        file_okay=False,
        metavar="DIR",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="GRISTMILL_DATABASE",
        help="URL of the server's database, if it is not in the data directory.",
        metavar="URL",
        show_default=False,
    ),
]
FromInput = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from the first line of standard input."),
]
DEFAULT_DATA = Path("gristmill-data")


@user_app.command()
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.CONTRIBUTOR,
    password_stdin: FromInput = False,
    data: Data = DEFAULT_DATA,
    database: Url = None,
) -> None:
    """Add an account; asks for its password, twice and hidden."""
    password = _password(password_stdin)
    _run(data, database, lambda users: users.add(name, password, role))
    typer.echo(f"Added {name}, {role}.")


@user_app.command(name="list")
def list_(data: Data = DEFAULT_DATA, database: Url = None) -> None:
    """List the accounts with their roles."""
    found = _run(data, database, lambda users: users.all())
    Console().print(_table(found))


@user_app.command()
def passwd(
    name: Name, password_stdin: FromInput = False, data: Data = DEFAULT_DATA, database: Url = None
) -> None:
    """Set a new password; asks for it, twice and hidden. The user has to log in again.

    While GRISTMILL_ADMIN_PASSWORD is set for the server, its next start gives admin that password again.
    """
    password = _password(password_stdin)
    _run(data, database, lambda users: users.set_password(name, password))
    typer.echo(f"Changed the password of {name}.")


@user_app.command()
def role(
    name: Name,
    role: Annotated[Role, typer.Argument(help="What the user may do from now on.", show_default=False)],
    data: Data = DEFAULT_DATA,
    database: Url = None,
) -> None:
    """Give a user another role. The user has to log in again."""
    _run(data, database, lambda users: users.set_role(name, role))
    typer.echo(f"{name} is {role} now.")


@user_app.command()
def remove(name: Name, data: Data = DEFAULT_DATA, database: Url = None) -> None:
    """Remove an account and end its logins. What the user published stays, and is served on."""
    _run(data, database, lambda users: users.remove(name))
    typer.echo(f"Removed {name}.")


async def with_users(url: str, work: Callable[[Users], Awaitable[T]]) -> T:
    """Run `work` on the accounts of the database at `url`."""
    database = await open_database(url)
    passwords = Passwords()
    try:
        return await work(Users(database.users, passwords))
    finally:
        passwords.close()
        await database.close()


def _run(data: Path, url: str | None, work: Callable[[Users], Awaitable[T]]) -> T:
    """`work`'s result; ends the command with a message if it cannot be done."""
    try:
        if url is None and not (data / "gristmill.db").exists():
            raise InvalidInput(
                f"there is no Gristmill database in {data}: name the server's directory with --data, "
                f"or make one by starting `gristmill serve --data {data}`"
            )
        return asyncio.run(with_users(url or default_url(data), work))
    except GristmillError as error:
        typer.secho(f"Error: {error.message}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from None


def _password(from_input: bool) -> str:
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return answer


def _table(users: list[User]) -> Table:
    table = Table("name", "role", "since", box=None, pad_edge=False)
    for user in users:
        table.add_row(user.name, user.role.value, user.created.strftime("%Y-%m-%d %H:%M UTC"))
    return table
