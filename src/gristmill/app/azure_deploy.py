"""`gristmill azure deploy`: from a folder to an address, in one go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill.app.azure_session import CloudName, CloudOption, DryRun, Group, Subscription, opened, place
from gristmill.app.azure_shipping import Settings, Source, planned, rehearse, ship, tell_of
from gristmill.app.client_cli_common import AsJson, Exit, fail, told
from gristmill.app.deploy_cli_inputs import admin_password_of
from gristmill.app.deploy_cli_options import (
    AdminPasswordFrom,
    ObjectName,
    PasswordStdin,
    Replicas,
    ServiceType,
    SetValues,
    ValueFiles,
)

if TYPE_CHECKING:
    from gristmill.deploy.build import BuildPlan
    from gristmill.deploy.images import ImageReference

__all__ = ["deploy"]

_WHERE, _MAKE, _WHAT, _SECRETS = "Where", "If it has to be made", "What", "Secrets"


@told
def deploy(  # noqa: PLR0917 - the command's flags, all of them by name
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|IMAGE", help="A folder to build, or an image of this machine.", show_default=False
        ),
    ],
    group: Group,
    registry: Annotated[
        str, typer.Option(help="Name of the registry, without .azurecr.io.", rich_help_panel=_WHERE)
    ],
    cluster: Annotated[str, typer.Option(help="Name of the cluster.", rich_help_panel=_WHERE)],
    namespace: Annotated[
        str,
        typer.Option("--namespace", "-n", help="Of the cluster; made if missing.", rich_help_panel=_WHERE),
    ] = "default",
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
    location: Annotated[
        str | None,
        typer.Option("--location", "-l", help="As westeurope.", show_default=False, rich_help_panel=_MAKE),
    ] = None,
    sku: Annotated[
        str,
        typer.Option(metavar="Basic|Standard|Premium", help="Kind of registry.", rich_help_panel=_MAKE),
    ] = "Basic",
    nodes: Annotated[
        int, typer.Option(min=1, max=1000, help="Nodes of the cluster.", rich_help_panel=_MAKE)
    ] = 2,
    node_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="As Standard_D2s_v5; else one that region and quota allow.",
            show_default=False,
            rich_help_panel=_MAKE,
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--kubernetes-version",
            help="1.33, or 1.33.2; else Azure's.",
            show_default=False,
            rich_help_panel=_MAKE,
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            "--tag",
            "-t",
            metavar="IMAGE",
            help="The built image's name, with a tag.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    builder: Annotated[
        str | None,
        typer.Option(
            metavar="docker|podman|buildah",
            help="The program that builds and pushes.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    name: ObjectName = None,
    replicas: Replicas = None,
    service_type: Annotated[
        ServiceType, typer.Option(help="How it is reached.", rich_help_panel=_WHAT)
    ] = ServiceType.LOAD_BALANCER,
    settings: SetValues = None,
    values: ValueFiles = None,
    admin_password_from: AdminPasswordFrom = None,
    password_stdin: PasswordStdin = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until it has to be ready.")] = 600,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Build a folder, push the image to a registry in Azure, and run it on a cluster there.

    Resource group, registry and cluster are found, or made; the cluster gets the right to pull. What costs
    nothing comes first: the image is built before anything is made in Azure. The same command again is an
    update, and goes on where it was interrupted.

    [dim]Examples:[/dim]

      gristmill azure deploy examples/boston-r -g deployresgrp --registry deployreg --cluster deployclus
      --location westeurope

      gristmill azure deploy boston:1.1.0 -g deployresgrp --registry deployreg --cluster deployclus -n models

      gristmill azure deploy . -g deployresgrp --registry deployreg --cluster deployclus --dry-run
    """
    from gristmill.deploy.azure import AgentPool, Sku
    from gristmill.deploy.azure.preparing import Wanted

    wanted = Wanted(
        group=group,
        registry=registry,
        cluster=cluster,
        location=location if not dry_run else place(location, dry_run=True),
        sku=Sku.of(sku),
        pool=AgentPool(count=nodes, size=node_size),
        version=version,
    )
    chosen = Settings(
        namespace=namespace,
        name=name,
        replicas=replicas,
        service_type=service_type.value,
        settings=tuple(settings or ()),
        files=tuple(values or ()),
        password=admin_password_of(admin_password_from, stdin=password_stdin),
        timeout=timeout,
    )
    image, plan = _image_of(source, tag)
    shipped = Source(image=image, plan=plan, program=builder)
    planned(f"registry.example.com/{image.repository}", chosen)  # wrong values are told first
    with opened(subscription, cloud, dry_run=dry_run) as azure:
        if dry_run:
            rehearse(azure, wanted, chosen, shipped)
            return
        done, exact = ship(azure, wanted, chosen, shipped)
    tell_of(done, exact, azure, wanted, as_json=as_json)


def _image_of(source: str, tag: str | None) -> tuple[ImageReference, BuildPlan | None]:
    """What is built of a folder; an image's name as it is."""
    from gristmill.deploy.build import plan as plan_build
    from gristmill.deploy.images import ImageReference

    if Path(source).is_dir():
        plan = plan_build(source, tag=tag)
        return plan.tag, plan
    if tag is not None:
        fail(f"--tag names what is built of a folder, and {source} is none", Exit.USAGE)
    return ImageReference.parse(source).tagged(), None
