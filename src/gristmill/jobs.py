"""Batch records: what a batch is, the states it goes through, and what becomes of its items."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gristmill.services import ServiceVersion

__all__ = ["FINISHED", "NEXT", "Batch", "BatchState", "Claim", "ItemResult", "was_deleted"]


class BatchState(StrEnum):
    """How far a batch is; the values are the protocol's."""

    PENDING = "Pending"  #: accepted and durable; no node has taken it yet
    READY = "Ready"  #: given back by the node that ran it; any node may go on
    IN_PROGRESS = "InProgress"  #: a node runs it
    COMPLETE = "Complete"  #: every item has a result, be it an error
    FAILED = "Failed"  #: it cannot be run to its end; `message` says why
    CANCELLED = "Cancelled"  #: cancelled; its results are about to be deleted


_RUN = frozenset({BatchState.IN_PROGRESS, BatchState.CANCELLED, BatchState.FAILED})
#: The states that may follow each state. A batch that a dead node had is in progress before and after.
NEXT: dict[BatchState, frozenset[BatchState]] = {
    BatchState.PENDING: _RUN,
    BatchState.READY: _RUN,
    BatchState.IN_PROGRESS: _RUN | {BatchState.READY, BatchState.COMPLETE},
    BatchState.COMPLETE: frozenset({BatchState.CANCELLED}),
    BatchState.FAILED: frozenset({BatchState.CANCELLED}),
    BatchState.CANCELLED: frozenset(),
}
FINISHED = frozenset({BatchState.COMPLETE, BatchState.FAILED, BatchState.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch as it is stored."""

    id: str  #: a GUID
    owner: str
    service: ServiceVersion  #: as it was when the batch was accepted; what runs, whatever is patched later
    inputs: str  #: SHA-256 of the items, in the form of `gristmill.batch_inputs`
    parallel: int  #: items in flight at most
    total: int  #: items
    created: datetime  #: UTC, with zone
    state: BatchState = BatchState.PENDING
    completed: int = 0  #: items that have a result
    failed: int = 0  #: those of them whose `success` is false
    message: str = ""  #: why the state is Failed
    finished: datetime | None = None
    takes: int = 0  #: how often a node took it; only the last to take it may record
    stalled: int = 0  #: how often since the last result was recorded

    @property
    def ended(self) -> bool:
        """Whether no result will be added any more."""
        return self.state in FINISHED

    def began_as(self, other: Batch) -> bool:
        """Whether this is `other` as far as nothing changes while a batch runs."""
        return all(getattr(self, name) == getattr(other, name) for name in _CONSTANT)


_CONSTANT = ("id", "owner", "service", "inputs", "parallel", "total", "created")


def was_deleted(name: str, version: str) -> str:
    """The message of a batch that failed because its service was deleted."""
    return f"the service {name} {version} was deleted"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to record results of a batch; void once another node took it, or it was deleted."""

    id: str
    take: int  #: the `takes` of the batch when this claim was made


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """What became of one item. Exactly one of `body` and `content` is set."""

    index: int
    ok: bool
    body: bytes | None  #: the answer as a synchronous caller would get it
    content: str | None = None  #: SHA-256 of a large answer in the blob store
    files: str | None = None  #: SHA-256 of a JSON object, file name → base64, of files beyond the answer's
    rank: int = 0  #: which result of its batch this was, from 1; set when it is recorded
