"""What all calls share: subscription, cloud, credential, and Microsoft's clients over one transport."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gristmill.deploy.azure.answers import translated
from gristmill.deploy.azure.clouds import PUBLIC, Cloud

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import HttpTransport
    from azure.core.rest import HttpRequest
    from azure.mgmt.containerregistry import ContainerRegistryManagementClient
    from azure.mgmt.containerservice import ContainerServiceClient
    from azure.mgmt.resource.resources import ResourceManagementClient

__all__ = ["Connection", "Patience"]

_NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds to wait."""

    between: float = 5.0  #: two looks at a long operation, where Azure does not say itself
    whole: float = 3600.0  #: for its end
    replication: float = 300.0  #: for the directory to know a new identity


class Connection:
    """To one subscription. The clients are made when they are used: their import is slow."""

    def __init__(
        self,
        credential: TokenCredential,
        subscription: str | None,
        *,
        cloud: Cloud = PUBLIC,
        transport: HttpTransport[Any, Any] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.credential = credential
        self.subscription = subscription or _NOBODY
        self.cloud = cloud
        self.patience = patience or Patience()
        self._given = transport

    @cached_property
    def transport(self) -> HttpTransport[Any, Any]:
        """Of all clients."""
        from azure.core.pipeline.transport import RequestsTransport

        return self._given or RequestsTransport()

    @cached_property
    def resources(self) -> ResourceManagementClient:
        """Of groups, and of requests for which there is no client."""
        from azure.mgmt.resource.resources import ResourceManagementClient

        return ResourceManagementClient(self.credential, self.subscription, **self._settings)

    @cached_property
    def registries(self) -> ContainerRegistryManagementClient:
        """Of container registries."""
        from azure.mgmt.containerregistry import ContainerRegistryManagementClient

        return ContainerRegistryManagementClient(self.credential, self.subscription, **self._settings)

    @cached_property
    def clusters(self) -> ContainerServiceClient:
        """Of Kubernetes clusters."""
        from azure.mgmt.containerservice import ContainerServiceClient

        return ContainerServiceClient(self.credential, self.subscription, **self._settings)

    @property
    def _settings(self) -> dict[str, Any]:
        from gristmill import __version__

        return {
            "base_url": self.cloud.endpoint,
            "credential_scopes": [self.cloud.scope],
            "transport": self.transport,
            "polling_interval": self.patience.between,
            "user_agent": f"gristmill/{__version__}",
        }

    def call(self, method: str, path: str, api_version: str, body: Any = None, **query: str) -> Any:
        """A request to the Resource Manager for which there is no client that is kept; its JSON."""
        from azure.core.rest import HttpRequest

        url = f"{self.cloud.endpoint}{path}"
        request = HttpRequest(method, url, params={"api-version": api_version, **query}, json=body)
        return self._sent(request, f"{method} {path}")

    def pages(self, path: str, api_version: str, **query: str) -> list[dict[str, Any]]:
        """All that a list has, page by page."""
        from azure.core.rest import HttpRequest

        page = self.call("GET", path, api_version, **query)
        found = list(page.get("value") or [])
        # Our token is sent to where the next page is said to be: it has to be the same place.
        while str(link := page.get("nextLink") or "").startswith(f"{self.cloud.endpoint}/"):
            page = self._sent(HttpRequest("GET", link), f"GET {path}")
            found += page.get("value") or []
        return [each for each in found if isinstance(each, dict)]

    def _sent(self, request: HttpRequest, what: str) -> Any:
        with translated(what):
            answer = self.resources.send_request(request)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    def form(self, url: str, fields: Mapping[str, str], what: str) -> Any:
        """Post a form to a registry, without our token in its head; its JSON."""
        from azure.core import PipelineClient
        from azure.core.pipeline import policies
        from azure.core.rest import HttpRequest

        steps: list[Any] = [
            policies.RetryPolicy(),
            policies.ProxyPolicy(),
        ]  # no redirects: a form holds a token
        client: Any = PipelineClient(base_url=url, policies=steps, transport=self.transport)
        with translated(what):
            answer = client.send_request(HttpRequest("POST", url, data=dict(fields)))
            answer.raise_for_status()
            return json.loads(answer.text())
