"""What an administrator can set, with defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from gristmill.batches import BatchSettings
from gristmill.launching import Limits as ShellLimits
from gristmill.pool import PoolSettings
from gristmill.realtime.models import RealtimeSettings
from gristmill.sessions import SessionSettings
from gristmill.web.context import Limits as WebLimits

__all__ = ["Settings", "default_shells"]


def default_shells() -> int:
    """Shells that are started per language: one for each processor, two at least and four at most."""
    return max(2, min(4, len(os.sched_getaffinity(0))))


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
    shells: ShellLimits = field(default_factory=ShellLimits)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    batches: BatchSettings = field(default_factory=BatchSettings)
    realtime: RealtimeSettings = field(default_factory=RealtimeSettings)
    web: WebLimits = field(default_factory=WebLimits)
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
