"""In-memory stand-ins for what the web layer is given, and a server made of them."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import httpx
from starlette.types import ASGIApp

from gristmill import errors
from gristmill.calls import Answer, StageTimes
from gristmill.identity import Principal, Role
from gristmill.ports import Snapshot
from gristmill.realtime.publishing import Accepted
from gristmill.services import PoolSize, Runtime, ServiceVersion
from gristmill.web.app import create_app
from gristmill.web.context import Context, Limits, Phase, Readiness

OWNER, ANN, BEN, READER = (
    Principal(name="admin", role=Role.OWNER),
    Principal(name="ann", role=Role.CONTRIBUTOR),
    Principal(name="ben", role=Role.CONTRIBUTOR),
    Principal(name="rea", role=Role.READER),
)
BORN = datetime(2026, 11, 22, 10, 30, 0, 123456, tzinfo=UTC)
ANSWER = (
    b'{"success":true,"errorMessage":"","outputParameters":{"y":1.5},"outputFiles":{},"consoleOutput":""}'
)
EXECUTED = b'{"success":true,"errorMessage":"","outputParameters":[],"consoleOutput":"","changedFiles":[]}'


@dataclass(frozen=True, kw_only=True)
class Pair:
    access_token: str
    refresh_token: str
    expires_in: int = 3600
    expires_on: int = 1795350000


class FakeAccounts:
    """The token of a user is `token-<name>`; only those in `warm` are known without a check."""

    def __init__(self) -> None:
        self.users = {f"token-{user.name}": user for user in (OWNER, ANN, BEN, READER)}
        self.warm = {"token-admin"}
        self.revoked: list[str] = []
        self.clients: list[str | None] = []

    def cached(self, token: str) -> Principal | None:
        return self.users.get(token) if token in self.warm else None

    async def verify(self, token: str) -> Principal:
        if token not in self.users:
            raise errors.NotAuthenticated("the token is not valid")
        return self.users[token]

    async def login(self, username: str, password: str, *, client: str | None = None) -> Pair:
        self.clients.append(client)
        if username == "locked":
            raise errors.TooManyAttempts("too many failed logins", retry_after=6.2)
        if (username, password) != ("admin", "right"):
            raise errors.NotAuthenticated("wrong user name or password")
        return Pair(access_token="token-admin", refresh_token="refresh-1")

    async def refresh(self, refresh_token: str) -> Pair:
        if refresh_token != "refresh-1":
            raise errors.NotAuthenticated("the refresh token is not valid")
        return Pair(access_token="token-admin", refresh_token="refresh-2")

    async def revoke(self, refresh_token: str) -> None:
        self.revoked.append(refresh_token)


class FakeRegistry:
    """Services in a dict."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], ServiceVersion] = {}
        self.changes: list[Mapping[str, Any]] = []

    async def find(self, name: str, version: str) -> ServiceVersion:
        return self.resolve(name, version)

    def resolve(self, name: str, version: str) -> ServiceVersion:
        if (name, version) not in self.known:
            raise errors.NotFound(f"there is no service {name} {version}")
        return self.known[name, version]

    def versions(self, name: str | None = None) -> list[ServiceVersion]:
        return [found for found in self.known.values() if name in (None, found.name)]

    async def listed(self, name: str | None = None) -> list[ServiceVersion]:
        return self.versions(name)

    async def publish(self, draft: ServiceVersion, snapshot: str | None, by: Principal) -> ServiceVersion:
        if (draft.name, draft.version) in self.known:
            raise errors.Conflict(f"{draft.name} {draft.version} exists")
        if snapshot == "unknown":
            raise errors.NotFound("there is no snapshot unknown")
        self.known[draft.name, draft.version] = draft
        return draft

    async def patch(
        self, name: str, version: str, changes: Mapping[str, Any], by: Principal
    ) -> ServiceVersion:
        self.changes.append(changes)
        self.known[name, version] = replace(self.resolve(name, version), **changes)
        return self.known[name, version]

    async def delete(self, name: str, version: str, by: Principal) -> None:
        if self.resolve(name, version).owner != by.name and by.role is not Role.OWNER:
            raise errors.Forbidden("not yours")
        del self.known[name, version]

    async def set_pool(self, name: str, version: str, size: PoolSize | None, by: Principal) -> None:
        self.known[name, version] = replace(self.resolve(name, version), pool=size)


