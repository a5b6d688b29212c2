"""Services, snapshots, accounts and their tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables; the counters start at 0."""
    _services()
    _snapshots()
    _accounts()
    counters = op.create_table(
        "revisions",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_revisions"),
    )
    op.bulk_insert(counters, [{"name": "services", "value": 0}, {"name": "accounts", "value": 0}])


def _services() -> None:
    op.create_table(
        "services",
        sa.Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("runtime", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("init_code", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("operation_id", sa.Text),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("outputs", sa.Text, nullable=False),
        sa.Column("output_files", sa.Text, nullable=False),
        sa.Column("snapshot_id", sa.Text),
        sa.Column("content", sa.Text),
        sa.Column("batchable", sa.Boolean, nullable=False),
        sa.Column("pool_initial", sa.Integer),
        sa.Column("pool_maximum", sa.Integer),
        sa.Column("digest", sa.Text, nullable=False),
        sa.UniqueConstraint("name", "version", name="uq_services_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_services_content", "services", ["content"])


def _snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("runtime", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("id", name="uq_snapshots_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_snapshots_owner", "snapshots", ["owner"])
    op.create_index("ix_snapshots_content", "snapshots", ["content"])


def _accounts() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_users"),
    )
    op.create_table(
        "token_families",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("refresh_hash", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_token_families"),
        sa.ForeignKeyConstraint(
            ["username"], ["users.name"], name="fk_token_families_username_users", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_token_families_username", "token_families", ["username"])
