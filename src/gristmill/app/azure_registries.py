"""`gristmill azure registry`: where images are kept."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gristmill.app.azure_resources import Location, Name, done, gone, listed
from gristmill.app.azure_session import (
    CloudName,
    CloudOption,
    DryRun,
    Group,
    Subscription,
    opened,
    place,
)
from gristmill.app.client_cli_common import AsJson, Yes, confirmed, told

__all__ = ["registry_app"]

registry_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Container registries.")


@registry_app.command("create")
@told
def create_registry(  # noqa: PLR0917 - the command's flags, all of them by name
    name: Name,
    group: Group,
    sku: Annotated[str, typer.Option(metavar="Basic|Standard|Premium", help="Which kind.")] = "Basic",
    location: Location = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="With the admin user: one password for everybody.")
    ] = False,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a container registry; one of this group is left as it is. Its name is unique in all of Azure.

    [dim]Example:[/dim]

      gristmill azure registry create deployreg --resource-group deployresgrp
    """
    with opened(subscription, cloud, dry_run=dry_run) as azure:
        inside = azure.ensure_resource_group(group, place(location, dry_run=dry_run))
        found = inside.create_acr(name, sku=sku, location=location, admin_user_enabled=admin)
    done(dry_run, as_json, _registry(found))


@registry_app.command("show")
@told
def show_registry(
    name: Name,
    group: Group,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    as_json: AsJson = False,
) -> None:
    """Show a container registry; `gristmill registry` shows what it holds.

    [dim]Example:[/dim]

      gristmill azure registry show deployreg -g deployresgrp
    """
    with opened(subscription, cloud) as azure:
        found = azure.get_resource_group(group).get_acr(name)
    done(False, as_json, _registry(found))


@registry_app.command("list")
@told
def list_registries(
    group: Group,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    as_json: AsJson = False,
) -> None:
    """List the container registries of a group.

    [dim]Example:[/dim]

      gristmill azure registry list -g deployresgrp
    """
    with opened(subscription, cloud) as azure:
        rows = [_registry(each) for each in azure.get_resource_group(group).list_acrs()]
    headers = ("NAME", "ADDRESS", "SKU", "LOCATION", "STATE")
    listed(rows, headers, as_json, f"The group {group} has no registries.")


@registry_app.command("delete")
@told
def delete_registry(
    name: Name,
    group: Group,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Delete a container registry with all its images.

    [dim]Example:[/dim]

      gristmill azure registry delete deployreg -g deployresgrp --yes
    """
    confirmed(f"Delete the registry {name} with all its images?", yes=yes or dry_run)
    with opened(subscription, cloud, dry_run=dry_run) as azure:
        azure.resource_group(group).delete_acr(name)
    gone(dry_run, f"the registry {name}")


def _registry(found: Any) -> dict[str, Any]:
    return {
        "name": found.name,
        "address": found.login_server,
        "sku": str(found.sku),
        "location": found.location,
        "state": found.state,
    }
