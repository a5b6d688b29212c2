"""What the web node is given: the core's objects, and its limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from gristmill.batches import Batches
    from gristmill.dispatcher import Dispatcher
    from gristmill.identity import Principal
    from gristmill.moving import Moving
    from gristmill.realtime.models import Realtime
    from gristmill.realtime.publishing import Publisher
    from gristmill.registry import Registry
    from gristmill.sessions import Sessions, Snapshots
from gristmill.web.requests import Bodies

__all__ = ["Accounts", "Context", "Limits", "Phase", "Readiness", "TokenPair"]


class TokenPair(Protocol):
    """What a login yields."""

    @property
    def access_token(self) -> str:
        """A JWT."""

    @property
    def refresh_token(self) -> str:
        """Good for one use."""

    @property
    def expires_in(self) -> int:
        """Seconds for which the access token holds."""

    @property
    def expires_on(self) -> int:
        """Until when, in seconds since 1970."""


class Accounts(Protocol):
    """Logins, and the verdicts on tokens; all but `cached` raise NotAuthenticated."""

    async def login(self, username: str, password: str, *, client: str | None = None) -> TokenPair:
        """A new pair; also raises TooManyAttempts. `client` is the caller's address."""

    async def refresh(self, refresh_token: str) -> TokenPair:
        """The next pair; the one before is dead."""

    async def revoke(self, refresh_token: str) -> None:
        """End the login that the token belongs to."""

    def cached(self, token: str) -> Principal | None:
        """Whose access token this is, if that is known without a signature check."""

    async def verify(self, token: str) -> Principal:
        """Whose access token this is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes over which a request is refused, with 413 where nothing else is said."""

    body_bytes: int = 64 * 1024 * 1024  #: a scoring call, or any other body of JSON
    upload_bytes: int = 1024 * 1024 * 1024  #: a file or an object put into a session
    bodies_bytes: int = 2 * 1024 * 1024 * 1024  #: such bodies that are in memory together; then 503
    login_bytes: int = 64 * 1024  #: bodies that are read before anybody has logged in


@dataclass(slots=True)
class Phase:
    """Where the server is in its life; set by whoever runs it, read at every request."""

    ready: bool = False
    draining: bool = False
    publishing: str = ""  #: how far start-up publishing is, as in "2 of 3"; empty when it is done


class Readiness(NamedTuple):
    """Whether a server that has started should get requests."""

    code: Literal["pass", "warn", "fail"]  #: `warn`: it should, but not all of them can be answered
    why: str = ""  #: in a sentence, unless it passes


def _always_ready() -> Readiness:
    return Readiness("pass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything that a handler may reach."""

    accounts: Accounts
    registry: Registry
    dispatcher: Dispatcher
    sessions: Sessions
    snapshots: Snapshots
    batches: Batches
    realtime: Realtime
    publisher: Publisher  #: of realtime models
    moving: Moving
    status: Callable[[], Awaitable[Mapping[str, Any]]]  #: `{"statusCode", "details", "components"}`
    phase: Phase
    limits: Limits = field(default_factory=Limits)
    bodies: Bodies = field(default_factory=Bodies)  #: that are in memory
    node_address: str = "http://localhost:12800"  #: of this node, as pools are reported under
    cors_origins: tuple[str, ...] = ()  #: browsers' pages of these origins may call; none by default
    log_scoring: bool = False  #: an access log event for each scoring call too
    readiness: Callable[[], Readiness] = _always_ready  #: of a server that has started; asks nobody
    server_timing: bool = False  #: `Server-Timing` on every scoring answer, not only where asked for
