"""`gristmill azure group`: what registries and clusters are made in."""

from __future__ import annotations

from typing import Annotated

import typer

from gristmill.app.azure_resources import Name, done, gone, listed
from gristmill.app.azure_session import (
    CloudName,
    CloudOption,
    DryRun,
    Subscription,
    opened,
)
from gristmill.app.client_cli_common import AsJson, Yes, confirmed, told

__all__ = ["group_app"]

group_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Resource groups.")


@group_app.command("create")
@told
def create_group(
    name: Name,
    location: Annotated[str, typer.Option("--location", "-l", help="Where, as westeurope.")],
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a resource group; one that is there in this location already is left as it is.

    [dim]Example:[/dim]

      gristmill azure group create deployresgrp --location westeurope
    """
    with opened(subscription, cloud, dry_run=dry_run) as azure:
        found = azure.create_resource_group(name, location)
    done(dry_run, as_json, {"name": found.name, "location": found.location})


@group_app.command("show")
@told
def show_group(
    name: Name,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    as_json: AsJson = False,
) -> None:
    """Show a resource group, and what is in it of registries and clusters.

    [dim]Example:[/dim]

      gristmill azure group show deployresgrp
    """
    with opened(subscription, cloud) as azure:
        found = azure.get_resource_group(name)
        registries = [each.login_server for each in found.list_acrs()]
        clusters = [each.name for each in found.list_aks()]
    told_of = {"name": found.name, "location": found.location, "registries": registries, "clusters": clusters}
    done(False, as_json, told_of)


@group_app.command("list")
@told
def list_groups(
    subscription: Subscription = None, cloud: CloudOption = CloudName.PUBLIC, as_json: AsJson = False
) -> None:
    """List the resource groups of the subscription.

    [dim]Example:[/dim]

      gristmill azure group list
    """
    with opened(subscription, cloud) as azure:
        rows = [{"name": each.name, "location": each.location} for each in azure.list_resource_groups()]
    listed(rows, ("NAME", "LOCATION"), as_json, "This subscription has no resource groups.")


@group_app.command("delete")
@told
def delete_group(
    name: Name,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Delete a resource group with everything that is in it.

    [dim]Example:[/dim]

      gristmill azure group delete deployresgrp --yes
    """
    confirmed(f"Delete the resource group {name} with everything that is in it?", yes=yes or dry_run)
    with opened(subscription, cloud, dry_run=dry_run) as azure:
        azure.delete_resource_group(name)
    gone(dry_run, f"the resource group {name}")
