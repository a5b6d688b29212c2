"""Which shell of a pool gets a request."""

from __future__ import annotations

from collections.abc import Iterable

from gristmill.calls import Request
from gristmill.frames import Kind
from gristmill.lanes import Share, serves
from gristmill.members import Member, RunTimes

__all__ = ["choose"]

#: Work that may wait in a shell's socket: enough that it never idles, little enough that another can help.
_BACKLOG_SECONDS = 0.002
#: Calls of a batchable service that may wait in one shell's socket, to be run as one.
_BATCH_DEPTH = 128


def choose(members: Iterable[Member], request: Request, *, allowed: Share, times: RunTimes) -> Member | None:
    """An idle shell that holds the service; any idle one; the least busy one with room; or None."""
    digest = request.service.digest if request.service else ""
    best, best_rank = None, (9, 0)
    for member in members:
        if not member.shell.usable or member.bringing or member.interrupted is not None:
            continue
        depth = len(member.inflight)
        if depth:
            direct = request.lane and not serves(member.shell)
            if direct or not _has_room(member, request, digest, part=allowed.part, times=times):
                continue
        elif not allowed.idle:
            continue
        rank = ((0 if digest in member.loaded else 1) if not depth else 2, depth)
        if rank < best_rank:
            best, best_rank = member, rank
            if rank == (0, 0):
                break
    return best


def _has_room(member: Member, request: Request, digest: str, *, part: float, times: RunTimes) -> bool:
    """Whether a busy shell should get this request behind what it has."""
    last = member.inflight[-1]
    if request.alone or last.alone or digest not in member.loaded or last.kind is Kind.OPERATION:
        return False
    if request.service is not None and request.service.batchable:
        return len(member.inflight) < _BATCH_DEPTH * part and last.service is request.service
    if times.of(digest) is None:
        return False
    return member.backlog < _BACKLOG_SECONDS * part
