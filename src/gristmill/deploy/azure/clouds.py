"""Azure's clouds: the public one, China's, and that of the government of the United States."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.deploy.azure.errors import BadAzureName

__all__ = ["CHINA", "CLOUDS", "GOVERNMENT", "PUBLIC", "Cloud", "cloud_called"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Where its parts are."""

    name: str
    endpoint: str  #: of the Resource Manager
    scope: str  #: of tokens for it
    authority: str  #: host that gives tokens
    registry_suffix: str
    registry_scope: str  #: of tokens that registries take


PUBLIC = Cloud(
    name="AzurePublic",
    endpoint="https://management.azure.com",
    scope="https://management.azure.com/.default",
    authority="login.microsoftonline.com",
    registry_suffix="azurecr.io",
    registry_scope="https://containerregistry.azure.net/.default",
)
CHINA = Cloud(
    name="AzureChina",
    endpoint="https://management.chinacloudapi.cn",
    scope="https://management.chinacloudapi.cn/.default",
    authority="login.chinacloudapi.cn",
    registry_suffix="azurecr.cn",
    registry_scope="https://management.chinacloudapi.cn/.default",
)
GOVERNMENT = Cloud(
    name="AzureGovernment",
    endpoint="https://management.usgovcloudapi.net",
    scope="https://management.core.usgovcloudapi.net/.default",
    authority="login.microsoftonline.us",
    registry_suffix="azurecr.us",
    registry_scope="https://management.usgovcloudapi.net/.default",
)
CLOUDS = {cloud.name: cloud for cloud in (PUBLIC, CHINA, GOVERNMENT)}
#: What `az cloud list` calls them.
_ALIASES = {"AzureCloud": PUBLIC, "AzureChinaCloud": CHINA, "AzureUSGovernment": GOVERNMENT}


def cloud_called(name: str) -> Cloud:
    """By its name, ours or that of the Azure CLI."""
    for known, cloud in {**CLOUDS, **_ALIASES}.items():
        if known.lower() == name.lower():
            return cloud
    raise BadAzureName(f"there is no cloud {name[:60]!r}: it is one of {', '.join(CLOUDS)}")
