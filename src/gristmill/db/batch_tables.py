"""The tables of batches, and how records travel to their rows and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from gristmill.db.tables import Moment, metadata, service_from, service_values
from gristmill.jobs import Batch, BatchState, ItemResult

__all__ = ["batch_of", "batch_values", "batches", "blobs", "result_of", "result_values", "results"]

_Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),
    sa.Column("parallel", sa.Integer, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("completed", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("finished", Moment),
    sa.Column("takes", sa.Integer, nullable=False),
    sa.Column("stalled", sa.Integer, nullable=False),
    sa.Column("holder", sa.Text),
    sa.Column("held_until", sa.Double),
    sa.Index("ix_batches_name_version", "name", "version"),
    sqlite_autoincrement=True,
)
#: Rows may outlive their batch for a moment: large batches are deleted piece by piece.
results = sa.Table(
    "batch_results",
    metadata,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("item", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("ok", sa.Boolean, nullable=False),
    sa.Column("body", sa.LargeBinary),
    sa.Column("content", sa.Text),
    sa.Column("files", sa.Text),
    sa.Index("ix_batch_results_rank", "batch", "rank", unique=True),
)
#: Every blob that a batch or one of its results refers to, so that they are found without a look at results.
blobs = sa.Table(
    "batch_blobs",
    metadata,
    sa.Column(
        "batch", sa.BigInteger, sa.ForeignKey("batches.sequence", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("digest", sa.Text, primary_key=True),
)


def batch_values(batch: Batch) -> dict[str, Any]:
    """Columns of a batch, but for `sequence` and who holds it."""
    values = {name: getattr(batch, name) for name in Batch.__dataclass_fields__}
    values["name"], values["version"] = batch.service.name, batch.service.version
    values["service"] = msgspec.json.encode(service_values(batch.service)).decode()
    values["state"] = batch.state.value
    return values


def batch_of(row: sa.Row[Any]) -> Batch:
    """The batch that a row of `batches` holds."""
    values = dict(row._mapping)
    for name in ("sequence", "name", "version", "holder", "held_until"):
        del values[name]
    service = msgspec.json.decode(values["service"])
    service["created"] = datetime.fromisoformat(service["created"])
    values["service"] = service_from(service)
    values["state"] = BatchState(values["state"])
    return Batch(**values)


def result_values(result: ItemResult, batch: int, rank: int) -> dict[str, Any]:
    """Columns of a result that is recorded as the `rank`th of its batch."""
    return {
        "batch": batch,
        "item": result.index,
        "rank": rank,
        "ok": result.ok,
        "body": result.body,
        "content": result.content,
        "files": result.files,
    }


def result_of(row: sa.Row[Any]) -> ItemResult:
    """The result that a row of `batch_results` holds."""
    return ItemResult(
        index=row.item,
        rank=row.rank,
        ok=row.ok,
        body=None if row.body is None else bytes(row.body),
        content=row.content,
        files=row.files,
    )
