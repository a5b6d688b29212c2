"""In-memory fakes of the ports: for unit tests here, and for those of who builds on Gristmill.

They keep the promises of `gristmill.ports`, durability aside; `tests/contract/` holds them to it.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from typing import BinaryIO

from gristmill.errors import Conflict, NotFound, TooLarge
from gristmill.identity import Role
from gristmill.ports import Blob, Snapshot, TokenFamily, User
from gristmill.services import Runtime, ServiceVersion
from gristmill.testing_batches import MemoryBatches

__all__ = [
    "MemoryBatches",
    "MemoryBlobs",
    "MemoryBundles",
    "MemoryServices",
    "MemorySnapshots",
    "MemoryStores",
    "MemoryTokens",
    "MemoryUsers",
]


class MemorySnapshots:
    """Fake of `SnapshotStore`."""

    def __init__(self) -> None:
        self.rows: dict[str, Snapshot] = {}

    async def add(self, snapshot: Snapshot) -> None:
        """See the port."""
        if snapshot.id in self.rows:
            raise Conflict(f"snapshot {snapshot.id!r} exists already")
        self.rows[snapshot.id] = snapshot

    async def get(self, id: str) -> Snapshot | None:
        """See the port."""
        return self.rows.get(id)

    async def of(self, owner: str) -> list[Snapshot]:
        """See the port."""
        return [snapshot for snapshot in self.rows.values() if snapshot.owner == owner]

    async def remove(self, id: str) -> bool:
        """See the port."""
        return self.rows.pop(id, None) is not None


class MemoryServices:
    """Fake of `ServiceStore`."""

    def __init__(self, snapshots: MemorySnapshots) -> None:
        self.rows: dict[tuple[str, str], ServiceVersion] = {}
        self._snapshots = snapshots
        self._revision = 0
        self.batches: MemoryBatches | None = None  #: fail when their service is removed

    async def revision(self) -> int:
        """See the port."""
        return self._revision

    async def load(self) -> tuple[int, list[ServiceVersion]]:
        """See the port."""
        return self._revision, list(self.rows.values())

    async def add(self, service: ServiceVersion, *, fresh: bool = False) -> int:
        """See the port."""
        key = service.name, service.version
        if key in self.rows:
            raise Conflict(f"service {service.name!r} version {service.version!r} exists already")
        return self._write(service, fresh)

    async def replace(self, old: ServiceVersion, new: ServiceVersion, *, fresh: bool = False) -> int | None:
        """See the port."""
        if self.rows.get((old.name, old.version)) != old:
            return None
        return self._write(new, fresh)

    async def remove(self, old: ServiceVersion) -> int | None:
        """See the port."""
        if self.rows.get((old.name, old.version)) != old:
            return None
        del self.rows[old.name, old.version]
        if self.batches is not None:
            self.batches.fail_of_service(old.name, old.version)
        self._revision += 1
        return self._revision

    def _write(self, service: ServiceVersion, fresh: bool) -> int:
        held = {row.content for row in self._snapshots.rows.values()}
        held.update(row.content for row in self.rows.values() if row.content is not None)
        fresh = fresh or service.runtime is Runtime.REALTIME
        if not fresh and service.content is not None and service.content not in held:
            raise NotFound("the snapshot was deleted while the service was being published")
        self.rows[service.name, service.version] = service
        self._revision += 1
        return self._revision


class MemoryTokens:
    """Fake of `TokenStore`, on the accounts of a `MemoryUsers`."""

    def __init__(self, users: MemoryUsers) -> None:
        self.rows: dict[str, TokenFamily] = {}
        self._users = users
        self._revision = 0
        users.tokens = self

    async def revision(self) -> int:
        """See the port."""
        return self._revision

    async def start(self, family: TokenFamily, *, password_hash: str) -> bool:
        """See the port."""
        user = self._users.rows.get(family.username)
        if user is None or user.password_hash != password_hash:
            return False
        self.rows[family.id] = family
        return True

    async def find(self, id: str) -> TokenFamily | None:
        """See the port."""
        family = self.rows.get(id)
        return None if family is None else replace(family, role=self._users.rows[family.username].role)

    async def rotate(self, id: str, *, old_hash: str, new_hash: str, now: int) -> bool:
        """See the port."""
        family = self.rows.get(id)
        if family is None or family.refresh_hash != old_hash:
            return False
        generation = family.generation + 1
        self.rows[id] = replace(family, generation=generation, refresh_hash=new_hash, used=now)
        self._revision += 1
        return True

    async def revoke(self, id: str) -> bool:
        """See the port."""
        if self.rows.pop(id, None) is None:
            return False
        self._revision += 1
        return True

    async def generations(self, ids: Iterable[str]) -> dict[str, int]:
        """See the port."""
        return {id: self.rows[id].generation for id in ids if id in self.rows}

    async def purge(self, *, created_before: int, used_before: int) -> int:
        """See the port."""
        rows = self.rows.values()
        old = [row.id for row in rows if row.created < created_before or row.used < used_before]
        for id in old:
            del self.rows[id]
        return len(old)

    def revoke_all(self, username: str) -> None:
        """What `UserStore` does in the same write."""
        self.rows = {id: row for id, row in self.rows.items() if row.username != username}
        self._revision += 1


class MemoryUsers:
    """Fake of `UserStore`."""

    tokens: MemoryTokens  #: sets itself

    def __init__(self) -> None:
        self.rows: dict[str, User] = {}

    async def add(self, user: User) -> None:
        """See the port."""
        if user.name in self.rows:
            raise Conflict(f"user {user.name!r} exists already")
        self.rows[user.name] = user

    async def get(self, name: str) -> User | None:
        """See the port."""
        return self.rows.get(name)

    async def all(self) -> list[User]:
        """See the port."""
        return sorted(self.rows.values(), key=lambda user: user.name)

    async def set_password(self, name: str, password_hash: str) -> None:
        """See the port."""
        self.rows[name] = replace(self._require(name), password_hash=password_hash)
        self.tokens.revoke_all(name)

    async def rehash(self, name: str, old_hash: str, new_hash: str) -> None:
        """See the port."""
        user = self.rows.get(name)
        if user is not None and user.password_hash == old_hash:
            self.rows[name] = replace(user, password_hash=new_hash)

    async def set_role(self, name: str, role: Role) -> None:
        """See the port."""
        self.rows[name] = replace(self._require(name), role=role)
        self.tokens.revoke_all(name)

    async def remove(self, name: str) -> None:
        """See the port."""
        del self.rows[self._require(name).name]
        self.tokens.revoke_all(name)

    def _require(self, name: str) -> User:
        if name not in self.rows:
            raise NotFound(f"there is no user {name!r}")
        return self.rows[name]


class MemoryBundles:
    """Fake of `BundleStore`."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  #: by digest

    async def applied(self, digests: Collection[str]) -> set[str]:
        """See the port."""
        return self.names.keys() & set(digests)

    async def record(self, digest: str, name: str) -> None:
        """See the port."""
        self.names.setdefault(digest, name)


