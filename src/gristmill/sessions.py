"""Live sessions of remote execution, and their snapshots."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from gristmill.background import Background, Repeated
from gristmill.errors import Conflict, Gone, GristmillError, InvalidInput, NotFound, Overloaded
from gristmill.identity import Principal
from gristmill.launching import Limits, ShellLauncher
from gristmill.off_loop import Work, off_loop
from gristmill.ports import BlobStore, Snapshot, SnapshotStore
from gristmill.services import Runtime
from gristmill.session_history import History
from gristmill.session_shell import SessionShell
from gristmill.shell import Shell

__all__ = ["Session", "SessionSettings", "Sessions", "Snapshots"]

log = structlog.get_logger()

_TICK_SECONDS = 1.0
#: From SIGINT to SIGKILL for code that does not heed the first.
_CANCEL_SECONDS = 10.0
_BUSY = "the session is executing already: wait for it, or cancel it"
#: A longer name, in characters, is not one that somebody gave.
_LONGEST_NAME = 1000
#: A body over so many bytes is decoded in a thread.
_LARGE_BODY = 1 << 20


class _Execute(msgspec.Struct):
    """What the server reads of an ExecuteRequest; the rest is for the shell."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How many, and for how long."""

    maximum: int = 20
    per_user: int = 10
    idle_seconds: float = 1800.0
    snapshot_bytes: int = 2 << 30


class Snapshots:
    """Saved workspaces; a user sees only his own."""

    def __init__(self, store: SnapshotStore, blobs: BlobStore, *, limit: int) -> None:
        self._store = store
        self._blobs = blobs
        self._limit = limit

    async def of(self, owner: Principal) -> list[Snapshot]:
        """Oldest first."""
        return await self._store.of(owner.name)

    async def get(self, id: str, owner: Principal) -> Snapshot:
        """Raises NotFound, also for another user's."""
        snapshot = await self._store.get(id)
        if snapshot is None or snapshot.owner != owner.name:
            raise NotFound(f"there is no snapshot {id!r}")
        return snapshot

    async def open(self, id: str, owner: Principal) -> BinaryIO:
        """Its zip, read-only. Raises NotFound."""
        return await self._blobs.open((await self.get(id, owner)).content)

    async def delete(self, id: str, owner: Principal) -> None:
        """Raises NotFound."""
        await self.get(id, owner)
        await self._store.remove(id)

    async def add(self, name: str, owner: Principal, runtime: Runtime, archive: BinaryIO) -> Snapshot:
        """Keep a zip as a snapshot; it is durable on return. Raises TooLarge."""
        blob = await self._blobs.put(archive, limit=self._limit)
        snapshot = Snapshot(
            id=str(uuid.uuid4()),
            name=name,
            owner=owner.name,
            runtime=runtime,
            created=datetime.now(UTC),
            content=blob.digest,
            size=blob.size,
        )
        await self._store.add(snapshot)
        return snapshot


