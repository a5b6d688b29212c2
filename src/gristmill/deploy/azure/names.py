"""Names as Azure allows them. What has passed here may stand in a path, a command and a message.

https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules, and the
patterns of the REST specifications.
"""

from __future__ import annotations

import re

from gristmill.deploy.azure.errors import BadAzureName

__all__ = [
    "cluster_name",
    "dns_prefix",
    "group_name",
    "guid",
    "is_guid",
    "kubernetes_version",
    "pool_name",
    "region",
    "registry_name",
    "subscription_id",
    "vm_size",
]

_GROUP = re.compile(r"[-\w.()]{1,90}")
_REGISTRY = re.compile(r"[a-zA-Z0-9]{5,50}")
_CLUSTER = re.compile(r"[a-zA-Z0-9](?:[-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_POOL = re.compile(r"[a-z][a-z0-9]{0,11}")
_DNS = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,52}[a-zA-Z0-9])?")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_REGION = re.compile(r"[a-zA-Z0-9]+(?: [a-zA-Z0-9]+){0,5}")
_VERSION = re.compile(r"1\.[0-9]{1,3}(?:\.[0-9]{1,3})?")
_SIZE = re.compile(r"(?:Standard|Basic)_[A-Za-z0-9_-]{1,60}")


def group_name(text: str) -> str:
    """Of a resource group."""
    if _GROUP.fullmatch(text) is None or text.endswith("."):
        raise _bad(
            "resource group", text, "1 to 90 letters, digits and - _ . ( ), and no full stop at the end"
        )
    return text


def registry_name(text: str) -> str:
    """Of a container registry: unique in all of Azure."""
    if _REGISTRY.fullmatch(text) is None:
        hint = "; name it without .azurecr.io" if "." in text else ""
        raise _bad("registry", text, f"5 to 50 letters and digits, nothing else{hint}")
    return text


def cluster_name(text: str) -> str:
    """Of a Kubernetes cluster."""
    if _CLUSTER.fullmatch(text) is None:
        raise _bad(
            "cluster", text, "1 to 63 letters, digits, - and _, and a letter or digit at both of its ends"
        )
    return text


def pool_name(text: str) -> str:
    """Of a pool of nodes."""
    if _POOL.fullmatch(text) is None:
        raise _bad("node pool", text, "1 to 12 lower case letters and digits, a letter first")
    return text


def dns_prefix(text: str) -> str:
    """Of the address of a cluster's API server."""
    if _DNS.fullmatch(text) is None:
        raise _bad("DNS prefix", text, "1 to 54 letters, digits and -, and no - at its ends")
    return text


def is_guid(text: str) -> bool:
    """Whether it is one."""
    return _GUID.fullmatch(text) is not None


def guid(text: str, what: str) -> str:
    """In lower case."""
    if not is_guid(text):
        raise _bad(what, text, "32 hexadecimal digits with dashes, as 00000000-0000-0000-0000-000000000000")
    return text.lower()


def subscription_id(text: str) -> str:
    """Of a subscription: its id, not its name."""
    if not is_guid(text):
        way = "Its id, not its name: `az account list --output table` shows both"
        raise _bad("subscription", text, f"32 hexadecimal digits with dashes. {way}")
    return text.lower()


def region(text: str) -> str:
    """Where things are: `westeurope`, and `West Europe` as well."""
    if len(text) > 60 or _REGION.fullmatch(text) is None:
        way = "`az account list-locations --output table` shows them"
        raise _bad("location", text, f"letters and digits, as in westeurope. {way}")
    return text.replace(" ", "").lower()


def kubernetes_version(text: str) -> str:
    """1.33, or 1.33.2."""
    if _VERSION.fullmatch(text) is None:
        raise _bad("Kubernetes version", text, "like 1.33 or 1.33.2")
    return text


def vm_size(text: str) -> str:
    """Of a node: `Standard_D2s_v5`."""
    if _SIZE.fullmatch(text) is None:
        raise _bad("size of nodes", text, "like Standard_D2s_v5")
    return text


def _bad(what: str, text: str, rule: str) -> BadAzureName:
    shown = text if len(text) <= 100 else f"{text[:100]}…"
    return BadAzureName(f"{shown!r} cannot be the {what}: it is {rule}")
