"""The published services: an in-memory copy that resolves without a query, over a store that is the truth."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from gristmill.errors import Conflict, Forbidden, InvalidInput, NotFound
from gristmill.identity import Permission, Principal, may_write
from gristmill.pool_quota import PoolQuota
from gristmill.ports import ServiceStore, SnapshotStore, StateUnavailable
from gristmill.publishing import Limits, check_service, with_changes
from gristmill.services import PoolSize, Runtime, ServiceVersion

__all__ = ["Registry"]

log = structlog.get_logger()


#: A write is tried so often, with pauses that grow from the first to the second, seconds, and are random.
_TRIES = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5
#: How long a list waits for the store before it shows what this node knows.
_LOOK_SECONDS = 2.0
#: What a write did: the revision after it, None if what is stored is not what it was, and what is stored now.
_Written = tuple[int | None, ServiceVersion | None]


class Registry:
    """Publish, resolve, patch and delete versions.

    Empty until the first `refresh`. What this node writes is seen at once; what other nodes write, after the
    next `refresh`, which is to be called every second or so.
    """

    def __init__(
        self,
        services: ServiceStore,
        snapshots: SnapshotStore,
        *,
        limits: Limits | None = None,
        pools: PoolQuota | None = None,
    ) -> None:
        self._store = services
        self._snapshots = snapshots
        self._limits = limits or Limits()
        self._pools = pools or PoolQuota()
        self._revision = -1
        #: In the order of publishing, of all names and of each.
        self._known: dict[tuple[str, str], ServiceVersion] = {}
        self._lock = asyncio.Lock()
        self._looks = 0  #: at the store's revision, begun so far
        self._seen = True  #: the last of them went well
        self._callbacks: list[Callable[[ServiceVersion], None]] = []

    def resolve(self, name: str, version: str) -> ServiceVersion:
        """The version; NotFound."""
        found = self._known.get((name, version))
        if found is None:
            raise _unknown(name, version)
        return found

    async def find(self, name: str, version: str) -> ServiceVersion:
        """As `resolve`; but what is not known here may just have been published by another node: one look.

        However many ask at the same time, the store is asked by one after the other, and by few of them.
        """
        found = self._known.get((name, version))
        if found is not None:
            return found
        begun = self._looks
        async with self._lock:
            if self._looks == begun or not self._seen:
                await self._look()
        return self.resolve(name, version)

    async def listed(self, name: str | None = None) -> list[ServiceVersion]:
        """As `versions`, after one look at what other nodes have written; without it if the store is away.

        For lists and other rare questions: the copy, at most a second old, is what calls go by.
        """
        begun = self._looks
        try:
            async with asyncio.timeout(_LOOK_SECONDS), self._lock:
                if self._looks == begun or not self._seen:
                    await self._look()
        except (StateUnavailable, TimeoutError) as error:
            log.warning("services_not_looked_at", why=str(error) or "no answer in time")
        return self.versions(name)

    def versions(self, name: str | None = None) -> list[ServiceVersion]:
        """All versions, or those of one name, oldest first."""
        return [service for service in self._known.values() if name is None or service.name == name]

    def subscribe(self, callback: Callable[[ServiceVersion], None]) -> None:
        """Have `callback` told of each version that was replaced or deleted, as it was before.

        Also of one that comes with shells of its own, as it is.
        """
        self._callbacks.append(callback)

    async def refresh(self) -> None:
        """Reload if the store's revision moved."""
        async with self._lock:
            await self._look()

    async def publish(self, draft: ServiceVersion, snapshot: str | None, by: Principal) -> ServiceVersion:
        """Store `draft` as a new version that `by` owns, with the content of his snapshot; durable on return.

        A realtime service has its content already: a vetted model that was just put into the blob store.

        Where `by` replaces, a version that exists is replaced in place, and left alone if it is the same.

        Raises Forbidden, InvalidInput, TooLarge, NotFound for a snapshot that is not his, and Conflict.
        """
        by.require(Permission.SERVICES_PUBLISH)
        operation_id = draft.operation_id or None
        service = replace(draft, owner=by.name, created=datetime.now(UTC), operation_id=operation_id)
        if service.runtime is not Runtime.REALTIME:
            service = await self._with_content(service, snapshot, by)
        return await self._store_new(service, by, over=by.replaces, fresh=False)

    async def take_in(self, draft: ServiceVersion, by: Principal, *, over: bool) -> ServiceVersion:
        """As `publish`, of a version whose content, if any, was put into the blob store just now.

        Where `over`, a version that exists is replaced, if `by` may change it.
        """
        by.require(Permission.SERVICES_PUBLISH)
        return await self._store_new(draft, by, over=over or by.replaces, fresh=True)

    async def _store_new(
        self, service: ServiceVersion, by: Principal, *, over: bool, fresh: bool
    ) -> ServiceVersion:
        check_service(service, self._limits)
        service = service.sealed()
        if service.pool is not None:
            self._pools.check(self._known.values(), service, service.pool)
        if over:
            return await self._put(service, by, fresh)
        return await self._add(service, fresh)

    async def _add(self, service: ServiceVersion, fresh: bool) -> ServiceVersion:

        async def change(old: ServiceVersion | None) -> _Written:
            return await self._store.add(service, fresh=fresh), service

        def is_done(old: ServiceVersion | None) -> bool:
            return old == service

        await self._write(service.name, service.version, change, is_done)
        return service

    async def _put(self, service: ServiceVersion, by: Principal, fresh: bool) -> ServiceVersion:
        """Add it, or replace what is there; its owner, its age and its shells stay."""

        async def change(old: ServiceVersion | None) -> _Written:
            if old is None:
                return await self._added(service, fresh), service
            _require_may_write(old, by)
            new = replace(service, owner=old.owner, created=old.created, pool=service.pool or old.pool)
            if replace(new, snapshot_id=old.snapshot_id) == old:
                return self._revision, old
            return await self._store.replace(old, new, fresh=fresh), new

        put = await self._write(service.name, service.version, change)
        assert put is not None
        return put

    async def _added(self, service: ServiceVersion, fresh: bool) -> int | None:
        """As the store's `add`; None if another node was faster."""
        try:
            return await self._store.add(service, fresh=fresh)
        except Conflict:
            return None

    async def patch(
        self, name: str, version: str, changes: Mapping[str, Any], by: Principal
    ) -> ServiceVersion:
        """The version with `changes` by record field; None keeps a value, `[]` clears a list.

        Raises Forbidden, NotFound, InvalidInput and TooLarge.
        """

        async def change(old: ServiceVersion) -> _Written:
            new = with_changes(old, changes)
            if changes.get("snapshot_id"):
                new = await self._with_content(new, changes["snapshot_id"], by)
            check_service(new, self._limits)
            new = new.sealed()
            return await self._store.replace(old, new), new

        patched = await self._change(name, version, by, change)
        assert patched is not None
        return patched

    async def delete(self, name: str, version: str, by: Principal) -> None:
        """Remove the version, and fail its batches; Forbidden, NotFound."""

        async def change(old: ServiceVersion) -> _Written:
            return await self._store.remove(old), None

        await self._change(name, version, by, change, is_done=lambda old: old is None)

    async def set_pool(self, name: str, version: str, size: PoolSize | None, by: Principal) -> None:
        """Give the version shells of its own, or take them away; Forbidden, QuotaExceeded, NotFound."""

        async def change(old: ServiceVersion) -> _Written:
            if old.runtime is Runtime.REALTIME:
                raise InvalidInput(f"{name} {version} is a realtime service: it needs no shells, and no pool")
            if size is not None:
                self._pools.check(self._known.values(), old, size)
            new = replace(old, pool=size)
            return await self._store.replace(old, new), new

        await self._change(name, version, by, change)

    async def _change(
        self,
        name: str,
        version: str,
        by: Principal,
        change: Callable[[ServiceVersion], Awaitable[_Written]],
        is_done: Callable[[ServiceVersion | None], bool] = lambda old: False,
    ) -> ServiceVersion | None:
        """As `_write`, of what is there and `by` may change. Raises NotFound, Forbidden."""

        async def checked(old: ServiceVersion | None) -> _Written:
            if old is None:
                raise _unknown(name, version)
            _require_may_write(old, by)
            return await change(old)

        return await self._write(name, version, checked, is_done)

    async def _write(
        self,
        name: str,
        version: str,
        change: Callable[[ServiceVersion | None], Awaitable[_Written]],
        is_done: Callable[[ServiceVersion | None], bool] = lambda old: False,
    ) -> ServiceVersion | None:
        """Apply `change` to what is stored. The one loop in which a write is tried again, `_TRIES` times.

        Again if another node was faster, which a revision of None says. Again, too, if the answer to a write
        was lost: it may have been written all the same, which `is_done` tells by what is stored then.
        """
        lost: StateUnavailable | None = None
        for number in range(_TRIES):
            await _pause_before(number)
            async with self._lock:
                await self._look()
                old = self._known.get((name, version))
                if lost is not None and is_done(old):
                    return old
                try:
                    revision, new = await change(old)
                except StateUnavailable as error:
                    lost = error
                    continue
                except Conflict:
                    if lost is None:
                        raise
                    continue  # with the write whose answer was lost, perhaps
                if revision is not None:
                    await self._settle(revision, old, new)
                    return new
        if lost is not None:
            raise lost
        raise Conflict(f"{name} {version} is being changed by others at this moment: try again")

    async def _with_content(
        self, service: ServiceVersion, snapshot_id: str | None, by: Principal
    ) -> ServiceVersion:
        if not snapshot_id:
            return replace(service, snapshot_id=None, content=None)
        snapshot = await self._snapshots.get(snapshot_id)
        if snapshot is None or snapshot.owner != by.name:
            raise NotFound(f"there is no snapshot {snapshot_id!r}")
        if snapshot.runtime != service.runtime:
            raise InvalidInput(
                f"snapshot {snapshot_id!r} holds a workspace of {snapshot.runtime}, "
                f"and the service runs on {service.runtime}"
            )
        return replace(service, snapshot_id=snapshot.id, content=snapshot.content)

    async def _look(self) -> None:
        """Take over what other nodes have written; under the lock."""
        self._looks += 1
        self._seen = False
        if await self._store.revision() != self._revision:
            await self._reload()
        self._seen = True

    async def _settle(self, revision: int, old: ServiceVersion | None, new: ServiceVersion | None) -> None:
        """Take over a write of our own; under the lock."""
        if revision != self._revision + 1:
            await self._reload()  # another node has written too: its versions may rank before ours
            return
        self._revision = revision
        if old is not None and new is None:
            del self._known[old.name, old.version]
        if new is not None:
            self._known[new.name, new.version] = new
        if old is not None:
            self._tell(old)
        elif new is not None and new.pool is not None:
            self._tell(new)

    async def _reload(self) -> None:
        before = self._known
        self._revision, services = await self._store.load()
        self._known = {(service.name, service.version): service for service in services}
        for key, service in before.items():
            if self._known.get(key) != service:
                self._tell(service)
        for key, service in self._known.items():
            if service.pool is not None and key not in before:
                self._tell(service)

    def _tell(self, service: ServiceVersion) -> None:
        for callback in self._callbacks:
            callback(service)


async def _pause_before(number: int) -> None:
    """Before the first try none; then longer and longer, and random, so that nodes do not keep meeting."""
    if number:
        await asyncio.sleep(random.uniform(0.5, 1.0) * min(_FIRST_PAUSE * 2.0**number, _LONGEST_PAUSE))


def _unknown(name: str, version: str) -> NotFound:
    return NotFound(f"there is no service {name!r} version {version!r}")


def _require_may_write(service: ServiceVersion, by: Principal) -> None:
    if not may_write(by, service.owner):
        raise Forbidden(
            f"{service.name} {service.version} belongs to {service.owner}: "
            f"{by.name} ({by.role}) may not change it"
        )
