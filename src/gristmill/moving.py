"""Take a service out of a server as a file, and into another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

import structlog

from gristmill.archive_check import check_archive
from gristmill.disk import storing
from gristmill.errors import Conflict, Forbidden, InvalidInput
from gristmill.identity import Principal, may_write
from gristmill.off_loop import Work, off_loop
from gristmill.ports import Blob, BlobStore
from gristmill.realtime.publishing import Publisher
from gristmill.registry import Registry
from gristmill.service_file import MOST_HEAD, CheckedContent, Content, read_head, write_head
from gristmill.services import Runtime, ServiceVersion, check_name

__all__ = ["Checks", "Exported", "Moving"]

log = structlog.get_logger("gristmill.moving")
_CHUNK = 2**20


class Checks(Protocol):
    """What a dispatcher knows of code and models."""

    async def check(self, runtime: Runtime, code: str, init_code: str) -> None:
        """Raise InvalidInput unless both parse."""


class Exported(NamedTuple):
    """A file in two parts."""

    head: bytes
    content: BinaryIO | None  #: the caller's to close
    size: int  #: of both, bytes


class Moving:
    """Export and import; both raise what publishing and changing raise."""

    def __init__(
        self,
        registry: Registry,
        blobs: BlobStore,
        checks: Checks,
        publisher: Publisher,
        prepare: Callable[[ServiceVersion], Awaitable[object]],
        *,
        limit: int,
        staging: Path | None = None,
    ) -> None:
        self._registry = registry
        self._blobs = blobs
        self._checks = checks
        self.publisher = publisher
        self._prepare = prepare
        self._limit = limit
        self._staging = staging  #: where contents are kept on their way; the system's folder if None
        #: Bytes of a file to import.
        self.most = MOST_HEAD + max(limit, publisher.limit)

    async def export(self, name: str, version: str, by: Principal) -> Exported:
        """A version as a file. Forbidden unless `by` may change it: the file shows its code."""
        service = await self._registry.find(name, version)
        if not may_write(by, service.owner):
            raise Forbidden(
                f"{name} {version} was published by {service.owner}, and only they or an owner may export "
                "it: the file shows its code"
            )
        content, size = None, 0
        if service.content is not None:
            content = await self._blobs.open(service.content)
            size = os.fstat(content.fileno()).st_size
        try:
            head = await off_loop(Work.COMPUTE, write_head, service, size)
        except BaseException:
            if content is not None:
                content.close()
            raise
        log.info("service_exported", service=name, version=version, user=by.name)
        return Exported(head, content, len(head) + size)

    async def take_in(
        self,
        source: BinaryIO,
        by: Principal,
        *,
        name: str | None = None,
        version: str | None = None,
        over: bool = False,
    ) -> ServiceVersion:
        """Publish what is in `source`, a file at its start, perhaps under another name or version.

        Where it exists, Conflict, unless it may go `over` what is there.
        """
        service, content = await off_loop(Work.COMPUTE, read_head, source)
        service = replace(
            service,
            name=check_name("name", service.name if name is None else name),
            version=check_name("version", service.version if version is None else version),
            owner=by.name,
            created=datetime.now(UTC),
        )
        await self._refuse_early(service, by, over=over)
        if service.runtime is Runtime.REALTIME:
            service = await self._with_model(service, source, content)
        else:
            await self._checks.check(service.runtime, service.code, service.init_code)
            service = await self._with_archive(service, source, content)
        taken = await self._registry.take_in(service, by, over=over)
        if taken.runtime is Runtime.REALTIME:
            await self._prepare(taken)
        log.info("service_imported", service=taken.name, version=taken.version, user=by.name)
        return taken

    async def _refuse_early(self, service: ServiceVersion, by: Principal, *, over: bool) -> None:
        """Before anything is copied; the registry asks again."""
        known = await self._registry.listed(service.name)
        there = [each for each in known if each.version == service.version]
        if there and not over and not by.replaces:
            raise Conflict(f"service {service.name!r} version {service.version!r} exists already")
        if there and not may_write(by, there[0].owner):
            raise Forbidden(
                f"{service.name} {service.version} belongs to {there[0].owner}: "
                f"{by.name} ({by.role}) may not change it"
            )

    async def _with_archive(
        self, service: ServiceVersion, source: BinaryIO, content: Content | None
    ) -> ServiceVersion:
        if content is None:
            if await off_loop(Work.READ, source.read, 1):
                raise InvalidInput("something was added to the exported service after its manifest")
            return service
        with self.spool() as archive:
            await off_loop(Work.WRITE, self._copy, CheckedContent(source, content), archive, self._limit)
            await off_loop(Work.COMPUTE, check_archive, archive)
            archive.seek(0)
            blob: Blob = await self._blobs.put(archive, limit=self._limit)
        return replace(service, content=blob.digest)

    async def _with_model(
        self, service: ServiceVersion, source: BinaryIO, content: Content | None
    ) -> ServiceVersion:
        """Vetted as at publish: nothing says that it was ever vetted elsewhere."""
        if content is None or service.code or service.init_code:
            raise InvalidInput("the exported service is a realtime one, which has a model and no code")
        with self.spool() as model:
            await off_loop(
                Work.WRITE, self._copy, CheckedContent(source, content), model, self.publisher.limit
            )
            model.seek(0)
            accepted = await self.publisher.accept(model)
        return replace(
            service, inputs=accepted.inputs, outputs=accepted.outputs, content=accepted.content, pool=None
        )

    def spool(self) -> BinaryIO:
        """A new file without a name, for a content on its way; the caller closes it. StorageFull."""
        with storing(self._staging, "a content on its way"):
            return cast("BinaryIO", tempfile.TemporaryFile(dir=self._staging))

    def _copy(self, source: CheckedContent, target: BinaryIO, limit: int) -> None:
        source.check_size(limit)
        with storing(self._staging, "a content on its way"):
            while chunk := source.read(_CHUNK):
                target.write(chunk)
            target.flush()
