"""Services as files: out of a server, and into one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Union

from gristmill.client.connection import Connection, path_of
from gristmill.client.errors import InvalidInput
from gristmill.client.wire import Progress, Request

__all__ = ["FilePath", "export_service", "import_service"]

FilePath = Union[str, "os.PathLike[str]"]
_TYPE = {"Content-Type": "application/octet-stream"}
_MAGIC = b"gristmill-service "


async def export_service(
    connection: Connection, name: str, version: str, target: Path, progress: Progress | None
) -> Path:
    """Write a version to a file, which is there once it is complete."""
    with _appearing(target) as file:
        request = Request("GET", path_of("exported-services", name, version), sink=file, progress=progress)
        await connection.send(request, what="exporting", service=f"{name} {version}")
    return target


async def import_service(
    connection: Connection,
    path: FilePath,
    *,
    name: str | None,
    version: str | None,
    replace: bool,
    progress: Progress | None,
) -> tuple[str, str]:
    """Publish what is in a file; name and version of it."""
    given = {"name": name, "version": version, "replace": "true" if replace else None}
    params = {key: value for key, value in given.items() if value is not None}
    with _opened(path) as file:
        request = Request("POST", "/exported-services", _TYPE, source=file, params=params, progress=progress)
        answer = await connection.send(request, what="importing", service=Path(path).name)
    _, found, chosen = answer.headers["location"].rsplit("/", 2)
    return found, chosen


@contextmanager
def _opened(path: FilePath) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise InvalidInput(
                    f"{os.fspath(path)} is no exported service: `gristmill export` writes such files"
                )
            yield file
    except OSError as error:
        raise InvalidInput(f"{os.fspath(path)} cannot be read: {error.strerror}") from None


@contextmanager
def _appearing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when all of it is written, and else leaves nothing."""
    temporary = target.with_name(f".{target.name[:100]}-{secrets.token_hex(8)}")
    try:
        with temporary.open("x+b") as file:
            yield file
        temporary.replace(target)
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
