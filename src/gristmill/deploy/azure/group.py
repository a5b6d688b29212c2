"""A resource group: what the registry and the cluster are made in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.deploy.azure.answers import translated
from gristmill.deploy.azure.connection import Connection
from gristmill.deploy.azure.errors import AzureConflict, NameTaken, NotInAzure
from gristmill.deploy.azure.kubernetes_service import AgentPool, KubernetesService, cluster_body
from gristmill.deploy.azure.names import cluster_name, region, registry_name
from gristmill.deploy.azure.registry import ContainerRegistry, Sku
from gristmill.deploy.azure.waiting import Watch, finish, settle, unseen

__all__ = ["ResourceGroup"]

_REGISTRY_TYPE = "Microsoft.ContainerRegistry/registries"


class ResourceGroup:
    """What `Azure.get_resource_group` gives."""

    def __init__(self, connection: Connection, found: Mapping[str, Any], *, watch: Watch = unseen) -> None:
        self.connection = connection
        self.name = str(found["name"])
        self.location = str(found["location"])
        self.watch = watch

    def __repr__(self) -> str:
        return f"<ResourceGroup {self.name}, {self.location}>"

    def get_acr(self, name: str) -> ContainerRegistry:
        """A container registry; NotInAzure if it is not in this group."""
        name = registry_name(name)
        with translated(f"the registry {name}"):
            found = self.connection.registries.registries.get(self.name, name)
        return self._registry(found.as_dict())

    def list_acrs(self) -> list[ContainerRegistry]:
        """All registries of the group."""
        with translated(f"listing the registries of {self.name}"):
            listed = self.connection.registries.registries.list_by_resource_group(self.name)
            return [self._registry(each.as_dict()) for each in listed]

    def create_acr(
        self,
        name: str,
        *,
        sku: Sku | str = Sku.BASIC,
        location: str | None = None,
        admin_user_enabled: bool = False,
        tags: Mapping[str, str] | None = None,
    ) -> ContainerRegistry:
        """Make a container registry; one of the name that is in this group already is given as it is.

        The name is one of all of Azure: raises NameTaken if somebody else has it. The admin user, one
        password for everybody, stays off unless asked for: logins by Azure's accounts do without it.
        """
        name, sku = registry_name(name), Sku.of(sku)
        if (known := self._own_registry(name)) is not None:
            if known.sku is not sku:
                raise AzureConflict(f"the registry {name} exists already, as {known.sku}, not as {sku}")
            return known
        body = {
            "location": region(location or self.location),
            "sku": {"name": str(sku)},
            "properties": {"adminUserEnabled": admin_user_enabled},
            "tags": dict(tags or {}),
        }
        made = finish(
            lambda: self.connection.registries.registries.begin_create(self.name, name, body),
            f"creating the registry {name}",
            again=f"gristmill azure registry create {name} --resource-group {self.name}",
            patience=self.connection.patience,
            watch=self.watch,
        )
        return self._registry(made.as_dict())

    def delete_acr(self, name: str) -> None:
        """Delete a registry with all its images. That it is not there is no error."""
        name = registry_name(name)
        registries = self.connection.registries.registries
        self._gone(
            lambda: registries.begin_delete(self.name, name),
            f"deleting the registry {name}",
            f"gristmill azure registry delete {name} --resource-group {self.name}",
        )

    def get_aks(self, name: str) -> KubernetesService:
        """A Kubernetes cluster; NotInAzure if it is not in this group."""
        return self._cluster(self._look_at_cluster(cluster_name(name)))

    def list_aks(self) -> list[KubernetesService]:
        """All clusters of the group."""
        with translated(f"listing the clusters of {self.name}"):
            listed = self.connection.clusters.managed_clusters.list_by_resource_group(self.name)
            return [self._cluster(each.as_dict()) for each in listed]

    def create_aks(
        self,
        name: str,
        *,
        agent_pools: Sequence[AgentPool] = (),
        location: str | None = None,
        version: str | None = None,
        prefix: str | None = None,
        tier: str = "Free",
        tags: Mapping[str, str] | None = None,
    ) -> KubernetesService:
        """Make a Kubernetes cluster with a managed identity, and wait until it is there: some minutes.

        One of the name that is in this group already is given as it is, when it is settled: so that a
        creation whose waiting was interrupted is taken up. version: of Kubernetes, else Azure's default.
        prefix: of the address of its API server, else the name.
        """
        from azure.mgmt.containerservice.models import ManagedCluster

        name = cluster_name(name)
        where = location or self.location
        body = cluster_body(name, where, agent_pools, version=version, prefix=prefix, tier=tier, tags=tags)
        try:
            return self.settled_aks(name)
        except NotInAzure:
            made = finish(
                lambda: self.connection.clusters.managed_clusters.begin_create_or_update(
                    self.name, name, ManagedCluster(body)
                ),
                f"creating the cluster {name}",
                again=f"gristmill azure cluster create {name} --resource-group {self.name}",
                patience=self.connection.patience,
                watch=self.watch,
            )
            return self._cluster(made.as_dict())

    def settled_aks(self, name: str) -> KubernetesService:
        """The cluster, once nothing is being changed in it; NotInAzure if there is none."""
        name = cluster_name(name)
        found = settle(
            lambda: self._look_at_cluster(name),
            f"the cluster {name}",
            again=f"gristmill azure cluster create {name} --resource-group {self.name}",
            patience=self.connection.patience,
            watch=self.watch,
            sleep=self.connection.transport.sleep,
        )
        return self._cluster(found)

    def delete_aks(self, name: str) -> None:
        """Delete a cluster with all that runs there. That it is not there is no error."""
        name = cluster_name(name)
        clusters = self.connection.clusters.managed_clusters
        self._gone(
            lambda: clusters.begin_delete(self.name, name),
            f"deleting the cluster {name}",
            f"gristmill azure cluster delete {name} --resource-group {self.name}",
        )

    def _own_registry(self, name: str) -> ContainerRegistry | None:
        """Ours by this name, or None if the name is free; NameTaken if it is somebody else's."""
        check = {"name": name, "type": _REGISTRY_TYPE}
        with translated(f"the name {name}"):
            told = self.connection.registries.registries.check_name_availability(check)
        if told.name_available:
            return None
        try:
            return self.get_acr(name)
        except NotInAzure:
            said = str(told.message or "").strip().rstrip(".")
            raise NameTaken(
                f"the name {name} cannot be had for a registry: {said or 'it is in use already'}. Names of "
                "registries are unique in all of Azure; choose another, or the resource group that it is in"
            ) from None

    def _look_at_cluster(self, name: str) -> dict[str, Any]:
        with translated(f"the cluster {name}"):
            return dict(self.connection.clusters.managed_clusters.get(self.name, name).as_dict())

    def _gone(self, begin: Any, what: str, again: str) -> None:
        try:
            finish(begin, what, again=again, patience=self.connection.patience, watch=self.watch)
        except NotInAzure:
            return

    def _registry(self, found: Mapping[str, Any]) -> ContainerRegistry:
        return ContainerRegistry(self.connection, found, group=self.name)

    def _cluster(self, found: Mapping[str, Any]) -> KubernetesService:
        return KubernetesService(self.connection, found, group=self.name)
