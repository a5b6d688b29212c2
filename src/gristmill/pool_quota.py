"""How many shells of their own services may have: in all on a node, and of one user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gristmill.errors import QuotaExceeded
from gristmill.services import PoolSize, ServiceVersion

__all__ = ["PoolQuota"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolQuota:
    """Shells at the pools' largest sizes, on each node."""

    node: int = 64  #: of all dedicated pools together
    user: int = 32  #: of the pools of one user's services

    def check(self, services: Iterable[ServiceVersion], service: ServiceVersion, size: PoolSize) -> None:
        """Raise QuotaExceeded unless `service` may have a pool of `size` beside those of `services`."""
        of_others = [
            (other.owner, other.pool.maximum)
            for other in services
            if other.pool is not None and (other.name, other.version) != (service.name, service.version)
        ]
        self._check(
            size, sum(n for owner, n in of_others if owner == service.owner), self.user, service.owner
        )
        self._check(size, sum(n for _, n in of_others), self.node, None)

    def _check(self, size: PoolSize, taken: int, most: int, owner: str | None) -> None:
        if taken + size.maximum <= most:
            return
        whose, flag = (
            ("each node has", "--dedicated-shells")
            if owner is None
            else (f"services of {owner} may have", "--user-dedicated-shells")
        )
        raise QuotaExceeded(
            f"{whose} {most} dedicated shells at the most and {taken} are taken: {size.maximum} more do not "
            f"fit; ask for fewer, delete another pool, or have the administrator raise {flag}"
        )
