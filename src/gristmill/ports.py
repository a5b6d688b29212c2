"""What the core asks of the outside: small Protocols, and the records that only stores know.

Every method that writes returns once the write is durable. Each port has a fake in `gristmill.testing` and
one suite in `tests/contract/`, which every adapter passes.

A *revision* is a counter that grows with each write that other nodes have to hear of; comparing it with the
last one seen tells whether an in-memory copy is stale.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, NamedTuple, Protocol

from gristmill.errors import Overloaded
from gristmill.identity import Role
from gristmill.jobs import Batch, Claim, ItemResult
from gristmill.services import Runtime, ServiceVersion

__all__ = [
    "BatchStore",
    "Blob",
    "BlobStore",
    "BundleStore",
    "DatabaseDamaged",
    "ServiceStore",
    "Snapshot",
    "SnapshotStore",
    "StateUnavailable",
    "StorageFull",
    "Stores",
    "TokenFamily",
    "TokenStore",
    "User",
    "UserStore",
]


class StateUnavailable(Overloaded):
    """The database or the blob store does not take this read or write now.

    What became of a write is known only by looking: its answer may be what was lost.
    """


class StorageFull(StateUnavailable):
    """There is no room left for what is to be stored; nothing of it was kept."""

    retry_after = 30.0


class DatabaseDamaged(StateUnavailable):
    """The file of the database is damaged, or is none: a backup has to be restored."""

    retry_after = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A saved workspace with its files: a zip in the blob store."""

    id: str  #: a GUID
    name: str
    owner: str
    runtime: Runtime
    created: datetime  #: UTC, with zone
    content: str  #: SHA-256 of the zip
    size: int  #: of the zip, bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A local account."""

    name: str
    role: Role
    password_hash: str  #: argon2id, in its encoded form
    created: datetime  #: UTC, with zone


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFamily:
    """One login and all the token pairs that descend from it by refreshing; times are epoch seconds."""

    id: str
    username: str
    role: Role  #: of the user as of now, not as of the login
    generation: int  #: of the only pair that is valid
    refresh_hash: str  #: SHA-256 of the only refresh token that is valid
    created: int
    used: int  #: of the last login or refresh


class Blob(NamedTuple):
    """Name and size of content that was stored."""

    digest: str  #: SHA-256, 64 lower-case hex digits
    size: int  #: bytes


class ServiceStore(Protocol):
    """Published versions. A version's `content` stays readable from its write to its removal."""

    async def revision(self) -> int:
        """Counter of all writes so far."""

    async def load(self) -> tuple[int, list[ServiceVersion]]:
        """The revision and all versions as of then, oldest first in the order in which they were added."""

    async def add(self, service: ServiceVersion, *, fresh: bool = False) -> int:
        """Store a new version; the revision after it.

        Raises Conflict if its name and version exist, and NotFound if its content is set and neither a
        snapshot nor a service refers to it (any more), unless it is `fresh`: put into the blob store just
        now. That of a realtime service always is.
        """

    async def replace(self, old: ServiceVersion, new: ServiceVersion, *, fresh: bool = False) -> int | None:
        """Put `new` in the place of `old`, keeping its rank; the revision after it.

        None, and no change, if what is stored is not `old` (any more). Raises NotFound as `add` does.
        """

    async def remove(self, old: ServiceVersion) -> int | None:
        """Remove `old`; the revision after it. None, and no change, if what is stored is not `old`.

        Its batches that have not ended are failed in the same write: where there is a batch to be run, its
        service was not deleted, whatever a node's copy of the services says.
        """


class SnapshotStore(Protocol):
    """Snapshots, by id."""

    async def add(self, snapshot: Snapshot) -> None:
        """Store a snapshot whose content is in the blob store already; Conflict if the id exists."""

    async def get(self, id: str) -> Snapshot | None:
        """The snapshot, or None."""

    async def of(self, owner: str) -> list[Snapshot]:
        """Snapshots of a user, oldest first."""

    async def remove(self, id: str) -> bool:
        """Whether there was one."""


class UserStore(Protocol):
    """Local accounts. What takes power from a user revokes all his token families in the same write."""

    async def add(self, user: User) -> None:
        """Store a new account; Conflict if the name exists."""

    async def get(self, name: str) -> User | None:
        """The account, or None."""

    async def all(self) -> list[User]:
        """Every account, by name."""

    async def set_password(self, name: str, password_hash: str) -> None:
        """Change the password, and revoke; NotFound."""

    async def rehash(self, name: str, old_hash: str, new_hash: str) -> None:
        """Another hash of the same password: nothing is revoked. No change if `old_hash` is outdated."""

    async def set_role(self, name: str, role: Role) -> None:
        """Change the role, and revoke; NotFound."""

    async def remove(self, name: str) -> None:
        """Remove the account and its families; NotFound."""


class TokenStore(Protocol):
    """Token families: at most one pair of tokens of each is valid."""

    async def revision(self) -> int:
        """Counter of all writes that made a token invalid."""

    async def start(self, family: TokenFamily, *, password_hash: str) -> bool:
        """Store a family; False if its user is gone or has another password hash by now."""

    async def find(self, id: str) -> TokenFamily | None:
        """The family, or None when it was revoked."""

    async def rotate(self, id: str, *, old_hash: str, new_hash: str, now: int) -> bool:
        """Next generation, if `old_hash` still is valid: one of several callers is told so."""

    async def revoke(self, id: str) -> bool:
        """Whether there was one."""

    async def generations(self, ids: Iterable[str]) -> dict[str, int]:
        """The valid generation of each of these families that still stands."""

    async def purge(self, *, created_before: int, used_before: int) -> int:
        """Forget families that were created, or last used, before these epoch seconds; how many."""


