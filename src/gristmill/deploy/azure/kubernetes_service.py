"""A cluster of Azure Kubernetes Service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gristmill.deploy.azure.answers import translated
from gristmill.deploy.azure.connection import Connection
from gristmill.deploy.azure.errors import AzureConflict, BadAzureName, NoPullIdentity, OperationFailed
from gristmill.deploy.azure.names import dns_prefix, is_guid, kubernetes_version, pool_name, region, vm_size

if TYPE_CHECKING:
    from gristmill.deploy.kubernetes import Cluster

__all__ = ["AgentPool", "KubernetesService", "cluster_body"]

_TIERS = ("Free", "Standard", "Premium")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPool:
    """Nodes that are alike."""

    name: str = "pool1"
    count: int = 2
    size: str | None = None  #: Standard_D2s_v5; None: Azure takes one that the region and the quota allow

    def body(self, *, first: bool) -> dict[str, Any]:
        """As Azure wants it. The first pool has to be one of the system's."""
        if not (1 if first else 0) <= self.count <= 1000:
            raise BadAzureName(f"{self.count} nodes: it has to be 1 to 1000")
        found: dict[str, Any] = {
            "name": pool_name(self.name),
            "count": self.count,
            "osType": "Linux",
            "mode": "System" if first else "User",
            "type": "VirtualMachineScaleSets",
        }
        return found if self.size is None else {**found, "vmSize": vm_size(self.size)}


def cluster_body(
    name: str,
    location: str,
    pools: Sequence[AgentPool],
    *,
    version: str | None,
    prefix: str | None,
    tier: str,
    tags: Mapping[str, str] | None,
) -> dict[str, Any]:
    """A cluster with a managed identity, as Azure wants it; raises BadAzureName."""
    if tier not in _TIERS:
        raise BadAzureName(f"{tier[:60]!r} is no tier of clusters: it is one of {', '.join(_TIERS)}")
    if prefix is None:
        prefix = name.replace("_", "-")[:54].rstrip("-")
    properties: dict[str, Any] = {
        "dnsPrefix": dns_prefix(prefix),
        "enableRBAC": True,
        "agentPoolProfiles": [
            pool.body(first=place == 0) for place, pool in enumerate(pools or (AgentPool(),))
        ],
    }
    if version is not None:
        properties["kubernetesVersion"] = kubernetes_version(version)
    return {
        "location": region(location),
        "identity": {"type": "SystemAssigned"},
        "sku": {"name": "Base", "tier": tier},
        "properties": properties,
        "tags": dict(tags or {}),
    }


class KubernetesService:
    """What `ResourceGroup.get_aks` gives."""

    def __init__(self, connection: Connection, found: Mapping[str, Any], *, group: str) -> None:
        self.connection = connection
        self.group = group
        self.id = str(found["id"])
        self.name = str(found["name"])
        self.location = str(found["location"])
        self.properties: Mapping[str, Any] = found.get("properties") or {}

    def __repr__(self) -> str:
        return f"<KubernetesService {self.name}, {self.location}, {self.state}>"

    @property
    def state(self) -> str:
        """Azure's word for how it is: Succeeded, Creating, Failed."""
        return str(self.properties.get("provisioningState") or "unknown")

    @property
    def version(self) -> str:
        """Of its Kubernetes."""
        found = self.properties.get("currentKubernetesVersion") or self.properties.get("kubernetesVersion")
        return str(found or "")

    @property
    def nodes(self) -> int:
        """Of all its pools together."""
        return sum(int(pool.get("count") or 0) for pool in self.properties.get("agentPoolProfiles") or [])

    @property
    def pull_identity(self) -> str:
        """Object id of the identity with which its nodes pull images; raises NoPullIdentity."""
        kubelet = (self.properties.get("identityProfile") or {}).get("kubeletidentity") or {}
        found = str(kubelet.get("objectId") or "")
        if not is_guid(found):
            raise NoPullIdentity(
                f"the cluster {self.name} has no managed identity for its nodes, only a service principal: "
                "give that the role yourself, by az role assignment create --role AcrPull --assignee "
                "CLIENT-ID --scope REGISTRY-ID"
            )
        return found

    def kubeconfig(self, *, admin: bool = False) -> str:
        """For kubectl and its like, as YAML: a secret. admin: past the accounts of the directory."""
        clusters = self.connection.clusters.managed_clusters
        ask = clusters.list_cluster_admin_credentials if admin else clusters.list_cluster_user_credentials
        with translated(f"the credentials of the cluster {self.name}"):
            found = ask(self.group, self.name)
        given = [each.value for each in found.kubeconfigs or [] if each.value]
        if not given:
            raise OperationFailed(
                f"Azure gave no credentials of the cluster {self.name}: its state is {self.state}"
            )
        return bytes(given[0]).decode("utf-8")

    def get_cluster(self, *, namespace: str | None = None, admin: bool = False) -> Cluster:
        """The cluster itself: `apply`, `get`, `delete`; raises AzureConflict if it is switched off."""
        import yaml

        from gristmill.deploy.kubernetes import Cluster

        if (self.properties.get("powerState") or {}).get("code") == "Stopped":
            raise AzureConflict(
                f"the cluster {self.name} is stopped: az aks start --resource-group {self.group} "
                f"--name {self.name}"
            )
        return Cluster(yaml.safe_load(self.kubeconfig(admin=admin)), namespace=namespace)
