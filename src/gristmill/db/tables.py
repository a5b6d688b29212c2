"""The tables, and how records travel to their rows and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from gristmill.identity import Role
from gristmill.ports import Snapshot, TokenFamily, User
from gristmill.schema import Form, Parameter, ParameterType
from gristmill.services import PoolSize, Runtime, ServiceVersion

__all__ = [
    "Moment",
    "bundles",
    "families",
    "family_of",
    "installation",
    "metadata",
    "revisions",
    "service_from",
    "service_of",
    "service_values",
    "services",
    "snapshot_of",
    "snapshots",
    "user_of",
    "users",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(sa.TypeDecorator[datetime]):
    """A datetime with zone as microseconds since the epoch: exact, and the same in every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else _EPOCH + value * _MICROSECOND


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
#: Grows for ever, so that the order of publishing survives removals.
_Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: One counter per in-memory copy that nodes hold: `services` and `accounts`.
revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
services = sa.Table(
    "services",
    metadata,
    sa.Column("id", _Sequence, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("runtime", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("init_code", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("operation_id", sa.Text),
    sa.Column("inputs", sa.Text, nullable=False),
    sa.Column("outputs", sa.Text, nullable=False),
    sa.Column("output_files", sa.Text, nullable=False),
    sa.Column("snapshot_id", sa.Text),
    sa.Column("content", sa.Text, index=True),
    sa.Column("batchable", sa.Boolean, nullable=False),
    sa.Column("pool_initial", sa.Integer),
    sa.Column("pool_maximum", sa.Integer),
    sa.Column("digest", sa.Text, nullable=False),
    sa.UniqueConstraint("name", "version"),
    sqlite_autoincrement=True,
)
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False, index=True),
    sa.Column("runtime", sa.Text, nullable=False),
    sa.Column("created", Moment, nullable=False),
    sa.Column("content", sa.Text, nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
users = sa.Table(
    "users",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("created", Moment, nullable=False),
)
families = sa.Table(
    "token_families",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column(
        "username", sa.Text, sa.ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("refresh_hash", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False),
)
#: Digests of what was published at start-up: it is not published again.
bundles = sa.Table(
    "bundles",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("applied", Moment, nullable=False),
)
#: One row: by it a folder of contents knows its database.
installation = sa.Table("installation", metadata, sa.Column("id", sa.Text, primary_key=True))


def service_values(service: ServiceVersion) -> dict[str, Any]:
    """Columns of a version, but for `id`."""
    values = {name: getattr(service, name) for name in ServiceVersion.__dataclass_fields__}
    values["runtime"] = service.runtime.value
    values["inputs"] = _parameters_text(service.inputs)
    values["outputs"] = _parameters_text(service.outputs)
    values["output_files"] = msgspec.json.encode(service.output_files).decode()
    pool = values.pop("pool")
    values["pool_initial"], values["pool_maximum"] = (pool.initial, pool.maximum) if pool else (None, None)
    return values


def service_of(row: sa.Row[Any]) -> ServiceVersion:
    """The version that a row of `services` holds."""
    values = dict(row._mapping)
    del values["id"]
    return service_from(values)


def service_from(values: dict[str, Any]) -> ServiceVersion:
    """The version of which `service_values` made these; consumes them."""
    values["runtime"] = Runtime(values["runtime"])
    values["inputs"] = _parameters_of(values["inputs"])
    values["outputs"] = _parameters_of(values["outputs"])
    values["output_files"] = tuple(msgspec.json.decode(values["output_files"]))
    initial, maximum = values.pop("pool_initial"), values.pop("pool_maximum")
    values["pool"] = None if maximum is None else PoolSize(initial=initial, maximum=maximum)
    return ServiceVersion(**values)


def snapshot_of(row: sa.Row[Any]) -> Snapshot:
    """The snapshot that a row of `snapshots` holds."""
    values = dict(row._mapping)
    del values["sequence"]
    values["runtime"] = Runtime(values["runtime"])
    return Snapshot(**values)


def user_of(row: sa.Row[Any]) -> User:
    """The account that a row of `users` holds."""
    values = dict(row._mapping)
    values["role"] = Role(values["role"])
    return User(**values)


def family_of(row: sa.Row[Any]) -> TokenFamily:
    """The family that a row of `token_families` joined with the user's role holds."""
    values = dict(row._mapping)
    values["role"] = Role(values["role"])
    return TokenFamily(**values)


def _parameters_text(parameters: tuple[Parameter, ...]) -> str:
    return msgspec.json.encode([p.describe() for p in parameters]).decode()


def _parameters_of(text: str) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            name=p["name"],
            type=ParameterType(p["type"]),
            columns=tuple(p.get("columns", ())),
            form=Form(p.get("form", Form.FRAME.value)),
        )
        for p in msgspec.json.decode(text)
    )
