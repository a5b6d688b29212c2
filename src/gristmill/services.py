"""Records of published services."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import msgspec

from gristmill.errors import InvalidInput
from gristmill.schema import Parameter

__all__ = ["PoolSize", "Runtime", "ServiceVersion", "check_name"]

#: Letters, digits, and `._-` inside: a path segment that no proxy rewrites. Spaces are refused.
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_])?")


class Runtime(StrEnum):
    """What runs a service."""

    R = "R"
    PYTHON = "Python"
    REALTIME = "Realtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """Shells of a service's own, on every node."""

    initial: int
    maximum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceVersion:
    """One published version of a service; never changed in place, `dataclasses.replace` makes the next."""

    name: str
    version: str
    runtime: Runtime
    code: str
    owner: str
    created: datetime  #: UTC, with zone
    init_code: str = ""
    description: str = ""
    operation_id: str | None = None
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()
    output_files: tuple[str, ...] = ()
    snapshot_id: str | None = None  #: as given at publish; only `content` is read
    content: str | None = None  #: SHA-256 of the snapshot's zip in the blob store
    batchable: bool = False  #: rows are independent: calls that wait may run as one
    pool: PoolSize | None = None  #: shells of its own; None for the generic pool of its language
    digest: str = ""  #: SHA-256 over all that determines what runs; set by `sealed`

    @property
    def alias(self) -> str:
        """Name of the operation in clients: the operation id, or `consume`."""
        return self.operation_id or "consume"

    def sealed(self) -> ServiceVersion:
        """The same with its digest computed."""
        parts = (
            self.name,
            self.version,
            str(self.runtime),
            self.code,
            self.init_code,
            [p.describe() for p in self.inputs],
            [p.describe() for p in self.outputs],
            list(self.output_files),
            self.content,
            self.batchable,
        )
        return replace(self, digest=hashlib.sha256(msgspec.json.encode(parts)).hexdigest())


def check_name(kind: str, name: str) -> str:
    """`name` if it may name a service or a version; raises InvalidInput that says which characters may."""
    if not _NAME.fullmatch(name) or ".." in name:
        shown = name if len(name) <= 60 else name[:57] + "…"
        raise InvalidInput(
            f"{shown!r} cannot be the {kind} of a service: 1 to 128 letters, digits, '.', '_' or '-', "
            "beginning and ending with a letter, digit or '_', and no '..'"
        )
    return name
