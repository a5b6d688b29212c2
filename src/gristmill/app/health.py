"""The health of a node, for `GET /status`."""

from __future__ import annotations

import time
from typing import Any

from gristmill import __version__
from gristmill.db import Database
from gristmill.dispatcher import Dispatcher
from gristmill.errors import GristmillError
from gristmill.launch.isolation import Isolation
from gristmill.sessions import Sessions

__all__ = ["Health"]


class Health:
    """Asks each part how it is."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        sessions: Sessions,
        isolation: Isolation,
        warnings: list[str],
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._isolation = isolation
        self._warnings = warnings
        self._started = time.monotonic()

    async def report(self) -> dict[str, Any]:
        """`{"statusCode", "details", "components"}`, down to each pool and the database."""
        pools = {name: _pool_status(pool) for name, pool in self._dispatcher.describe().items()}
        dedicated = {name: _pool_status(pool) for name, pool in self._dispatcher.dedicated.describe().items()}
        backends = {
            "statusCode": _worst(pools),
            "details": {"isolation": self._isolation.summary, "warnings": self._warnings},
            "components": {**pools, **dedicated, **self._realtime_status()},
        }
        components = {"backends": backends, "database": await self._database_status()}
        details = {
            "version": __version__,
            "uptimeSeconds": round(time.monotonic() - self._started, 1),
            "sessions": self._sessions.count,
            "runtimes": sorted(pools),
        }
        return {"statusCode": _worst(components), "details": details, "components": components}

    def _realtime_status(self) -> dict[str, Any]:
        """Nothing as long as no model is loaded."""
        counts = self._dispatcher.describe_realtime()
        return {"Realtime": {"statusCode": "pass", "details": counts, "components": {}}} if counts else {}

    async def _database_status(self) -> dict[str, Any]:
        try:
            await self._database.revision()
        except GristmillError as error:
            return {"statusCode": "fail", "details": {"error": error.message}, "components": {}}
        return {"statusCode": "pass", "details": {}, "components": {}}


def _pool_status(pool: dict[str, object]) -> dict[str, Any]:
    code = "pass" if pool["ready"] else "fail"
    if code == "pass" and pool["queued"]:
        code = "warn"
    return {"statusCode": code, "details": pool, "components": {}}


def _worst(components: dict[str, Any]) -> str:
    codes = {component["statusCode"] for component in components.values()}
    return next((code for code in ("fail", "warn") if code in codes), "pass")
