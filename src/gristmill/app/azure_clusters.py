"""`gristmill azure cluster`: where images run."""

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

__all__ = ["cluster_app"]

cluster_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Kubernetes clusters.")


@cluster_app.command("create")
@told
def create_cluster(  # noqa: PLR0917 - the command's flags, all of them by name
    name: Name,
    group: Group,
    nodes: Annotated[int, typer.Option(min=1, max=1000, help="How many nodes.")] = 2,
    node_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="As Standard_D2s_v5; else one that region and quota allow.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--kubernetes-version", help="1.33, or 1.33.2; else Azure's.", show_default=False),
    ] = None,
    tier: Annotated[
        str, typer.Option(metavar="Free|Standard|Premium", help="Of the control plane.")
    ] = "Free",
    registry: Annotated[
        str | None,
        typer.Option(help="A registry of the group, from which it may pull then.", show_default=False),
    ] = None,
    location: Location = None,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a Kubernetes cluster, and wait until it is there: some minutes.

    One of this group is left as it is, and waited for if it is being made: after Ctrl-C the same command
    again goes on.

    [dim]Examples:[/dim]

      gristmill azure cluster create deployclus -g deployresgrp --registry deployreg

      gristmill azure cluster create deployclus -g deployresgrp --nodes 3 --node-size Standard_D4s_v5
    """
    from gristmill.deploy.azure import AgentPool

    pool = AgentPool(count=nodes, size=node_size)
    with opened(subscription, cloud, dry_run=dry_run) as azure:
        inside = azure.ensure_resource_group(group, place(location, dry_run=dry_run))
        pulls_from = None
        if registry is not None:
            pulls_from = inside.create_acr(registry) if dry_run else inside.get_acr(registry)
        found = inside.create_aks(name, agent_pools=[pool], version=version, tier=tier, location=location)
        if pulls_from is not None:
            pulls_from.add_role_assignment(found)
    done(dry_run, as_json, _cluster(found))


@cluster_app.command("show")
@told
def show_cluster(
    name: Name,
    group: Group,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    as_json: AsJson = False,
) -> None:
    """Show a Kubernetes cluster; `gristmill deploy status` shows what runs there.

    [dim]Example:[/dim]

      gristmill azure cluster show deployclus -g deployresgrp
    """
    with opened(subscription, cloud) as azure:
        found = azure.get_resource_group(group).get_aks(name)
    done(False, as_json, _cluster(found))


@cluster_app.command("list")
@told
def list_clusters(
    group: Group,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    as_json: AsJson = False,
) -> None:
    """List the Kubernetes clusters of a group.

    [dim]Example:[/dim]

      gristmill azure cluster list -g deployresgrp
    """
    with opened(subscription, cloud) as azure:
        rows = [_cluster(each) for each in azure.get_resource_group(group).list_aks()]
    headers = ("NAME", "KUBERNETES", "NODES", "LOCATION", "STATE")
    listed(rows, headers, as_json, f"The group {group} has no clusters.")


@cluster_app.command("delete")
@told
def delete_cluster(
    name: Name,
    group: Group,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Delete a Kubernetes cluster with all that runs there.

    [dim]Example:[/dim]

      gristmill azure cluster delete deployclus -g deployresgrp --yes
    """
    confirmed(f"Delete the cluster {name} with all that runs there?", yes=yes or dry_run)
    with opened(subscription, cloud, dry_run=dry_run) as azure:
        azure.resource_group(group).delete_aks(name)
    gone(dry_run, f"the cluster {name}")


def _cluster(found: Any) -> dict[str, Any]:
    return {
        "name": found.name,
        "kubernetes": found.version,
        "nodes": found.nodes,
        "location": found.location,
        "state": found.state,
    }
