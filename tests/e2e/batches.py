"""Batches over plain REST, as any client does."""

from __future__ import annotations

import json
from typing import Any

import httpx

__all__ = ["events", "finish", "start"]


def start(client: httpx.Client, path: str, items: Any, **query: Any) -> str:
    """The address of the new batch."""
    answer = client.post(f"{path}/batch", json=items, params=query)
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def events(client: httpx.Client, batch: str) -> list[dict[str, Any]]:
    """Every progress of the batch until the stream ends."""
    with client.stream("GET", f"{batch}/events", timeout=120) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def finish(client: httpx.Client, batch: str) -> dict[str, Any]:
    """The batch with all its results, once it has ended."""
    events(client, batch)
    found: dict[str, Any] = client.get(batch).json()
    assert found["state"] in {"Complete", "Failed"}, found["state"]
    return found
