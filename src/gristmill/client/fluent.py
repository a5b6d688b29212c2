"""Definitions said word by word, as ML Server's client had them: `service("x").code_fn(f).deploy()`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from gristmill.client.errors import InvalidInput

__all__ = ["RealtimeDefinition", "ServiceDefinition"]

D = TypeVar("D", bound="_Definition")


class _Deployer(Protocol):
    def deploy_service(self, name: str, **opts: Any) -> Any:
        """Publish."""

    def redeploy_service(self, name: str, **opts: Any) -> Any:
        """Change in place."""

    def deploy_realtime(self, name: str, **opts: Any) -> Any:
        """Publish a realtime service."""

    def redeploy_realtime(self, name: str, **opts: Any) -> Any:
        """Change one in place."""


class _Definition:
    def __init__(self, name: str, client: _Deployer) -> None:
        self._name = name
        self._client = client
        self._said: dict[str, Any] = {}

    def version(self: D, version: str) -> D:
        """Set the version; the server chooses one if it is not set."""
        return self._say(version=version)

    def alias(self: D, alias: str) -> D:
        """Set the name of the method that calls the service."""
        return self._say(alias=alias)

    def description(self: D, description: str) -> D:
        """Set what is said of the service."""
        return self._say(description=description)

    def _say(self: D, **said: Any) -> D:
        self._said.update(said)
        return self

    def _add(self: D, to: str, more: dict[str, Any]) -> D:
        self._said[to] = {**self._said.get(to, {}), **more}
        return self

    def __repr__(self) -> str:
        listed = "".join(f"\n   {key}: {value!r}" for key, value in self._said.items())
        return f"<{type(self).__name__}>\n   name: {self._name}{listed}"


class ServiceDefinition(_Definition):
    """A service of code; `deploy` publishes it."""

    def code_str(self, code: str, init: str | None = None) -> ServiceDefinition:
        """Set the code, and the init code, as texts."""
        return self._say(code_str=code, init_str=init)

    def code_fn(self, code: Callable[..., Any], init: Callable[..., Any] | None = None) -> ServiceDefinition:
        """Set the code, and the init code, as functions."""
        return self._say(code_fn=code, init_fn=init)

    def objects(self, **objects: Any) -> ServiceDefinition:
        """Add objects that the code uses, by their names."""
        return self._add("objects", objects)

    def models(self, **models: Any) -> ServiceDefinition:
        """Add models that the code uses, by their names."""
        return self._add("models", models)

    def inputs(self, **inputs: Any) -> ServiceDefinition:
        """Add inputs: names and types."""
        return self._add("inputs", inputs)

    def outputs(self, **outputs: Any) -> ServiceDefinition:
        """Add outputs: names and types."""
        return self._add("outputs", outputs)

    def artifacts(self, artifacts: Iterable[str] | None) -> ServiceDefinition:
        """Add names of files that the code writes."""
        return self._say(artifacts=[*self._said.get("artifacts", ()), *(artifacts or ())])

    def artifact(self, artifact: str | None) -> ServiceDefinition:
        """Add the name of a file that the code writes."""
        return self.artifacts([artifact] if artifact else None)

    def deploy(self) -> Any:
        """Publish the service, and return it ready to be called."""
        return self._client.deploy_service(self._name, **self._said)

    def redeploy(self, force: bool = False) -> Any:
        """Change the published version in place; `force` is taken, and means nothing."""
        return self._client.redeploy_service(self._name, **self._said)


class RealtimeDefinition(_Definition):
    """A service that is scored natively, without an interpreter; `deploy` publishes it."""

    def serialized_model(self, model: bytes) -> RealtimeDefinition:
        """Set the model, in the form that realtime services take; its first bytes are `blob`."""
        if "serialized_model" in self._said:
            raise InvalidInput(f"{self._name}: a realtime service has one model, and it is set already")
        return self._say(serialized_model=model)

    def deploy(self) -> Any:
        """Publish the service, and return it ready to be called."""
        return self._client.deploy_realtime(self._name, **self._said)

    def redeploy(self, force: bool = False) -> Any:
        """Change the published version in place; `force` is taken, and means nothing."""
        return self._client.redeploy_realtime(self._name, **self._said)
