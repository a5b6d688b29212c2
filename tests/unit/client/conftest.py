"""A fake server, a client of it, and a home without a profile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.client import Client, connect, connecting
from tests.unit.client.fake import URL, FakeServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty profile, no settings of the environment, and nobody connected."""
    for name in ("URL", "TOKEN", "USERNAME", "PASSWORD", "ADMIN_PASSWORD"):
        monkeypatch.delenv(f"GRISTMILL_{name}", raising=False)
    monkeypatch.setenv("GRISTMILL_PROFILE", str(tmp_path / "profile"))
    monkeypatch.setattr(connecting, "_current", None)
    return tmp_path


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


@pytest.fixture
def client(fake: FakeServer) -> Iterator[Client]:
    """Logged in as ann; what was asked for that is forgotten."""
    with connect(URL, username="ann", password="right", transport=fake.transport) as made:
        fake.asked.clear()
        yield made


@pytest.fixture
def waits(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the client would have slept; it does not."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(client._inner._connection.wire, "sleep", sleep)
    return slept