class BatchStore(Protocol):
    """Batches with the results of their items. Times are epoch seconds of the store's own clock, see `now`.

    Who takes a batch holds it until a time, and voids the claim of whoever had it before. Whatever is written
    under a void claim is refused as a whole: each item has one result at most.

    Every write may be repeated by a caller who did not hear its answer, and is then no second write.
    """

    async def now(self) -> float:
        """Epoch seconds by the clock that all nodes share, which is the database's."""

    async def add(self, batch: Batch) -> None:
        """Store a new batch whose blobs are in the blob store already.

        Raises Conflict if the id is another batch's.
        """

    async def get(self, id: str) -> Batch | None:
        """The batch, or None."""

    async def of(self, name: str, version: str, owner: str | None) -> list[str]:
        """Ids of the batches of a service, oldest first: those of `owner`, or all if that is None."""

    async def take(
        self, holder: str, *, now: float, until: float, most: int, running: Mapping[str, int] | None = None
    ) -> list[Batch]:
        """Take up to `most` batches that nobody holds at `now`; they are in progress then.

        Owners come in turn: those first of whom fewest batches are taken already, `running` by owner counted
        in. Of one owner's those come first that were taken least often, and of these the oldest.
        """

    async def waiting(self, *, now: float, most: int) -> list[str]:
        """Owners of up to `most` batches that nobody holds at `now`, in the order of `take`."""

    async def hold(self, claims: Collection[Claim], *, until: float) -> set[Claim]:
        """Hold these until later; those of them that are not void."""

    async def give_back(self, claim: Claim) -> None:
        """Let any node take the batch, which is ready then; no change if the claim is void."""

    async def give_back_all(self, holder: str, *, but: Collection[str] | None = None) -> int:
        """What `holder` held may be taken at once; how many batches.

        Without `but`, `holder` has started anew. Else it goes on with the batches of these ids, and has not
        begun the others: the answer to its taking them was lost.
        """

    async def record(self, claim: Claim, results: Sequence[ItemResult], *, until: float) -> int | None:
        """Add results and hold the batch until later; how many there are now, None if the claim is void.

        The last result completes the batch in the same write. Results that are there already, just as they
        are given, count as written; Conflict if an item has another one.
        """

    async def fail(self, claim: Claim, message: str) -> None:
        """The batch cannot be run to its end; no change if the claim is void."""

    async def recorded(self, id: str) -> list[int]:
        """Indexes of the items that have a result, in any order."""

    async def results(self, id: str, *, first: int, most: int, rank: int) -> list[ItemResult]:
        """Up to `most` results with an index from `first` on, by index; of the first `rank` recorded ones."""

    async def arrivals(self, id: str, *, after: int, most: int) -> list[ItemResult]:
        """Up to `most` results in the order in which they were recorded, those of rank `after` + 1 first."""

    async def remove(self, id: str) -> bool:
        """Cancel and forget the batch with all its results; whether there was one."""

    async def purge(self, *, finished_before: float) -> int:
        """Forget batches that ended before; how many."""


class BundleStore(Protocol):
    """What was published as a server started, by the digest of its files."""

    async def applied(self, digests: Collection[str]) -> set[str]:
        """Those of the digests that are recorded."""

    async def record(self, digest: str, name: str) -> None:
        """Record that all of a bundle is published; no change if it is recorded already."""


class Stores(Protocol):
    """The stores that share one database."""

    @property
    def services(self) -> ServiceStore:
        """Published versions."""

    @property
    def snapshots(self) -> SnapshotStore:
        """Saved workspaces."""

    @property
    def users(self) -> UserStore:
        """Local accounts."""

    @property
    def tokens(self) -> TokenStore:
        """Logins."""

    @property
    def batches(self) -> BatchStore:
        """Batches and the results of their items."""

    @property
    def bundles(self) -> BundleStore:
        """What was published as a server started."""

    async def revision(self) -> int:
        """Moves with the revision of any store; also proves that the database answers."""

    async def installation(self) -> str:
        """An id of this database; copies of it, and backups, have the same."""

    async def references(self) -> set[str]:
        """Digests of all blobs that a service, a snapshot or a batch refers to."""

    async def close(self) -> None:
        """Let go of every connection; nothing is lost without it."""


class BlobStore(Protocol):
    """Content, named by its SHA-256."""

    async def put(self, source: BinaryIO, *, limit: int | None = None) -> Blob:
        """Copy `source`, from its position to its end, into the store.

        Raises TooLarge beyond `limit` bytes, StorageFull when there is no room, and StateUnavailable when the
        store cannot be written to. Content that is there already is kept once, and counts as new to `sweep`.
        """

    async def open(self, digest: str) -> BinaryIO:
        """A file with a descriptor of its own, read-only, at its start; stays readable if swept.

        Raises NotFound if there is none of that name, and StateUnavailable if it cannot be opened now.
        """

    async def sweep(self, references: Callable[[], Awaitable[set[str]]], *, grace: float) -> int:
        """Remove what nobody refers to and was put more than `grace` seconds ago; how many.

        `references` is asked after candidates are chosen: what is put and referred to meanwhile stays.
        """
