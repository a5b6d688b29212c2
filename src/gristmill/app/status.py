"""`gristmill status`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = ["status"]

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}


def status(
    url: Annotated[
        str, typer.Option(help="Address of the server.", envvar="GRISTMILL_URL")
    ] = "http://127.0.0.1:12800",
    username: Annotated[
        str, typer.Option(help="Account to log in with.", envvar="GRISTMILL_USERNAME")
    ] = "admin",
    password: Annotated[
        str | None,
        typer.Option(
            help="Its password; asked for on a terminal if it is not given.",
            envvar=["GRISTMILL_PASSWORD", "GRISTMILL_ADMIN_PASSWORD"],
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The server's answer as JSON.")] = False,
) -> None:
    """Show the health of a running server, down to each pool of shells.

    Ends with 0 when all is well or a part only warns, 1 when something fails, 2 when there is no answer.

    [dim]Example:[/dim]

      gristmill status --url http://127.0.0.1:12800
    """
    import httpx

    if password is None:
        password = typer.prompt(f"Password of {username}", hide_input=True, err=True)
    try:
        with httpx.Client(base_url=url, timeout=10) as client:
            answer = client.post("/login", json={"username": username, "password": password})
            if answer.is_success:
                token = answer.json()["access_token"]
                answer = client.get("/status", headers={"Authorization": f"Bearer {token}"})
    except httpx.HTTPError as error:
        typer.secho(f"gristmill status: no answer from {url}: {error}. Is it running?", fg="red", err=True)
        raise typer.Exit(2) from None
    if not answer.is_success:
        typer.secho(f"gristmill status: {url} refused: {_message(answer)}", fg="red", err=True)
        raise typer.Exit(2)
    report = answer.json()
    if as_json:
        typer.echo(answer.text)
    else:
        _show(url, report, "")
    raise typer.Exit(1 if report["statusCode"] == "fail" else 0)


def _message(answer: Any) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {answer.status_code}"


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
