"""The client for scripts and notebooks: the asynchronous one, run to its end at each call."""

from __future__ import annotations

from types import TracebackType

from gristmill.client.api import AsyncClient
from gristmill.client.driving import blocking
from gristmill.client.services import Service
from gristmill.client.sessions import AsyncSession, Session

__all__ = ["Client"]


def _sessions(inner: list[AsyncSession]) -> list[Session]:
    return [Session(each) for each in inner]


class Client:
    """A Gristmill server, logged in to; `gristmill.connect` makes one. Threads may share it."""

    def __init__(self, inner: AsyncClient) -> None:
        self._inner = inner

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._inner.url

    @property
    def username(self) -> str | None:
        """The account, or None where only a token was given."""
        return self._inner.username

    services = blocking(AsyncClient.services)
    service = blocking(AsyncClient.service, Service, "Service")
    publish = blocking(AsyncClient.publish, Service, "Service")
    redeploy = blocking(AsyncClient.redeploy, Service, "Service")
    publish_realtime = blocking(AsyncClient.publish_realtime, Service, "Service")
    redeploy_realtime = blocking(AsyncClient.redeploy_realtime, Service, "Service")
    export = blocking(AsyncClient.export)
    import_ = blocking(AsyncClient.import_, Service, "Service")
    delete = blocking(AsyncClient.delete)
    session = blocking(AsyncClient.session, Session, "Session")
    sessions = blocking(AsyncClient.sessions, _sessions, "List[Session]")
    snapshots = blocking(AsyncClient.snapshots)
    download_snapshot = blocking(AsyncClient.download_snapshot)
    delete_snapshot = blocking(AsyncClient.delete_snapshot)
    status = blocking(AsyncClient.status)
    logout = blocking(AsyncClient.logout)
    close = blocking(AsyncClient.close)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._inner).replace("AsyncClient", "Client", 1)
