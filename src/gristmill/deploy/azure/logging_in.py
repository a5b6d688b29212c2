"""Who we are, and in which subscription."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gristmill.deploy.azure.account import Azure
from gristmill.deploy.azure.clouds import PUBLIC, Cloud, cloud_called
from gristmill.deploy.azure.connection import Connection, Patience
from gristmill.deploy.azure.errors import NoSubscription
from gristmill.deploy.azure.names import is_guid, subscription_id
from gristmill.deploy.azure.waiting import Watch, unseen

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport

__all__ = ["login", "subscriptions"]

_SUBSCRIPTIONS = "2022-12-01"


def login(
    *,
    subscription: str | None = None,
    cloud: Cloud | str = PUBLIC,
    credential: TokenCredential | None = None,
    transport: HttpTransport[Any, Any] | None = None,
    patience: Patience | None = None,
    watch: Watch = unseen,
    environment: Mapping[str, str] = os.environ,
) -> Azure:
    """Azure, as whoever is logged in on this machine: AZURE_… variables, a managed identity, or `az login`.

    subscription: its id; else AZURE_SUBSCRIPTION_ID, the default of the Azure CLI, or the only one there is.
    cloud: AzurePublic, AzureChina or AzureGovernment.
    credential: any of azure-identity's, instead.
    watch: sees how long operations go.

    Raises NotLoggedIn, at the first call at the latest, and NoSubscription.
    """
    cloud = cloud_called(cloud) if isinstance(cloud, str) else cloud
    if subscription is not None:
        subscription = subscription_id(subscription)
    credential = credential or _default(cloud)
    wanted = subscription or environment.get("AZURE_SUBSCRIPTION_ID") or _of_the_cli(environment)
    if wanted is None:
        wanted = _only_one(Connection(credential, None, cloud=cloud, transport=transport))
    found = Connection(
        credential, subscription_id(wanted), cloud=cloud, transport=transport, patience=patience
    )
    return Azure(found, watch=watch)


def subscriptions(connection: Connection) -> list[dict[str, Any]]:
    """Those that the login sees, as Azure describes them: subscriptionId, displayName, state."""
    found = connection.pages("/subscriptions", _SUBSCRIPTIONS)
    return [each for each in found if is_guid(str(each.get("subscriptionId")))]


def _default(cloud: Cloud) -> TokenCredential:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(authority=cloud.authority)


def _of_the_cli(environment: Mapping[str, str]) -> str | None:
    """The default of `az account set`; what is no such file names none."""
    folder = environment.get("AZURE_CONFIG_DIR")
    path = (Path(folder) if folder else Path.home() / ".azure") / "azureProfile.json"
    try:
        said = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return None
    listed = said.get("subscriptions") if isinstance(said, dict) else None
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, dict) and each.get("isDefault") and is_guid(str(each.get("id"))):
            return str(each["id"])
    return None


def _only_one(connection: Connection) -> str:
    found = [each for each in subscriptions(connection) if each.get("state") in {"Enabled", None}]
    if len(found) == 1:
        return str(found[0]["subscriptionId"])
    if not found:
        raise NoSubscription("this login has no subscription in Azure: `az account list` shows what it has")
    listed = "\n".join(f"  {each['subscriptionId']}  {each.get('displayName', '')}" for each in found)
    raise NoSubscription(
        f"this login has {len(found)} subscriptions: choose one by --subscription or AZURE_SUBSCRIPTION_ID"
        f"\n{listed}"
    )