class FakeDispatcher:
    """Answers what it is told to; code with `if(` does not parse."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.users: list[str] = []  #: whose turn each call takes
        self.checked: list[tuple[Runtime, str, str]] = []
        self.outcome: Exception | bytes = ANSWER

    async def score(self, service: ServiceVersion, body: bytes, *, user: str = "") -> Answer:
        self.users.append(user)
        self.bodies.append(body)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Answer(self.outcome, True, StageTimes(1000, 0, 20, 300, 40))

    def pool_status(self, service: ServiceVersion) -> str:
        return "Success" if service.pool else "NotFound"

    async def check(self, runtime: Runtime, code: str, init_code: str, *, user: str = "") -> None:
        self.checked.append((runtime, code, init_code))
        if code.endswith("if("):
            raise errors.InvalidInput("line 1: unexpected end")


class FakeRealtime:
    """Knows which services it was told to load."""

    def __init__(self) -> None:
        self.prepared: list[ServiceVersion] = []

    async def prepare(self, service: ServiceVersion) -> None:
        self.prepared.append(service)

    async def try_out(self, service: ServiceVersion) -> None:
        self.prepared.append(service)


class FakePublisher:
    """Accepts models that begin as they should."""

    limit = 1000_000

    async def accept(self, source: BinaryIO) -> Accepted:
        if source.read(4) != b"blob":
            raise errors.InvalidInput("this is not a realtime model")
        return Accepted((), (), "0" * 64)


class FakeSession:
    """Objects and files in dicts; `broken` objects cannot be loaded."""

    def __init__(self, id: str, name: str, owner: str, runtime: Runtime) -> None:
        self.id, self.name, self.owner, self.runtime = id, name, owner, runtime
        self.history: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.held: dict[str, bytes] = {}
        self.cancelled = 0
        self.loaded: list[str] = []

    async def execute(self, body: bytes) -> bytes:
        self.history.append(body.decode())
        return EXECUTED

    async def cancel(self) -> None:
        self.cancelled += 1

    def console(self) -> str:
        return "printed so far\n"

    async def workspace_names(self) -> list[str]:
        return list(self.objects)

    async def put_object(self, name: str, file: BinaryIO) -> None:
        content = file.read()
        if content == b"broken":
            raise errors.InvalidInput(f"object {name!r} cannot be loaded: no pickle")
        self.objects[name] = content

    async def get_object(self, name: str) -> BinaryIO:
        return _file(self.objects, name)

    async def delete_object(self, name: str) -> None:
        _file(self.objects, name)
        del self.objects[name]

    async def files(self) -> list[str]:
        return list(self.held)

    async def put_file(self, name: str, file: BinaryIO) -> None:
        self.held[name] = file.read()

    async def get_file(self, name: str) -> BinaryIO:
        return _file(self.held, name)

    async def delete_file(self, name: str) -> None:
        _file(self.held, name)
        del self.held[name]

    async def save_snapshot(self, name: str) -> Snapshot:
        return snapshot("snap-2", self.owner, name)

    async def load_snapshot(self, snapshot_id: str) -> None:
        if snapshot_id != "snap-1":
            raise errors.NotFound(f"there is no snapshot {snapshot_id}")
        self.loaded.append(snapshot_id)


def _file(held: dict[str, bytes], name: str) -> BinaryIO:
    if name not in held:
        raise errors.NotFound(f"there is no {name}")
    return io.BytesIO(held[name])


class FakeSessions:
    """One session of ann's is there from the start."""

    def __init__(self) -> None:
        self.live = {"s1": FakeSession("s1", "first", "ann", Runtime.R)}
        self.dead: set[str] = set()

    async def create(
        self, owner: Principal, *, name: str, runtime: Runtime, snapshot_id: str | None
    ) -> FakeSession:
        session = FakeSession(f"s{len(self.live) + 1}", name, owner.name, runtime)
        self.live[session.id] = session
        return session

    def of(self, owner: Principal) -> list[FakeSession]:
        return [session for session in self.live.values() if session.owner == owner.name]

    def get(self, id: str, owner: Principal) -> FakeSession:
        if id in self.dead:
            raise errors.Gone(f"session {id} has ended")
        if id not in self.live or self.live[id].owner != owner.name:
            raise errors.NotFound(f"there is no session {id}")
        return self.live[id]

    async def close(self, id: str, owner: Principal, *, force: bool) -> None:
        if id == "busy" and not force:
            raise errors.Conflict("the session is executing")
        self.get(id, owner)
        del self.live[id]


