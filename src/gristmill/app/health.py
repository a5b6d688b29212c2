"""The health of a node, for `GET /status`, and whether it should get requests, for `GET /health/ready`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from gristmill import __version__
from gristmill.app.storage import Storage
from gristmill.auth.verdicts import LONGEST
from gristmill.background import Background
from gristmill.db import Database
from gristmill.dispatcher import Dispatcher
from gristmill.errors import GristmillError
from gristmill.launch.isolation import Isolation
from gristmill.off_loop import Work, busy
from gristmill.sessions import Sessions
from gristmill.web.context import Readiness

__all__ = ["Health", "Watch"]

#: What the database is given to answer for `/status`, seconds: who asks wants to know now.
_LOOK_SECONDS = 2.0
#: The database is looked at every second; silence of so many is worth a word.
_SILENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What goes on beside the requests."""

    background: Background = field(default_factory=Background)
    storage: Storage = field(default_factory=lambda: Storage([]))


class Health:
    """Asks each part how it is."""

    def __init__(
        self,
        database: Database,
        dispatcher: Dispatcher,
        sessions: Sessions,
        isolation: Isolation,
        warnings: list[str],
        watch: Watch | None = None,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._isolation = isolation
        self._warnings = warnings
        self._watch = watch or Watch()
        self._started = time.monotonic()

    async def report(self) -> dict[str, Any]:
        """`{"statusCode", "details", "components"}`, down to each pool, disk and background work."""
        pools = {name: _pool_status(pool) for name, pool in self._dispatcher.describe().items()}
        dedicated = {name: _pool_status(pool) for name, pool in self._dispatcher.dedicated.describe().items()}
        backends = _part(
            {**pools, **dedicated, **self._realtime_status()},
            {"isolation": self._isolation.summary, "warnings": self._warnings},
        )
        components = {
            "backends": backends,
            "database": await self._database_status(),
            "storage": self._watch.storage.describe(),
            "background": _part(self._watch.background.describe(), {}),
            "threads": _threads_status(),
        }
        details = {
            "version": __version__,
            "uptimeSeconds": round(time.monotonic() - self._started, 1),
            "sessions": self._sessions.count,
            "runtimes": sorted(pools),
        }
        return _part(components, details)

    def readiness(self) -> Readiness:
        """Whether requests are welcome, by what was last seen: nothing is asked.

        Calls of known services by known callers need neither database nor disk. So a node is ready while
        these are away, and says so; it is not ready any more when it knows no caller either.
        """
        silence = self._database.silence
        silent = f"the database has not answered for {silence:.0f} s"
        if silence >= LONGEST:
            return Readiness("fail", f"{silent}, and no caller is known any more")
        if self._database.damage is not None:
            return Readiness("warn", self._database.damage.message)
        if silence >= _SILENCE_SECONDS:
            return Readiness("warn", f"{silent}: only known callers are served")
        trouble = self._watch.storage.trouble()
        return Readiness("warn", trouble) if trouble else Readiness("pass")

    def _realtime_status(self) -> dict[str, Any]:
        """Nothing as long as no model is loaded."""
        counts = self._dispatcher.describe_realtime()
        return {"Realtime": {"statusCode": "pass", "details": counts, "components": {}}} if counts else {}

    async def _database_status(self) -> dict[str, Any]:
        try:
            await self._database.revision(seconds=_LOOK_SECONDS)
        except GristmillError as error:
            silent = round(self._database.silence, 1)
            details = {"error": error.message, "secondsSinceAnswer": silent}
            return {"statusCode": "fail", "details": details, "components": {}}
        damage = self._database.damage
        if damage is not None:
            return {"statusCode": "fail", "details": {"error": damage.message}, "components": {}}
        return {"statusCode": "pass", "details": {}, "components": {}}


def _pool_status(pool: dict[str, object]) -> dict[str, Any]:
    """A pool without a shell fails if the last start failed; else its first shells are still starting."""
    if not pool["ready"]:
        code = "fail" if pool.get("error") else "warn"
    else:
        code = "warn" if pool["queued"] or pool.get("error") else "pass"
    return {"statusCode": code, "details": pool, "components": {}}


def _threads_status() -> dict[str, Any]:
    """How many functions of each kind run or wait off the loop; a warning where some wait."""
    running = busy()
    waiting = any(running[work.name.lower()] > work.value for work in Work)
    return {"statusCode": "warn" if waiting else "pass", "details": dict(running), "components": {}}


def _part(components: dict[str, Any], details: dict[str, Any]) -> dict[str, Any]:
    """A part that is as well as the worst of its own."""
    codes = {component["statusCode"] for component in components.values()}
    code = next((code for code in ("fail", "warn") if code in codes), "pass")
    return {"statusCode": code, "details": details, "components": components}