class MemoryStores:
    """Fake of `Stores`: all of the above, over one state."""

    def __init__(self) -> None:
        self.snapshots = MemorySnapshots()
        self.services = MemoryServices(self.snapshots)
        self.users = MemoryUsers()
        self.tokens = MemoryTokens(self.users)
        self.batches = self.services.batches = MemoryBatches()
        self.bundles = MemoryBundles()

    async def revision(self) -> int:
        """See the port."""
        return await self.services.revision() + await self.tokens.revision()

    async def installation(self) -> str:
        """See the port."""
        return "00000000-0000-0000-0000-000000000000"

    async def references(self) -> set[str]:
        """See the port."""
        services = {row.content for row in self.services.rows.values() if row.content is not None}
        return services | {row.content for row in self.snapshots.rows.values()} | self.batches.references()

    async def close(self) -> None:
        """See the port."""


class MemoryBlobs:
    """Fake of `BlobStore`."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self._put: dict[str, float] = {}

    async def put(self, source: BinaryIO, *, limit: int | None = None) -> Blob:
        """See the port."""
        content = source.read() if limit is None else source.read(limit + 1)
        if limit is not None and len(content) > limit:
            raise TooLarge(f"the content is over the permitted {limit} bytes")
        digest = hashlib.sha256(content).hexdigest()
        self.contents[digest] = content
        self._put[digest] = time.monotonic()
        return Blob(digest, len(content))

    async def open(self, digest: str) -> BinaryIO:
        """See the port; a real file, which has no name any more."""
        if digest not in self.contents:
            raise NotFound(f"there is no content {digest[:64]!r}")
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.contents[digest])
            file.flush()
            return io.BufferedReader(io.FileIO(os.open(file.name, os.O_RDONLY | os.O_CLOEXEC)))

    async def sweep(self, references: Callable[[], Awaitable[set[str]]], *, grace: float) -> int:
        """See the port."""
        before = time.monotonic() - grace
        old = {digest for digest, put in self._put.items() if put < before}
        unwanted = {digest for digest in old - await references() if self._put[digest] < before}
        for digest in unwanted:
            del self.contents[digest], self._put[digest]
        return len(unwanted)
