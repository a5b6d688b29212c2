"""The `gristmill` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gristmill import __version__
from gristmill.app.client_cli import add_commands
from gristmill.app.client_cli_common import evaluated
from gristmill.app.status import status

__all__ = ["app", "main"]

app = typer.Typer(
    name="gristmill",
    help="Publish fitted models, in R or Python, as named, versioned, secured web services.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_commands(app)
if sys.version_info >= (3, 11):
    from gristmill.app.azure_cli import add_commands as add_azure_commands
    from gristmill.app.build_cli import add_commands as add_build_commands
    from gristmill.app.deploy_cli import add_commands as add_deploy_commands
    from gristmill.app.serve import serve

    app.command(rich_help_panel="Administer")(serve)
    add_build_commands(app)
    add_deploy_commands(app)
    add_azure_commands(app)
app.command(rich_help_panel="Administer")(status)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gristmill {__version__}")
        raise typer.Exit


@app.callback()
@evaluated
def _global(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Publish fitted models, in R or Python, as named, versioned, secured web services."""


def _add_users() -> None:
    """`gristmill user` needs the server's parts; without them the base install has no such command."""
    try:
        from gristmill.app.users import user_app
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("gristmill"):
            raise
        return
    app.add_typer(user_app, name="user", rich_help_panel="Administer")


def main() -> None:
    """Entry point of the console script."""
    # Importing the account store takes longer than all the rest; other commands do without it.
    if len(sys.argv) < 2 or sys.argv[1] in {"user", "-h", "--help"} or "--show-completion" in sys.argv:
        _add_users()
    app()
