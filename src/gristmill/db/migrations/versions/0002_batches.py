"""Batches, the results of their items, and the blobs of both."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _batches()
    op.create_table(
        "batch_results",
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("item", sa.Integer, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("content", sa.Text),
        sa.Column("files", sa.Text),
        sa.PrimaryKeyConstraint("batch", "item", name="pk_batch_results"),
    )
    op.create_index("ix_batch_results_rank", "batch_results", ["batch", "rank"], unique=True)
    op.create_table(
        "batch_blobs",
        sa.Column("batch", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("batch", "digest", name="pk_batch_blobs"),
        sa.ForeignKeyConstraint(
            ["batch"], ["batches.sequence"], name="fk_batch_blobs_batch_batches", ondelete="CASCADE"
        ),
    )


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("parallel", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("completed", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("finished", sa.BigInteger),
        sa.Column("takes", sa.Integer, nullable=False),
        sa.Column("stalled", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("held_until", sa.Double),
        sa.UniqueConstraint("id", name="uq_batches_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_batches_state", "batches", ["state"])
    op.create_index("ix_batches_name_version", "batches", ["name", "version"])
