"""A subscription of Azure, and its resource groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gristmill.deploy.azure.answers import translated
from gristmill.deploy.azure.connection import Connection
from gristmill.deploy.azure.errors import AzureConflict, BadAzureName, NotInAzure
from gristmill.deploy.azure.group import ResourceGroup
from gristmill.deploy.azure.names import group_name, region
from gristmill.deploy.azure.waiting import Watch, finish, unseen

__all__ = ["Azure"]


class Azure:
    """A subscription, by `login()`."""

    def __init__(self, connection: Connection, *, watch: Watch = unseen) -> None:
        self.connection = connection
        self.watch = watch

    @property
    def subscription(self) -> str:
        """Its id."""
        return self.connection.subscription

    def __repr__(self) -> str:
        return f"<Azure subscription {self.subscription}, {self.connection.cloud.name}>"

    def list_resource_groups(self) -> list[ResourceGroup]:
        """All of them, by name."""
        with translated("listing the resource groups"):
            found = [self._group(each.as_dict()) for each in self.connection.resources.resource_groups.list()]
        return sorted(found, key=lambda each: each.name.lower())

    def get_resource_group(self, name: str) -> ResourceGroup:
        """One of them; NotInAzure if there is none of this name."""
        name = group_name(name)
        with translated(f"the resource group {name}"):
            return self._group(self.connection.resources.resource_groups.get(name).as_dict())

    def resource_group(self, name: str) -> ResourceGroup:
        """One of this name, without asking whether it is there: for what says so itself, as deleting does."""
        return self._group({"name": group_name(name), "location": "unknown"})

    def create_resource_group(
        self, name: str, location: str, *, tags: Mapping[str, str] | None = None
    ) -> ResourceGroup:
        """Make it; one that is there already is given as it is, if it is in this location."""
        name, location = group_name(name), region(location)
        try:
            found = self.get_resource_group(name)
        except NotInAzure:
            return self._make_group(name, location, tags)
        if region(found.location) != location:
            raise AzureConflict(
                f"the resource group {name} exists already, in {found.location}, not in {location}: "
                "leave the location out, or choose another name"
            )
        return found

    def ensure_resource_group(self, name: str, location: str | None = None) -> ResourceGroup:
        """The one that is there, wherever; else a new one, for which a location is needed."""
        try:
            return self.get_resource_group(name)
        except NotInAzure:
            if location is None:
                raise BadAzureName(
                    f"there is no resource group {name}, and no --location to make it in, such as westeurope"
                ) from None
            return self._make_group(name, region(location), None)

    def delete_resource_group(self, name: str) -> None:
        """Delete it with everything that is in it. That it is not there is no error."""
        name = group_name(name)
        groups = self.connection.resources.resource_groups
        try:
            finish(
                lambda: groups.begin_delete(name),
                f"deleting the resource group {name}",
                again=f"gristmill azure group delete {name}",
                patience=self.connection.patience,
                watch=self.watch,
            )
        except NotInAzure:
            return

    def _make_group(self, name: str, location: str, tags: Mapping[str, str] | None) -> ResourceGroup:
        body: dict[str, Any] = {"location": location, "tags": dict(tags or {})}
        with translated(f"creating the resource group {name}"):
            made = self.connection.resources.resource_groups.create_or_update(name, body)
        return self._group(made.as_dict())

    def _group(self, found: Mapping[str, Any]) -> ResourceGroup:
        return ResourceGroup(self.connection, found, watch=self.watch)
