"""The operations of the core API, a module for each group."""

from gristmill.web.endpoints import Table
from gristmill.web.routes import (
    batches,
    docs,
    exported,
    files,
    later,
    login,
    pools,
    realtime,
    services,
    sessions,
    snapshots,
    status,
    v2,
    workspace,
)

__all__ = ["TABLES"]

TABLES: tuple[Table, ...] = (
    login.table,
    services.table,
    pools.table,
    realtime.table,
    exported.table,
    v2.table,
    batches.table,
    sessions.table,
    workspace.table,
    files.table,
    snapshots.table,
    status.table,
    later.table,
    docs.table,
)
