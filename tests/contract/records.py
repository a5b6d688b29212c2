"""Records to store."""

from datetime import UTC, datetime
from typing import Any

from gristmill.identity import Role
from gristmill.jobs import Batch, ItemResult
from gristmill.ports import Snapshot, TokenFamily, User
from gristmill.services import Runtime, ServiceVersion

MOMENT = datetime(2026, 11, 22, 10, 30, 15, 123456, tzinfo=UTC)


def service(name: str = "bos", version: str = "1", **fields: Any) -> ServiceVersion:
    given = {"runtime": Runtime.R, "code": "x", "owner": "ann", "created": MOMENT, **fields}
    return ServiceVersion(name=name, version=version, **given).sealed()


def snapshot(id: str = "s1", owner: str = "ann", **fields: Any) -> Snapshot:
    given = {"runtime": Runtime.R, "created": MOMENT, "content": "c" * 64, "size": 2**40, **fields}
    return Snapshot(id=id, name=f"snapshot {id}", owner=owner, **given)


def user(name: str = "ann", role: Role = Role.CONTRIBUTOR) -> User:
    return User(name=name, role=role, password_hash=f"hash of {name}", created=MOMENT)


def family(id: str = "f1", username: str = "ann", **fields: Any) -> TokenFamily:
    given = {"generation": 0, "refresh_hash": "first", "created": 1000, "used": 1000, **fields}
    return TokenFamily(id=id, username=username, role=Role.CONTRIBUTOR, **given)


def batch(id: str = "b1", owner: str = "ann", **fields: Any) -> Batch:
    given = {"inputs": "1" * 64, "parallel": 10, "total": 3, "created": MOMENT, **fields}
    return Batch(id=id, owner=owner, **{"service": service(), **given})


def result(index: int, ok: bool = True, **fields: Any) -> ItemResult:
    return ItemResult(index=index, ok=ok, **{"body": b'{"y":%d}' % index, **fields})
