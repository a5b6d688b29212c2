"""Gristmill: publish a fitted model, in R or Python, as a named, versioned, secured web service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from gristmill.client import (
        AsyncClient,
        Client,
        Frame,
        Result,
        connect,
        connect_async,
        delete,
        list_services,
        publish,
        publish_realtime,
        redeploy,
        redeploy_realtime,
        service,
        session,
    )
    from gristmill.serializing import serialize_model

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "Frame",
    "Result",
    "__version__",
    "connect",
    "connect_async",
    "delete",
    "list_services",
    "publish",
    "publish_realtime",
    "redeploy",
    "redeploy_realtime",
    "serialize_model",
    "service",
    "session",
]


def __getattr__(name: str) -> Any:
    """The client's names, loaded when the first is used: shells and the server import this package too."""
    import importlib

    if name in {"client", "compat"}:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "gristmill.serializing" if name == "serialize_model" else "gristmill.client"
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
