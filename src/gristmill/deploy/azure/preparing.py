"""All that an image needs in Azure before it can run there, found or made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gristmill.deploy.azure.account import Azure
from gristmill.deploy.azure.errors import NotInAzure
from gristmill.deploy.azure.group import ResourceGroup
from gristmill.deploy.azure.kubernetes_service import AgentPool, KubernetesService, cluster_body
from gristmill.deploy.azure.names import cluster_name, group_name, region, registry_name
from gristmill.deploy.azure.registry import ContainerRegistry, Sku

__all__ = ["Wanted", "prepare_cluster", "prepare_registry"]

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What there has to be; what is there already stays as it is. Raises BadAzureName."""

    group: str
    registry: str
    cluster: str
    location: str | None = None  #: of what has to be made; that of the group if not given
    sku: Sku = Sku.BASIC
    pool: AgentPool = field(default_factory=AgentPool)
    version: str | None = None
    tier: str = "Free"

    def __post_init__(self) -> None:
        """Nothing is made before all of it can be."""
        group_name(self.group)
        registry_name(self.registry)
        where = region(self.location or "westeurope")
        cluster_body(
            cluster_name(self.cluster),
            where,
            [self.pool],
            version=self.version,
            prefix=None,
            tier=self.tier,
            tags=None,
        )


def prepare_registry(azure: Azure, wanted: Wanted, tell: Tell) -> tuple[ResourceGroup, ContainerRegistry]:
    """The group and the registry."""
    group = azure.ensure_resource_group(wanted.group, wanted.location)
    tell(f"resource group {group.name}, in {group.location}")
    try:
        registry = group.get_acr(wanted.registry)
    except NotInAzure:
        registry = group.create_acr(wanted.registry, sku=wanted.sku, location=wanted.location)
    tell(f"registry {registry.login_server}")
    return group, registry


def prepare_cluster(
    group: ResourceGroup, registry: ContainerRegistry, wanted: Wanted, tell: Tell
) -> tuple[KubernetesService, bool]:
    """The cluster, with the right to pull from the registry; whether it has got that only now."""
    service = group.create_aks(
        wanted.cluster,
        agent_pools=[wanted.pool],
        location=wanted.location,
        version=wanted.version,
        tier=wanted.tier,
    )
    tell(f"cluster {service.name}, Kubernetes {service.version or 'as Azure chooses'}, {service.nodes} nodes")
    given = registry.add_role_assignment(service)
    tell(f"the cluster's nodes {'may now' if given.new else 'may'} pull from {registry.name} ({given.role})")
    return service, given.new
