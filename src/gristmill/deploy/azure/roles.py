"""Roles on a registry. Microsoft's package for them has not been kept since 2023; it is one request."""

from __future__ import annotations

import enum
import time
import uuid
from dataclasses import dataclass
from typing import Self

from gristmill.deploy.azure.connection import Connection
from gristmill.deploy.azure.errors import AzureConflict, AzureForbids, AzureRefused, BadAzureName, TookTooLong

__all__ = ["API_VERSION", "Assignment", "Role", "assign", "assignment_name"]

API_VERSION = "2022-04-01"
_PAUSE = 5.0


class Role(enum.StrEnum):
    """Built-in roles: their names. https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers."""

    ACR_PULL = "AcrPull"
    ACR_PUSH = "AcrPush"
    REPOSITORY_READER = "Container Registry Repository Reader"
    REPOSITORY_WRITER = "Container Registry Repository Writer"

    @classmethod
    def of(cls, text: str) -> Self:
        """By its name, in any case; raises BadAzureName."""
        for each in cls:
            if each.lower() == text.lower():
                return each
        raise BadAzureName(f"{text[:60]!r} is no role on a registry: it is one of {', '.join(cls)}")

    @property
    def definition(self) -> str:
        """Its id, the same in all of Azure."""
        return _DEFINITIONS[self]

    @property
    def by_repository(self) -> Role:
        """What does the same in a registry whose permissions are by repository."""
        return {
            Role.ACR_PULL: Role.REPOSITORY_READER,
            Role.ACR_PUSH: Role.REPOSITORY_WRITER,
        }.get(self, self)


_DEFINITIONS = {
    Role.ACR_PULL: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    Role.ACR_PUSH: "8311e382-0749-4cb8-b61a-304f252e45ec",
    Role.REPOSITORY_READER: "b93aa761-3e63-49ed-ac28-beffa264f7ac",
    Role.REPOSITORY_WRITER: "2a1e307c-b015-4ebd-883e-5b7698a07328",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A role that somebody has."""

    role: Role
    principal: str
    scope: str
    new: bool  #: whether it was given now


def assignment_name(scope: str, principal: str, role: Role) -> str:
    """The same for the same assignment, so that giving it twice gives it once."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope}|{role.definition}|{principal}".lower()))


def assign(connection: Connection, scope: str, principal: str, role: Role) -> Assignment:
    """Give it, and wait until Azure's directory knows an identity that was only just made."""
    path = (
        f"{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment_name(scope, principal, role)}"
    )
    definition = f"/subscriptions/{connection.subscription}/providers/Microsoft.Authorization/roleDefinitions"
    body = {
        "properties": {
            "roleDefinitionId": f"{definition}/{role.definition}",
            "principalId": principal,
            # Without it Azure looks the identity up in the directory, where a new one is not yet everywhere.
            "principalType": "ServicePrincipal",
        }
    }
    deadline = time.monotonic() + connection.patience.replication
    while True:
        try:
            connection.call("PUT", path, API_VERSION, body)
        except AzureConflict as conflict:
            if "(RoleAssignmentExists)" not in str(conflict):
                raise
            return Assignment(role=role, principal=principal, scope=scope, new=False)
        except AzureForbids as refusal:
            if _has(connection, scope, principal, role):  # an owner has given it, as the message asks for
                return Assignment(role=role, principal=principal, scope=scope, new=False)
            raise AzureForbids(_ask_an_owner(scope, principal, role, refusal)) from None
        except AzureRefused as refusal:
            if "(PrincipalNotFound)" not in str(refusal):
                raise
            if time.monotonic() > deadline:
                raise TookTooLong(
                    f"Azure's directory does not know the identity {principal} yet: run the same "
                    "command again in a few minutes"
                ) from None
            connection.transport.sleep(_PAUSE)
        else:
            return Assignment(role=role, principal=principal, scope=scope, new=True)


def _has(connection: Connection, scope: str, principal: str, role: Role) -> bool:
    """Whether it has the role, by whatever name; who may not even see that hears False."""
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments"
    try:
        listed = connection.pages(path, API_VERSION, **{"$filter": f"principalId eq '{principal}'"})
    except (AzureForbids, AzureRefused):
        return False
    given = [str((each.get("properties") or {}).get("roleDefinitionId")) for each in listed]
    return any(each.lower().endswith(f"/{role.definition}") for each in given)


def _ask_an_owner(scope: str, principal: str, role: Role, refusal: Exception) -> str:
    return (
        f"this login may not give roles ({refusal})\nAsk an owner, or a Role Based Access Control "
        f"Administrator, of the registry to run this once, and then run the same command again:\n"
        f"  az role assignment create --role '{role}' --assignee-object-id {principal} "
        f"--assignee-principal-type ServicePrincipal --scope {scope}"
    )
