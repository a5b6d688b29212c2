"""What the commands of `gristmill azure` share: options, login, dry run, and their end by Ctrl-C."""

from __future__ import annotations

import enum
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.app.azure_progress import watching
from gristmill.app.client_cli_common import Exit, fail, note

if TYPE_CHECKING:
    from gristmill.deploy.azure import Azure
    from gristmill.deploy.azure.dry_run import Shown

__all__ = [
    "CloudName",
    "CloudOption",
    "DryRun",
    "Group",
    "Subscription",
    "opened",
    "place",
]

_WHERE = "Where"
_INTERRUPTED = 130  #: as shells say it of SIGINT
_NO_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"


class CloudName(enum.StrEnum):
    """Azure's clouds."""

    PUBLIC = "AzurePublic"
    CHINA = "AzureChina"
    GOVERNMENT = "AzureGovernment"


Group = Annotated[
    str,
    typer.Option("--resource-group", "-g", help="Name of the resource group.", rich_help_panel=_WHERE),
]
Subscription = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        envvar="AZURE_SUBSCRIPTION_ID",
        show_envvar=False,
        help="Its id, if not AZURE_SUBSCRIPTION_ID, the default of the Azure CLI, or the only one.",
        show_default=False,
        rich_help_panel=_WHERE,
    ),
]
CloudOption = Annotated[
    CloudName, typer.Option("--cloud", help="Which of Azure's clouds.", rich_help_panel=_WHERE)
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print each request that would be made, send none, and need no login for that."
    ),
]


@contextmanager
def opened(subscription: str | None, cloud: CloudName, *, dry_run: bool = False) -> Iterator[Azure]:
    """Azure, as whoever is logged in; with `dry_run` a pretence of it that prints what it is asked."""
    # Microsoft's packages warn of each way to log in that is not set up; the error says what matters.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    try:
        from gristmill.deploy.azure import WaitInterrupted, login

        with watching() as watch:
            try:
                if dry_run:
                    yield _pretended(subscription, cloud)
                else:
                    yield login(subscription=subscription, cloud=cloud.value, watch=watch)
            except WaitInterrupted as stopped:
                typer.secho(f"\n{stopped.message}", fg="yellow", err=True)
                raise typer.Exit(_INTERRUPTED) from None
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("gristmill"):
            raise
        fail(f"{missing.name} is not installed: pip install 'gristmill[azure]'", Exit.USAGE)


def place(location: str | None, *, dry_run: bool) -> str | None:
    """Where a group is made if it is missing; a dry run does not ask where one is that is there."""
    return location or ("locationofthegroup" if dry_run else None)


def _pretended(subscription: str | None, cloud: CloudName) -> Azure:
    from gristmill.deploy.azure import login
    from gristmill.deploy.azure.clouds import cloud_called
    from gristmill.deploy.azure.dry_run import NO_CREDENTIAL, dry_transport

    note("Dry run: nothing is sent; nothing is taken to be there yet; ids that only Azure knows are zeros.")
    return login(
        subscription=subscription or _NO_SUBSCRIPTION,
        cloud=cloud.value,
        credential=NO_CREDENTIAL,
        transport=dry_transport(cloud_called(cloud.value), _show),
    )


def _show(request: Shown) -> None:
    typer.echo(f"{request.method} {request.url}")
    if request.body is not None:
        typer.echo(json.dumps(request.body, indent=2, ensure_ascii=False))
    typer.echo()
