"""`gristmill status`."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from gristmill.app.client_cli_common import (
    AsJson,
    Exit,
    Url,
    connected,
    print_json,
    told,
)

__all__ = ["status"]

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}


@told
def status(
    url: Url = None,
    username: Annotated[
        str, typer.Option(help="Account to log in with, if a password is given.", envvar="GRISTMILL_USERNAME")
    ] = "admin",
    password: Annotated[
        Optional[str],
        typer.Option(
            help="Its password; without one the login of `gristmill login` is used.",
            envvar=["GRISTMILL_PASSWORD", "GRISTMILL_ADMIN_PASSWORD"],
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the health of a running server, down to each pool of shells.

    Ends with 0 when all is well or a part only warns, 1 when something fails, 7 when there is no answer.

    [dim]Example:[/dim]

      gristmill status --url http://127.0.0.1:12800
    """
    from gristmill.client import connect

    login = connect(url, username=username, password=password) if password else None
    with login or connected(url) as client:
        report = client.status()
    if as_json:
        print_json(report)
    else:
        _show(client.url, report, "")
    raise typer.Exit(Exit.FAILED if report["statusCode"] == "fail" else Exit.DONE)


def _show(name: str, part: dict[str, Any], indent: str) -> None:
    code = part["statusCode"]
    details = part.get("details") or {}
    plain = ", ".join(
        f"{key} {value}" for key, value in details.items() if not isinstance(value, (list, dict))
    )
    typer.echo(indent + typer.style(f"{code:5}", fg=_COLOURS.get(code)) + f"{name}  {plain}".rstrip())
    for warning in details.get("warnings", []):
        typer.secho(f"{indent}       {warning}", fg="yellow")
    for child, value in (part.get("components") or {}).items():
        _show(child, value, indent + "  ")
