"""Pools of services that asked for shells of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import StrEnum

import structlog

from gristmill.background import Background
from gristmill.pool import Pool
from gristmill.pool_quota import PoolQuota
from gristmill.services import ServiceVersion

__all__ = ["MOST_DEDICATED", "DedicatedPools", "PoolStatus"]

log = structlog.get_logger()

_Key = tuple[str, str]
#: Shells of a node's dedicated pools together, at their largest, unless it is set.
MOST_DEDICATED = PoolQuota().node


class PoolStatus(StrEnum):
    """What the protocol says of a service's pool on a node."""

    SUCCESS = "Success"  #: its initial shells are there and hold the service
    PENDING = "Pending"
    NOT_FOUND = "NotFound"


class DedicatedPools:
    """Kept in step with the registry by `arrange`; what is no longer wanted finishes its calls."""

    def __init__(
        self,
        make: Callable[[ServiceVersion], Pool],
        *,
        most_shells: int = MOST_DEDICATED,
        background: Background | None = None,
    ) -> None:
        self._make = make
        self._background = background or Background()
        self._most_shells = most_shells
        self._pools: dict[_Key, tuple[ServiceVersion, Pool]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._pools)

    def find(self, service: ServiceVersion) -> Pool | None:
        """The service's own pool, or None."""
        held = self._pools.get((service.name, service.version))
        return None if held is None else held[1]

    def status(self, service: ServiceVersion) -> PoolStatus:
        """Of the pool of this version on this node."""
        pool = self.find(service)
        if pool is None:
            return PoolStatus.PENDING if service.pool else PoolStatus.NOT_FOUND
        return PoolStatus.SUCCESS if pool.settled else PoolStatus.PENDING

    def arrange(self, services: Iterable[ServiceVersion]) -> None:
        """Start the pools that are wanted and missing, and let go of those that are not wanted any more."""
        wanted = {(service.name, service.version): service for service in services if service.pool}
        for key, (service, pool) in list(self._pools.items()):
            now = wanted.get(key)
            if now is None or (now.digest, now.pool) != (service.digest, service.pool):
                del self._pools[key]
                self._let_go(pool)
        for key, service in wanted.items():
            if key not in self._pools and self._has_room(service):
                self._start(key, service)

    def _has_room(self, service: ServiceVersion) -> bool:
        """Tells whether its shells may be started here; without, its calls go to the generic pool."""
        held = sum(other.pool.maximum for other, _ in self._pools.values() if other.pool)
        asked = service.pool.maximum if service.pool else 0
        if held + asked <= self._most_shells:
            return True
        log.warning(
            "pool_not_started",
            service=service.name,
            version=service.version,
            shells=asked,
            free=self._most_shells - held,
        )
        return False

    def _start(self, key: _Key, service: ServiceVersion) -> None:
        pool = self._make(service)
        pool.start()
        self._pools[key] = (service, pool)
        log.info("pool_started", service=service.name, version=service.version)

    def describe(self) -> dict[str, dict[str, object]]:
        """Each pool's counts, by `name version`."""
        return {f"{name} {version}": pool.describe() for (name, version), (_, pool) in self._pools.items()}

    async def close(self) -> None:
        """End all their shells."""
        pools = [pool for _, pool in self._pools.values()]
        self._pools.clear()
        await asyncio.gather(*(pool.close() for pool in pools), *self._leaving)

    def _let_go(self, pool: Pool) -> None:
        task = self._background.once("retire pool", pool.retire())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
