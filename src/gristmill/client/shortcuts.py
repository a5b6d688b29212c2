"""What a notebook writes: the client's methods on the server that was connected to last."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from gristmill.client.blocking_api import Client
from gristmill.client.connecting import current

if TYPE_CHECKING:
    from typing import Concatenate, ParamSpec

    P = ParamSpec("P")

__all__ = [
    "delete",
    "list_services",
    "publish",
    "publish_realtime",
    "redeploy",
    "redeploy_realtime",
    "service",
    "session",
]

T = TypeVar("T")


def _on_current(method: Callable[Concatenate[Client, P], T], name: str) -> Callable[P, T]:
    """The method as a function, on `current()`."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(current(), name)(*args, **kwargs)

    signature = inspect.signature(method)
    call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    call.__qualname__, call.__module__ = name, "gristmill"
    return call


publish = _on_current(Client.publish, "publish")
redeploy = _on_current(Client.redeploy, "redeploy")
publish_realtime = _on_current(Client.publish_realtime, "publish_realtime")
redeploy_realtime = _on_current(Client.redeploy_realtime, "redeploy_realtime")
delete = _on_current(Client.delete, "delete")
service = _on_current(Client.service, "service")
list_services = _on_current(Client.services, "services")
session = _on_current(Client.session, "session")
