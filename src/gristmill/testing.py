"""In-memory fakes of the ports: for unit tests here, and for those of who builds on Gristmill.

They keep the promises of `gristmill.ports`, durability aside; `tests/contract/` holds them to it.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import BinaryIO

from gristmill.errors import Conflict, NotFound, TooLarge
from gristmill.identity import Role
from gristmill.jobs import Batch, BatchState, Claim, ItemResult
from gristmill.ports import Blob, Snapshot, TokenFamily, User
from gristmill.services import Runtime, ServiceVersion

__all__ = [
    "MemoryBatches",
    "MemoryBlobs",
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

    async def revision(self) -> int:
        """See the port."""
        return self._revision

    async def load(self) -> tuple[int, list[ServiceVersion]]:
        """See the port."""
        return self._revision, list(self.rows.values())

    async def add(self, service: ServiceVersion) -> int:
        """See the port."""
        key = service.name, service.version
        if key in self.rows:
            raise Conflict(f"service {service.name!r} version {service.version!r} exists already")
        return self._write(service)

    async def replace(self, old: ServiceVersion, new: ServiceVersion) -> int | None:
        """See the port."""
        if self.rows.get((old.name, old.version)) != old:
            return None
        return self._write(new)

    async def remove(self, old: ServiceVersion) -> int | None:
        """See the port."""
        if self.rows.get((old.name, old.version)) != old:
            return None
        del self.rows[old.name, old.version]
        self._revision += 1
        return self._revision

    def _write(self, service: ServiceVersion) -> int:
        held = {row.content for row in self._snapshots.rows.values()}
        held.update(row.content for row in self.rows.values() if row.content is not None)
        known = service.content is None or service.runtime is Runtime.REALTIME or service.content in held
        if not known:
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


class MemoryBatches:
    """Fake of `BatchStore`."""

    def __init__(self) -> None:
        self.rows: dict[str, Batch] = {}
        self.items: dict[str, dict[int, ItemResult]] = {}
        self.held: dict[str, tuple[str, float]] = {}  #: by whom, and until when

    async def add(self, batch: Batch) -> None:
        """See the port."""
        if batch.id in self.rows:
            raise Conflict(f"batch {batch.id!r} exists already")
        self.rows[batch.id] = batch
        self.items[batch.id] = {}

    async def get(self, id: str) -> Batch | None:
        """See the port."""
        return self.rows.get(id)

    async def of(self, name: str, version: str, owner: str | None) -> list[str]:
        """See the port."""
        of_service = [b for b in self.rows.values() if (b.service.name, b.service.version) == (name, version)]
        return [batch.id for batch in of_service if owner in (None, batch.owner)]

    async def take(self, holder: str, *, now: float, until: float, most: int) -> list[Batch]:
        """See the port."""
        free = [b for b in self.rows.values() if not b.ended and self.held.get(b.id, ("", now))[1] <= now]
        taken = []
        for batch in free[:most]:
            self.rows[batch.id] = replace(
                batch, state=BatchState.IN_PROGRESS, takes=batch.takes + 1, stalled=batch.stalled + 1
            )
            taken.append(self.rows[batch.id])
            self.held[batch.id] = holder, until
        return taken

    async def hold(self, claims: Collection[Claim], *, until: float) -> set[Claim]:
        """See the port."""
        valid = {claim for claim in claims if self._claimed(claim)}
        for claim in valid:
            self.held[claim.id] = self.held[claim.id][0], until
        return valid

    async def give_back(self, claim: Claim) -> None:
        """See the port."""
        batch = self._claimed(claim)
        if batch is not None:
            self.rows[batch.id] = replace(batch, state=BatchState.READY, stalled=batch.stalled - 1)
            del self.held[batch.id]

    async def give_back_all(self, holder: str) -> int:
        """See the port."""
        held = [id for id, (by, _) in self.held.items() if by == holder and not self.rows[id].ended]
        for id in held:
            del self.held[id]
        return len(held)

    async def record(self, claim: Claim, results: Sequence[ItemResult], *, until: float) -> int | None:
        """See the port."""
        batch, items = self._claimed(claim), self.items.get(claim.id, {})
        if batch is None:
            return None
        if items.keys() & {result.index for result in results}:
            raise Conflict(f"an item of batch {claim.id!r} has a result already")
        for rank, result in enumerate(results, batch.completed + 1):
            items[result.index] = replace(result, rank=rank)
        failed = batch.failed + sum(not result.ok for result in results)
        batch = replace(batch, completed=len(items), failed=failed, stalled=0)
        if len(items) == batch.total:
            batch = replace(batch, state=BatchState.COMPLETE, finished=datetime.now(UTC))
        self.rows[batch.id] = batch
        self.held[batch.id] = self.held[batch.id][0], until
        return batch.completed

    async def fail(self, claim: Claim, message: str) -> None:
        """See the port."""
        batch = self._claimed(claim)
        if batch is not None:
            now = datetime.now(UTC)
            self.rows[batch.id] = replace(batch, state=BatchState.FAILED, message=message, finished=now)

    async def recorded(self, id: str) -> list[int]:
        """See the port."""
        return list(self.items.get(id, ()))

    async def results(self, id: str, *, first: int, most: int, rank: int) -> list[ItemResult]:
        """See the port."""
        items = sorted(self.items.get(id, {}).values(), key=lambda result: result.index)
        return [result for result in items if result.index >= first and result.rank <= rank][:most]

    async def arrivals(self, id: str, *, after: int, most: int) -> list[ItemResult]:
        """See the port."""
        items = sorted(self.items.get(id, {}).values(), key=lambda result: result.rank)
        return items[after : after + most]

    async def remove(self, id: str) -> bool:
        """See the port."""
        self.items.pop(id, None)
        self.held.pop(id, None)
        return self.rows.pop(id, None) is not None

    async def purge(self, *, finished_before: float) -> int:
        """See the port."""
        ended = [b.id for b in self.rows.values() if b.finished and b.finished.timestamp() < finished_before]
        for id in ended:
            await self.remove(id)
        return len(ended)

    def references(self) -> set[str]:
        """Digests of all blobs that a batch refers to."""
        found = {blob for batch in self.rows.values() for blob in (batch.inputs, batch.service.content)}
        for items in self.items.values():
            found |= {blob for result in items.values() for blob in (result.content, result.files)}
        return {blob for blob in found if blob is not None}

    def _claimed(self, claim: Claim) -> Batch | None:
        batch = self.rows.get(claim.id)
        valid = batch is not None and batch.takes == claim.take and batch.state is BatchState.IN_PROGRESS
        return batch if valid and claim.id in self.held else None


class MemoryStores:
    """Fake of `Stores`: all of the above, over one state."""

    def __init__(self) -> None:
        self.snapshots = MemorySnapshots()
        self.services = MemoryServices(self.snapshots)
        self.users = MemoryUsers()
        self.tokens = MemoryTokens(self.users)
        self.batches = MemoryBatches()

    async def revision(self) -> int:
        """See the port."""
        return await self.services.revision() + await self.tokens.revision()

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
