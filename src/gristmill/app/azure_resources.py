"""What `gristmill azure group`, `registry` and `cluster` have in common: arguments, and how they print."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gristmill.app.client_cli_common import print_json, print_table

__all__ = ["Location", "Name", "done", "gone", "listed"]

Name = Annotated[str, typer.Argument(help="Its name.", show_default=False)]
Location = Annotated[
    str | None,
    typer.Option("--location", "-l", help="Where, if not where its group is.", show_default=False),
]


def done(dry_run: bool, as_json: bool, what: dict[str, Any]) -> None:
    """Show what was found or made; of a dry run all has been shown."""
    if dry_run:
        return
    if as_json:
        print_json(what)
        return
    shown = {key: ", ".join(value) if isinstance(value, list) else value for key, value in what.items()}
    print_table((), list(shown.items()))


def listed(rows: list[dict[str, Any]], headers: tuple[str, ...], as_json: bool, empty: str) -> None:
    """Show all of them."""
    if as_json:
        print_json(rows)
    else:
        print_table(headers, [tuple(each.values()) for each in rows], empty=empty)


def gone(dry_run: bool, what: str) -> None:
    """Say so."""
    if not dry_run:
        typer.echo(f"Deleted {what}.")
