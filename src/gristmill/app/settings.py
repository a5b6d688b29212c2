"""What an administrator can set, with defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from gristmill.batches import BatchSettings
from gristmill.launching import Limits as ShellLimits
from gristmill.pool import PoolSettings
from gristmill.pool_quota import PoolQuota
from gristmill.realtime.models import RealtimeSettings
from gristmill.sessions import SessionSettings
from gristmill.web.context import Limits as WebLimits

__all__ = ["ConnectionLimits", "Settings", "default_shells"]


def default_shells() -> int:
    """Shells that are started per language: one for each processor, two at least and four at most."""
    return max(2, min(4, len(os.sched_getaffinity(0))))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What one connection may take, and how many there may be."""

    connections: int = 0  #: at a time; 0: what the limit of open files allows
    head_bytes: int = 64 * 1024  #: of a request's line and headers, and of trailers; more is answered 431
    header_fields: int = 256  #: of one request; more are answered 431
    pipelined: int = 256  #: requests that wait behind one that runs; with more the connection is closed
    head_seconds: float = 10.0  #: for a whole head, from its first byte; then 408
    keep_alive_seconds: float = 75.0  #: for the next request, or the first
    body_seconds: float = 20.0  #: in which a body has to grow by `lowest_rate` x this; then 408
    answer_seconds: float = 60.0  #: in which as much of an answer has to be taken; then it is cut off
    lowest_rate: int = 512  #: bytes per second
    linger_seconds: float = 2.0  #: for a caller whose request was refused to read why

    def strained(self) -> ConnectionLimits:
        """The limits that hold while connections are scarce."""
        return replace(
            self,
            head_seconds=min(self.head_seconds, 3.0),
            keep_alive_seconds=min(self.keep_alive_seconds, 10.0),
            linger_seconds=min(self.linger_seconds, 0.5),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that `gristmill serve` is told."""

    host: str = "127.0.0.1"
    port: int = 12800
    data: Path = Path("gristmill-data")
    admin_password: str | None = None
    database: str | None = None  #: a URL; SQLite in the data directory if None
    database_seconds: float = 10.0  #: that a transaction may take, and a connection to be made
    blobs: Path | None = None  #: folder of contents, perhaps shared; one in the data directory if None
    signing_key: Path | None = None  #: PEM; one is made in the data directory if None
    pool: PoolSettings = field(default_factory=PoolSettings)
    pools: PoolQuota = field(default_factory=PoolQuota)  #: of services' own pools
    shells: ShellLimits = field(default_factory=ShellLimits)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    batches: BatchSettings = field(default_factory=BatchSettings)
    realtime: RealtimeSettings = field(default_factory=RealtimeSettings)
    web: WebLimits = field(default_factory=WebLimits)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
    python: str | None = None  #: interpreter of Python services; the server's own if None
    r_program: str | None = None  #: the R program; the one on the path if None
    threads: int = 1  #: BLAS and OpenMP threads of a shell
    bubblewrap: bool = True  #: use it where it works
    shell_network: bool = True
    cors_origins: tuple[str, ...] = ()
    log_scoring: bool = False
    log_json: bool = False
    publish: Path | None = None  #: a folder with what is published before the server is ready
    publish_seconds: float = 300.0  #: that one script of it may take
    drain_seconds: float = 30.0  #: that calls in flight are given at shutdown
    close_seconds: float = 20.0  #: that closing everything may take after that; then the process ends anyhow