class FakeSnapshots:
    """One snapshot of ann's is there from the start."""

    def __init__(self) -> None:
        self.stored = {"snap-1": snapshot("snap-1", "ann", "my “work”/1")}

    async def of(self, owner: Principal) -> list[Snapshot]:
        return [stored for stored in self.stored.values() if stored.owner == owner.name]

    async def get(self, id: str, owner: Principal) -> Snapshot:
        if id not in self.stored or self.stored[id].owner != owner.name:
            raise errors.NotFound(f"there is no snapshot {id}")
        return self.stored[id]

    async def open(self, id: str, owner: Principal) -> BinaryIO:
        await self.get(id, owner)
        return io.BytesIO(b"PK zip")

    async def delete(self, id: str, owner: Principal) -> None:
        await self.get(id, owner)
        del self.stored[id]


def snapshot(id: str, owner: str, name: str) -> Snapshot:
    return Snapshot(id=id, name=name, owner=owner, runtime=Runtime.R, created=BORN, content="ab" * 32, size=6)


def service(**changes: Any) -> ServiceVersion:
    """`bos-rf 1.0.0`, published by ann."""
    fields: dict[str, Any] = {
        "name": "bos-rf",
        "version": "1.0.0",
        "runtime": Runtime.R,
        "code": "y <- x",
        "owner": "ann",
        "created": BORN,
    }
    return ServiceVersion(**{**fields, **changes})


async def _status() -> dict[str, Any]:
    return {"statusCode": "pass", "details": {}, "components": {}}


@dataclass
class Server:
    """The application over stand-ins, and a client of it for each user."""

    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    dispatcher: FakeDispatcher = field(default_factory=FakeDispatcher)
    sessions: FakeSessions = field(default_factory=FakeSessions)
    snapshots: FakeSnapshots = field(default_factory=FakeSnapshots)
    batches: Any = None
    realtime: FakeRealtime = field(default_factory=FakeRealtime)
    publisher: FakePublisher = field(default_factory=FakePublisher)
    moving: Any = None
    phase: Phase = field(default_factory=lambda: Phase(ready=True))
    limits: Limits = field(default_factory=Limits)
    status: Callable[[], Awaitable[Mapping[str, Any]]] = _status
    readiness: Callable[[], Readiness] = field(default=lambda: Readiness("pass"))

    def context(self, **options: Any) -> Context:
        return Context(
            accounts=cast(Any, self.accounts),
            registry=cast(Any, self.registry),
            dispatcher=cast(Any, self.dispatcher),
            sessions=cast(Any, self.sessions),
            snapshots=cast(Any, self.snapshots),
            batches=cast(Any, self.batches),
            realtime=cast(Any, self.realtime),
            publisher=cast(Any, self.publisher),
            moving=cast(Any, self.moving),
            status=self.status,
            readiness=lambda: self.readiness(),  # noqa: PLW0108 - a test may change it later
            phase=self.phase,
            limits=self.limits,
            **options,
        )

    def app(self, **options: Any) -> ASGIApp:
        return create_app(self.context(**options))

    def client(self, user: str | None = "ann", **options: Any) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer token-{user}"} if user else {}
        transport = httpx.ASGITransport(app=cast(Any, self.app(**options)))
        return httpx.AsyncClient(transport=transport, base_url="http://server", headers=headers)
