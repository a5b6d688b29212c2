"""A registry of Azure Container Registry."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from gristmill.deploy.azure.answers import translated
from gristmill.deploy.azure.connection import Connection
from gristmill.deploy.azure.errors import AzureConflict, BadAzureName, OperationFailed
from gristmill.deploy.azure.kubernetes_service import KubernetesService
from gristmill.deploy.azure.names import guid
from gristmill.deploy.azure.roles import Assignment, Role, assign

if TYPE_CHECKING:
    from gristmill.deploy.credentials import Login
    from gristmill.deploy.registry import RegistryClient

__all__ = ["ContainerRegistry", "Sku"]

#: The account that stands for a token of Azure's directory, at every registry.
_TOKEN_ACCOUNT = "00000000-0000-0000-0000-000000000000"  # noqa: S105 - no secret, a name
_ABAC = "AbacRepositoryPermissions"


class Sku(enum.StrEnum):
    """Kinds of registries, by price, size and speed."""

    BASIC = "Basic"
    STANDARD = "Standard"
    PREMIUM = "Premium"

    @classmethod
    def of(cls, text: str) -> Self:
        """By its name, in any case; raises BadAzureName."""
        for each in cls:
            if each.lower() == text.lower():
                return each
        raise BadAzureName(f"{text[:60]!r} is no kind of registry: it is one of {', '.join(cls)}")


class ContainerRegistry:
    """What `ResourceGroup.get_acr` gives."""

    def __init__(self, connection: Connection, found: Mapping[str, Any], *, group: str) -> None:
        self.connection = connection
        self.group = group
        self.id = str(found["id"])
        self.name = str(found["name"])
        self.location = str(found["location"])
        self.sku = Sku.of(str((found.get("sku") or {}).get("name")))
        self.properties: Mapping[str, Any] = found.get("properties") or {}

    def __repr__(self) -> str:
        return f"<ContainerRegistry {self.login_server}, {self.sku}>"

    @property
    def login_server(self) -> str:
        """Its host: what names of its images begin with."""
        host = str(self.properties.get("loginServer") or "").lower()
        # Tokens are sent there: it has to be a registry of this cloud, whatever was answered.
        if not re.fullmatch(rf"[a-z0-9-]{{5,63}}\.{re.escape(self.connection.cloud.registry_suffix)}", host):
            raise OperationFailed(f"the registry {self.name} has no address in Azure: {host[:100]!r}")
        return host

    @property
    def state(self) -> str:
        """Azure's word for how it is: Succeeded, Creating, Failed."""
        return str(self.properties.get("provisioningState") or "unknown")

    def add_role_assignment(
        self, principal: KubernetesService | str, role: Role | str = Role.ACR_PULL
    ) -> Assignment:
        """Give a cluster, or a managed identity or service principal by its object id, a role here.

        That it has the role already is no error. A registry with permissions by repository does not heed
        AcrPull and AcrPush: the roles which do the same there are given instead.
        """
        identity = principal.pull_identity if isinstance(principal, KubernetesService) else principal
        found = Role.of(role)
        if self.properties.get("roleAssignmentMode") == _ABAC:
            found = found.by_repository
        return assign(self.connection, self.id, guid(identity, "object id"), found)

    def credentials(self, *, as_admin: bool = False) -> Login:
        """A login for docker and its like, good for three hours; as_admin: the password of the admin user.

        A token of Azure's directory is exchanged for one of the registry:
        https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md
        """
        from gristmill.deploy.credentials import Login

        if as_admin:
            return self._admin()
        host = self.login_server
        with translated(f"a token for {host}"):
            token = self.connection.credential.get_token(self.connection.cloud.registry_scope).token
        fields = {"grant_type": "access_token", "service": host, "access_token": token}
        answer = self.connection.form(f"https://{host}/oauth2/exchange", fields, f"logging in to {host}")
        refresh = answer.get("refresh_token") if isinstance(answer, dict) else None
        if not isinstance(refresh, str) or not re.fullmatch(r"[\x21-\x7e]+", refresh):
            raise OperationFailed(f"logging in to {host}: what came is no token")
        return Login(username=_TOKEN_ACCOUNT, password=refresh, identity_token=refresh)

    def get_docker_registry(self, *, as_admin: bool = False) -> RegistryClient:
        """A client of the registry itself: repositories, tags, manifests; logged in."""
        from gristmill.deploy.registry import RegistryClient
        from gristmill.deploy.registry_auth import Standard

        login = self.credentials(as_admin=as_admin)
        return RegistryClient(self.login_server, credentials=Standard(login=login))

    def _admin(self) -> Login:
        from gristmill.deploy.credentials import Login

        if not self.properties.get("adminUserEnabled"):
            raise AzureConflict(
                f"the admin user of {self.name} is off. Do without it (as_admin=False), or switch it on: "
                f"az acr update --name {self.name} --admin-enabled true"
            )
        with translated(f"the credentials of the registry {self.name}"):
            found = self.connection.registries.registries.list_credentials(self.group, self.name)
        passwords = [each.value for each in found.passwords or [] if each.value]
        if not found.username or not passwords:
            raise OperationFailed(f"Azure gave no password of the admin user of {self.name}")
        return Login(username=found.username, password=passwords[0])
