"""Who may do what: principals, roles and permissions, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gristmill.errors import Forbidden

__all__ = ["GRANTS", "Permission", "Principal", "Role", "may_write"]


class Permission(StrEnum):
    """`scope:action`."""

    SERVICES_READ = "services:read"
    SERVICES_CONSUME = "services:consume"
    SERVICES_PUBLISH = "services:publish"
    SERVICES_WRITE_OWN = "services:write-own"
    SERVICES_WRITE_ANY = "services:write-any"
    BATCHES_ANY = "batches:any"  #: those of others, too; one's own need `services:consume`
    SESSIONS_USE = "sessions:use"
    SNAPSHOTS_USE = "snapshots:use"
    STATUS_READ = "status:read"
    NODES_MANAGE = "nodes:manage"


class Role(StrEnum):
    """What the groups of an identity provider, or a local account, are mapped to."""

    OWNER = "owner"
    CONTRIBUTOR = "contributor"
    READER = "reader"


_READER = frozenset({Permission.SERVICES_READ, Permission.SERVICES_CONSUME, Permission.STATUS_READ})
_CONTRIBUTOR = _READER | {
    Permission.SERVICES_PUBLISH,
    Permission.SERVICES_WRITE_OWN,
    Permission.SESSIONS_USE,
    Permission.SNAPSHOTS_USE,
}
#: The only place where a role is given a permission.
GRANTS: dict[Role, frozenset[Permission]] = {
    Role.READER: _READER,
    Role.CONTRIBUTOR: _CONTRIBUTOR,
    Role.OWNER: frozenset(Permission),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller whose token was verified."""

    name: str
    role: Role
    #: Publishing what exists replaces it, as start-up publishing does: another node may be at it, too.
    replaces: bool = False

    def may(self, permission: Permission) -> bool:
        """Whether the role holds the permission."""
        return permission in GRANTS[self.role]

    def require(self, permission: Permission) -> None:
        """Raise Forbidden unless `may(permission)`."""
        if not self.may(permission):
            raise Forbidden(f"{self.name} ({self.role}) lacks the permission {permission}")


def may_write(principal: Principal, owner: str) -> bool:
    """Whether `principal` may change or delete a service that `owner` published."""
    if principal.may(Permission.SERVICES_WRITE_ANY):
        return True
    return principal.name == owner and principal.may(Permission.SERVICES_WRITE_OWN)
