"""The database's own clock, as SQL: what several nodes agree on, whatever their own clocks say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

__all__ = ["epoch", "moment"]


class epoch(sa.sql.functions.FunctionElement[float]):  # noqa: N801 - reads as the SQL function that it is
    """Seconds since 1970, with fractions, as of the statement and not of its transaction."""

    type = sa.Double()
    name = "epoch"
    inherit_cache = True


@compiles(epoch, "sqlite")
def _sqlite(element: epoch, compiler: Any, **words: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch, "postgresql")
def _postgresql(element: epoch, compiler: Any, **words: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


def moment() -> sa.ColumnElement[datetime]:
    """Now, for a column of type `Moment`: microseconds since 1970."""
    return sa.cast(epoch() * 1_000_000.0, sa.BigInteger)  # type: ignore[arg-type]
