"""Azure: a resource group, a registry, a cluster, and what the one has to let the other do.

The functions have the names and the shape of R's AzureContainers:

    az = login()
    group = az.create_resource_group("deployresgrp", location="westeurope")
    registry = group.create_acr("deployreg")
    service = group.create_aks("deployclus", agent_pools=[AgentPool(count=2)])
    registry.add_role_assignment(service, "AcrPull")
    cluster = service.get_cluster()
    cluster.apply("bos-rf-mls.yaml")
"""

from gristmill.deploy.azure.account import Azure
from gristmill.deploy.azure.errors import (
    AzureBusy,
    AzureConflict,
    AzureForbids,
    AzureRefused,
    AzureUnreachable,
    BadAzureName,
    NameTaken,
    NoCapacity,
    NoPullIdentity,
    NoSubscription,
    NotInAzure,
    NotLoggedIn,
    OperationFailed,
    QuotaExceeded,
    TookTooLong,
    WaitInterrupted,
)
from gristmill.deploy.azure.group import ResourceGroup
from gristmill.deploy.azure.kubernetes_service import AgentPool, KubernetesService
from gristmill.deploy.azure.logging_in import login
from gristmill.deploy.azure.registry import ContainerRegistry, Sku
from gristmill.deploy.azure.roles import Role

__all__ = [
    "AgentPool",
    "Azure",
    "AzureBusy",
    "AzureConflict",
    "AzureForbids",
    "AzureRefused",
    "AzureUnreachable",
    "BadAzureName",
    "ContainerRegistry",
    "KubernetesService",
    "NameTaken",
    "NoCapacity",
    "NoPullIdentity",
    "NoSubscription",
    "NotInAzure",
    "NotLoggedIn",
    "OperationFailed",
    "QuotaExceeded",
    "ResourceGroup",
    "Role",
    "Sku",
    "TookTooLong",
    "WaitInterrupted",
    "login",
]
