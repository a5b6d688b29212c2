"""`gristmill azure`: resource group, registry and cluster in Azure, and a deployment in one go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gristmill.app.azure_clusters import cluster_app
from gristmill.app.azure_deploy import deploy
from gristmill.app.azure_groups import group_app
from gristmill.app.azure_registries import registry_app
from gristmill.app.azure_session import CloudName, CloudOption, Group, Subscription, opened
from gristmill.app.client_cli_common import AsJson, Exit, fail, note, print_json, print_table, told

__all__ = ["add_commands"]

azure_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="""Ship a model to Azure: a resource group, a registry, a cluster, and all of it in one go.

    The login is that of the Azure CLI (az login), of AZURE_TENANT_ID, AZURE_CLIENT_ID and
    AZURE_CLIENT_SECRET, or of a managed identity. --dry-run shows what would be sent, without any login.

    [dim]Examples:[/dim]

      gristmill azure login-check

      gristmill azure deploy examples/boston-r -g deployresgrp --registry deployreg --cluster deployclus
      --location westeurope

      gristmill azure group delete deployresgrp""",
)


@azure_app.command("login-check")
@told
def login_check(
    subscription: Subscription = None, cloud: CloudOption = CloudName.PUBLIC, as_json: AsJson = False
) -> None:
    """See whether there is a login, and which subscription is meant.

    [dim]Example:[/dim]

      gristmill azure login-check
    """
    from gristmill.deploy.azure.logging_in import subscriptions

    with opened(subscription, cloud) as azure:
        seen = subscriptions(azure.connection)
    known = {str(each["subscriptionId"]).lower(): each for each in seen}
    found = known.get(azure.subscription)
    if found is None:
        fail(
            f"this login does not see the subscription {azure.subscription}: `az account list` shows "
            "what it sees, az login --tenant TENANT logs in elsewhere",
            Exit.NOT_FOUND,
        )
    what = {
        "subscription": azure.subscription,
        "name": found.get("displayName"),
        "state": found.get("state"),
        "cloud": azure.connection.cloud.name,
    }
    if as_json:
        print_json(what)
    else:
        print_table((), list(what.items()))


@azure_app.command()
@told
def credentials(
    group: Group,
    cluster: Annotated[
        str | None,
        typer.Option(help="Write the kubeconfig of this cluster.", show_default=False),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            help="Print a token of this registry, for --password-stdin; good for three hours.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Where the kubeconfig goes; - prints it."),
    ] = Path("kubeconfig"),
    admin: Annotated[
        bool, typer.Option("--admin", help="Those of the admin: past the accounts of the directory.")
    ] = False,
    subscription: Subscription = None,
    cloud: CloudOption = CloudName.PUBLIC,
) -> None:
    """Get the credentials of a cluster, as a file for kubectl, or of a registry, as a token.

    [dim]Examples:[/dim]

      gristmill azure credentials -g deployresgrp --cluster deployclus -o deployclus.yaml

      gristmill azure credentials -g deployresgrp --registry deployreg | gristmill push bos-rf
      deployreg.azurecr.io --username 00000000-0000-0000-0000-000000000000 --password-stdin
    """
    if (cluster is None) == (registry is None):
        fail("say --cluster, or --registry", Exit.USAGE)
    with opened(subscription, cloud) as azure:
        inside = azure.resource_group(group)
        if registry is not None:
            login = inside.get_acr(registry).credentials(as_admin=admin)
            note(f"account: {login.username}")
            text = f"{login.password}\n"
        else:
            text = inside.get_aks(str(cluster)).kubeconfig(admin=admin)
    if registry is not None or str(output) == "-":
        typer.echo(text, nl=False)
        return
    _write(output, text)
    note(f"{output}: for gristmill deploy --kubeconfig {output}; it is a secret")


def _write(path: Path, text: str) -> None:
    """So that nobody else can read it; what is there already is not overwritten."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail(f"{path} is there already: choose another --output", Exit.REFUSED)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}", Exit.NOT_FOUND)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def add_commands(app: typer.Typer) -> None:
    """Register them."""
    azure_app.command()(deploy)
    azure_app.add_typer(group_app, name="group")
    azure_app.add_typer(registry_app, name="registry")
    azure_app.add_typer(cluster_app, name="cluster")
    app.add_typer(azure_app, name="azure", rich_help_panel="Ship it")
