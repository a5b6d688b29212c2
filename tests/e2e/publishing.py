"""Publish over plain REST, as any client does."""

from __future__ import annotations

from typing import Any

import httpx

__all__ = ["call", "parameters", "publish"]


def parameters(**types: str) -> list[dict[str, str]]:
    """`parameters(x="numeric")` → parameter definitions."""
    return [{"name": name, "type": kind.replace("frame", "data.frame")} for name, kind in types.items()]


def publish(
    client: httpx.Client,
    name: str,
    code: str,
    *,
    runtime: str = "Python",
    inputs: dict[str, str] | None = None,
    outputs: dict[str, str] | None = None,
    version: str = "1",
    **more: Any,
) -> str:
    """The path at which the new service is called."""
    body = {
        "code": code,
        "runtimeType": runtime,
        "inputParameterDefinitions": parameters(**(inputs or {})),
        "outputParameterDefinitions": parameters(**(outputs or {})),
        **more,
    }
    answer = client.post(f"/services/{name}/{version}", json=body)
    assert answer.status_code == 201, answer.text
    return f"/api/{name}/{version}"


def call(client: httpx.Client, path: str, **inputs: Any) -> Any:
    """The output parameters of a call that must succeed."""
    answer = client.post(path, json=inputs)
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["success"], result["errorMessage"]
    return result["outputParameters"]
