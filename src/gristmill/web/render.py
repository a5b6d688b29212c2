"""Records of the core → responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from pydantic_core import to_json
from starlette.responses import Response, StreamingResponse

from gristmill.identity import Principal, may_write
from gristmill.off_loop import Work, off_loop
from gristmill.ports import Snapshot
from gristmill.services import ServiceVersion
from gristmill.web.context import TokenPair
from gristmill.web.models import SessionInfo, SnapshotInfo, Tokens, WebService

if TYPE_CHECKING:
    from gristmill.sessions import Session

__all__ = ["download", "json", "parts", "services", "session", "snapshot", "timestamp", "tokens"]

_CHUNK = 256 * 1024
#: Bytes of JSON that are encoded before others have their turn.
_AT_ONCE = 256 * 1024


def json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Compact JSON of models, lists, dicts and plain values; NaN leaves as null."""
    body = to_json(content, by_alias=True, inf_nan_mode="null")
    return Response(body, status, headers, "application/json")


def timestamp(moment: datetime) -> str:
    """ISO-8601 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tokens(pair: TokenPair) -> Response:
    """A token pair, which nobody on the way may keep."""
    shown = Tokens(
        access_token=pair.access_token,
        expires_in=pair.expires_in,
        expires_on=str(pair.expires_on),
        refresh_token=pair.refresh_token,
    )
    return json(shown, headers={"Cache-Control": "no-store"})


async def services(versions: Iterable[ServiceVersion], viewer: Principal) -> Response:
    """Service versions as `viewer` may see them; others have their turn while many are encoded."""
    parts, size = [], 0
    for version in versions:
        parts.append(to_json(_service(version, viewer), by_alias=True, inf_nan_mode="null"))
        size += len(parts[-1])
        if size > _AT_ONCE:
            size = 0
            await asyncio.sleep(0)
    return Response(b"[%b]" % b",".join(parts), 200, None, "application/json")


def _service(version: ServiceVersion, viewer: Principal) -> WebService:
    writable = may_write(viewer, version.owner)
    return WebService.model_construct(
        name=version.name,
        version=version.version,
        version_published_by=version.owner,
        creation_time=timestamp(version.created),
        snapshot_id=version.snapshot_id,
        runtime_type=version.runtime.value,
        init_code=version.init_code if writable else "",
        code=version.code if writable else "",
        description=version.description,
        operation_id=version.operation_id,
        input_parameter_definitions=[parameter.describe() for parameter in version.inputs],
        output_parameter_definitions=[parameter.describe() for parameter in version.outputs],
        output_file_names=list(version.output_files),
        my_permission_on_service="read/write" if writable else "read only",
        batchable=version.batchable,
    )


def session(live: Session) -> SessionInfo:
    """A session as listed."""
    return SessionInfo.model_construct(
        id=live.id, name=live.name, owner=live.owner, runtime_type=live.runtime.value
    )


def snapshot(stored: Snapshot) -> SnapshotInfo:
    """A snapshot as listed."""
    return SnapshotInfo(
        id=stored.id,
        name=stored.name,
        owner=stored.owner,
        creation_time=timestamp(stored.created),
        content_size=stored.size,
    )


def download(file: BinaryIO, name: str) -> Response:
    """Stream `file` as an attachment called `name`, and close it; `name` may hold any characters."""
    size = file.seek(0, 2)
    file.seek(0)
    return parts(b"", file, size, name)


def parts(head: bytes, file: BinaryIO | None, size: int, name: str) -> Response:
    """Stream `head` and then `file`, `size` bytes in all, as `download` does."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ()") else "_" for c in name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": disposition,
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(_chunks(head, file), 200, headers, "application/octet-stream")


async def _chunks(head: bytes, file: BinaryIO | None) -> AsyncIterator[bytes]:
    try:
        for start in range(0, len(head), _CHUNK):
            yield head[start : start + _CHUNK]
        while file is not None and (chunk := await off_loop(Work.READ, file.read, _CHUNK)):
            yield chunk
    finally:
        if file is not None:
            # In a thread: with a large file that has no name, its space is given back then.
            await asyncio.shield(asyncio.ensure_future(off_loop(Work.REMOVE, file.close)))
