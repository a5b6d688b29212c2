"""How many files, and so connections, this process may have open."""

from __future__ import annotations

import resource

import structlog

__all__ = ["most_connections", "raise_limit"]

log = structlog.get_logger()

#: More than these are never asked for: some programs walk over all descriptors that they might have.
_ENOUGH = 1_048_576
#: Kept for files, shells and the database: this many, or this part of all.
_RESERVE, _RESERVED_PART = 200, 0.25
#: Connections at a time unless set: each may hold some hundred KiB before anybody has logged in.
_MOST = 10_000
#: A server with fewer could not be used, not even by whoever wants to find out why.
_LEAST = 16


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one; gives what holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _ENOUGH if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:  # a container's policy may forbid it
        log.warning("descriptors_not_raised", soft=soft, hard=hard, error=str(error))
        return soft
    log.info("descriptors_raised", before=soft, now=wanted)
    return wanted


def most_connections(descriptors: int, asked: int = 0) -> int:
    """Connections at a time that leave descriptors for all else; `asked`, if that is not 0, is the most."""
    free = min(descriptors - _RESERVE, int(descriptors * (1 - _RESERVED_PART)))
    allowed = max(_LEAST, free)
    if asked > allowed:
        log.warning("connections_limited", asked=asked, allowed=allowed, descriptors=descriptors)
    return min(asked or _MOST, allowed)