class Session:
    """One user's live shell with its workspace and working directory."""

    def __init__(
        self,
        *,
        name: str,
        owner: Principal,
        runtime: Runtime,
        shell: SessionShell,
        snapshots: Snapshots,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.name = name
        self.owner = owner.name
        self._principal = owner
        self.runtime = runtime
        self.history = History()
        self.last_used = asyncio.get_running_loop().time()
        self.shell = shell
        self._snapshots = snapshots

    async def execute(self, body: bytes) -> bytes:
        """Run an ExecuteRequest; the ExecuteResponse; both JSON. Raises InvalidInput, Conflict, Gone."""
        self._touch()
        if self.shell.busy:
            raise Conflict(_BUSY)
        if len(body) > _LARGE_BODY:
            code = await off_loop(Work.COMPUTE, _code_of, body)
            if self.shell.busy:  # by now
                raise Conflict(_BUSY)
        else:
            code = _code_of(body)
        self.history.add(code)
        try:
            return await self.shell.ask("execute", body=body)
        finally:
            self._touch()

    async def cancel(self) -> None:
        """Stop what is executing; returns when it has stopped, or its shell had to be ended. Raises Gone."""
        if not self.shell.busy:
            return
        self.shell.interrupt()
        deadline = asyncio.get_running_loop().time() + _CANCEL_SECONDS
        while self.shell.executing:
            if asyncio.get_running_loop().time() > deadline:
                self.shell.kill(Gone("the code did not heed its cancellation"))
                return
            await asyncio.sleep(0.02)

    def console(self) -> str:
        """Console output of the current or last execution. Raises Gone."""
        return self.shell.console()

    async def workspace_names(self) -> list[str]:
        """Names of the workspace's objects."""
        return list((await self._ask("workspace_list"))["names"])

    async def put_object(self, name: str, source: BinaryIO) -> None:
        """Set an object from its serialized bytes. Raises InvalidInput when it cannot be loaded."""
        self._touch()
        await self.shell.give("workspace_set", source, name=name)

    async def get_object(self, name: str) -> BinaryIO:
        """An object's serialized bytes. Raises NotFound."""
        self._touch()
        return await self.shell.take("workspace_get", name=name)

    async def delete_object(self, name: str) -> None:
        """Raises NotFound."""
        await self._ask("workspace_delete", name=name)

    async def files(self) -> list[str]:
        """Relative paths of all files in the working directory."""
        return list((await self._ask("files_list"))["files"])

    async def put_file(self, name: str, source: BinaryIO) -> None:
        """Write a file into the working directory."""
        self._touch()
        await self.shell.give("file_put", source, name=name)

    async def get_file(self, name: str) -> BinaryIO:
        """Raises NotFound."""
        self._touch()
        return await self.shell.take("file_get", name=name)

    async def delete_file(self, name: str) -> None:
        """Raises NotFound."""
        await self._ask("file_delete", name=name)

    async def save_snapshot(self, name: str) -> Snapshot:
        """Keep workspace and files. Raises InvalidInput naming objects that cannot be serialized."""
        self._touch()
        with await self.shell.take("snapshot_save") as archive:
            return await self._snapshots.add(name, self._principal, self.runtime, archive)

    async def load_snapshot(self, snapshot_id: str) -> None:
        """Replace workspace and files by a snapshot's. Raises NotFound, InvalidInput."""
        self._touch()
        snapshot = await self._snapshots.get(snapshot_id, self._principal)
        if snapshot.runtime is not self.runtime:
            here = f"snapshot {snapshot_id} is of {snapshot.runtime}, the session of {self.runtime}"
            raise InvalidInput(here)
        with await self._snapshots.open(snapshot_id, self._principal) as archive:
            await self.shell.give("snapshot_load", archive)

    async def _ask(self, op: str, *, name: str | None = None) -> dict[str, list[str]]:
        self._touch()
        return dict(await self.shell.ask_json(op, name=name))

    def _touch(self) -> None:
        self.last_used = asyncio.get_running_loop().time()


class Sessions:
    """All live sessions of this node."""

    def __init__(
        self,
        launcher: ShellLauncher,
        snapshots: Snapshots,
        *,
        settings: SessionSettings,
        limits: Limits,
        staging: Path,
        fresh: Callable[[Runtime], Shell | None],
        background: Background | None = None,
    ) -> None:
        self._launcher = launcher
        self._snapshots = snapshots
        self._settings = settings
        self._limits = limits
        self._staging = staging
        self._fresh = fresh  #: an idle shell that never ran anything, or None; raises RuntimeUnavailable
        self._background = background or Background()
        self._sessions: dict[str, Session] = {}
        self._starting: Counter[str] = Counter()  #: places that are taken already, by owner
        self._ending: set[asyncio.Task[None]] = set()
        self._watching: Repeated | None = None

    def start(self) -> None:
        """Begin to close what is idle for too long, and what takes too much memory."""
        self._watching = self._background.repeat("sessions", self._look, every=_TICK_SECONDS)

    async def create(
        self, owner: Principal, *, name: str, runtime: Runtime, snapshot_id: str | None
    ) -> Session:
        """A new session, with a snapshot's content if given.

        Raises Overloaded, InvalidInput, NotFound, RuntimeUnavailable.
        """
        if len(name) > _LONGEST_NAME:
            raise InvalidInput(
                f"the session's name has {len(name):,} characters: use no more than {_LONGEST_NAME:,}"
            )
        self._check_room(owner)
        # Before the first await: who asks meanwhile is counted with this one.
        self._starting[owner.name] += 1
        try:
            session = await self._begin(owner, name, runtime, snapshot_id)
            self._sessions[session.id] = session
        finally:
            self._starting[owner.name] -= 1
            self._starting += Counter()  # forgets those who start none
        return session

    async def _begin(self, owner: Principal, name: str, runtime: Runtime, snapshot_id: str | None) -> Session:
        if snapshot_id is not None:
            await self._snapshots.get(snapshot_id, owner)
        shell = SessionShell(self._fresh(runtime), limits=self._limits, staging=self._staging)
        session = Session(name=name, owner=owner, runtime=runtime, shell=shell, snapshots=self._snapshots)
        try:
            await self._prepare(session, snapshot_id)
        except BaseException:
            self._end("session that did not start", shell)
            raise
        return session

    async def _prepare(self, session: Session, snapshot_id: str | None) -> None:
        if not session.shell.launched:
            session.shell.launch(self._launcher, session.runtime)
        await session.shell.wait_ready()
        if snapshot_id is not None:
            await session.load_snapshot(snapshot_id)

    def _check_room(self, owner: Principal) -> None:
        living = len(self._sessions) + self._starting.total()
        if living >= self._settings.maximum:
            raise Overloaded(f"{living} sessions are open, the most that this server keeps: close one")
        if len(self.of(owner)) + self._starting[owner.name] >= self._settings.per_user:
            raise Overloaded(f"{owner.name} has {self._settings.per_user} sessions open: close one")

    def of(self, owner: Principal) -> list[Session]:
        """A user's sessions, oldest first."""
        return [session for session in self._sessions.values() if session.owner == owner.name]

    def get(self, id: str, owner: Principal) -> Session:
        """Raises NotFound, also for another user's, and Gone when its shell has ended."""
        session = self._find(id, owner)
        if not session.shell.alive:
            raise Gone(f"session {id} has ended, and its workspace with it: create another")
        return session

    def _find(self, id: str, owner: Principal) -> Session:
        session = self._sessions.get(id)
        if session is None or session.owner != owner.name:
            raise NotFound(f"there is no session {id!r}")
        return session

    async def close(self, id: str, owner: Principal, *, force: bool) -> None:
        """End a session. Raises NotFound; Conflict when it is executing, unless forced."""
        session = self._find(id, owner)
        if session.shell.busy and session.shell.alive and not force:
            raise Conflict(f"session {id} is executing: cancel it first, or close it by force")
        del self._sessions[id]
        await session.shell.close()

    async def close_all(self) -> None:
        """End every session, for shutdown."""
        if self._watching is not None:
            await self._watching.stop()
        sessions = list(self._sessions.values())
        self._sessions.clear()
        closing = [session.shell.close() for session in sessions]
        await asyncio.gather(*closing, *self._ending, return_exceptions=True)

    def _end(self, why: str, shell: SessionShell) -> None:
        """End a shell beside everything else; shutdown waits for it."""
        task = self._background.once(why, shell.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._sessions)

    async def _look(self) -> None:
        """Look at each session once. One that will not end, or cannot be looked at, holds up no other."""
        for session in list(self._sessions.values()):
            try:
                session.shell.check()
            except (GristmillError, OSError) as error:
                log.warning("session_not_checked", session=session.id, error=str(error))
            now = asyncio.get_running_loop().time()
            if not session.shell.busy and now - session.last_used > self._settings.idle_seconds:
                log.info("session_idle", session=session.id, owner=session.owner)
                self._sessions.pop(session.id, None)
                self._end("session that was idle", session.shell)
            await asyncio.sleep(0)  # there may be many, and each look takes a fraction of a millisecond


def _code_of(body: bytes) -> str:
    """The code of an ExecuteRequest, for the history. Raises InvalidInput."""
    try:
        return msgspec.json.decode(body, type=_Execute).code
    except (msgspec.DecodeError, RecursionError):
        raise InvalidInput("the body must be a JSON object with a text 'code'") from None
