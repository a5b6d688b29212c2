"""Send a definition: its objects by way of a session and a snapshot, then the service itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gristmill.client.connection import JSON, Connection, path_of, to_json
from gristmill.client.definition import Definition
from gristmill.client.errors import GristmillError
from gristmill.client.packing import pack
from gristmill.client.sessions import AsyncSession
from gristmill.client.wire import Answer, Request

__all__ = ["Upload", "chosen_version", "open_session", "patch", "publish"]

#: Told of each upload: what it is, bytes sent so far, bytes in all.
Upload = Callable[[str, int, int], None]


async def publish(
    connection: Connection, name: str, version: str | None, definition: Definition, progress: Upload | None
) -> str:
    """Publish, and return the version: the given one, or what the server chose."""
    label = f"{name} {version}" if version else name
    async with _snapshot(connection, definition, label, progress) as snapshot:
        path = path_of("services", name, version) if version else path_of("services", name)
        request = Request("POST", path, JSON, to_json(definition.request(snapshot)))
        answer = await connection.send(request, what="publishing", service=label)
    return version or await chosen_version(connection, name, answer)


async def patch(
    connection: Connection, name: str, version: str, definition: Definition, progress: Upload | None
) -> None:
    """Change what the definition speaks of."""
    label = f"{name} {version}"
    async with _snapshot(connection, definition, label, progress) as snapshot:
        body = to_json(definition.request(snapshot))
        request = Request("PATCH", path_of("services", name, version), JSON, body)
        await connection.send(request, what="redeploying", service=label)


async def chosen_version(connection: Connection, name: str, answer: Answer) -> str:
    """The version that the server gave a service; `Location` says it, and an ML Server's list has it last."""
    location = answer.headers.get("location", "")
    if location:
        return location.rstrip("/").rpartition("/")[2]
    found = await connection.ask("GET", path_of("services", name))
    return str(found[-1]["version"])


@asynccontextmanager
async def _snapshot(
    connection: Connection, definition: Definition, label: str, progress: Upload | None
) -> AsyncIterator[str | None]:
    """A snapshot of what travels with the code, or None if nothing does; gone afterwards."""
    if not definition.objects and not definition.files:
        yield None
        return
    # Everything is packed before anything is sent: what cannot travel costs nothing then.
    packed = {name: pack(name, value) for name, value in definition.objects.items()}
    files = {name: _content(value) for name, value in definition.files.items()}
    session = await open_session(connection, definition.runtime, f"publishing {label}")
    snapshot = None
    try:
        for name, data in packed.items():
            await session._put(name, data, _told(progress, name))
        for name, data in files.items():
            await session.upload(data, name)
        snapshot = await session.snapshot(label)
        yield snapshot
    finally:
        await _quietly(connection, path_of("sessions", session.id, "force"))
        if snapshot is not None:
            await _quietly(connection, path_of("snapshots", snapshot))


async def open_session(
    connection: Connection, runtime: str, name: str = "", snapshot: str | None = None
) -> AsyncSession:
    """A new session."""
    body = {"name": name, "runtimeType": runtime, **({"snapshotId": snapshot} if snapshot else {})}
    found = await connection.ask("POST", "/sessions", body, what=f"starting a session of {runtime}")
    return AsyncSession(connection, found["sessionId"], runtime, name)


async def _quietly(connection: Connection, path: str) -> None:
    """Clean up; the server closes idle sessions itself, so that a failure here costs nobody the answer."""
    try:
        await connection.send(Request("DELETE", path))
    except GristmillError:
        return


def _told(progress: Upload | None, name: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda sent, total: progress(name, sent, total)


def _content(value: Any) -> bytes:
    return value if isinstance(value, bytes) else Path(value).read_bytes()
