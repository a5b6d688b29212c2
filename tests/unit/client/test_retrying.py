"""Real connections, which a server closes at chosen moments."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gristmill.client import Client, connect, errors
from tests.scripted_server import AREA, LOGIN, Act, Scripted, answer, close, half, vanish
from tests.unit.client.fake import described


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.stop()


@pytest.fixture
def client(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    async def at_once(_: float) -> None:
        return

    monkeypatch.setattr("gristmill.client.wire.BlockingWire.sleep", lambda *_: at_once(0))
    server.acts = [LOGIN]
    with connect(server.url, username="ann", password="right") as made:
        server.asked.clear()
        yield made


@pytest.mark.parametrize("ending", [vanish, close, half])
def test_a_call_is_sent_again_when_its_connection_ends_without_an_answer(
    server: Scripted, client: Client, ending: Act
) -> None:
    server.acts = [answer([described()]), ending, ending, AREA]
    assert client.service("area").consume(3.0).output() == 9.0
    assert (
        server.asked == ["GET /services/area/latest", *["POST /api/area/1.0"] * 3]
        or server.asked[-3:] == ["POST /api/area/1.0"] * 3
    )


@pytest.mark.parametrize("ending", [vanish, close, half])
def test_a_change_is_not(server: Scripted, client: Client, ending: Act) -> None:
    server.acts = [ending, answer({})]
    with pytest.raises(errors.Unreachable, match="broke before the answer came"):
        client.delete("area", "1.0")
    assert server.asked == ["DELETE /services/area/1.0"]


def test_a_connection_that_was_closed_between_two_requests_costs_a_change_nothing(
    server: Scripted, client: Client
) -> None:
    server.acts = [answer([], headers="Connection: close\r\n", stays=False), answer({})]
    assert client.services() == []
    client.delete("area", "1.0")
    assert server.asked == ["GET /services", "DELETE /services/area/1.0"]


def test_a_login_is_sent_again_too(server: Scripted) -> None:
    server.acts = [close, LOGIN]
    with connect(server.url, username="ann", password="right"):
        assert server.asked == ["POST /login"] * 2


def test_a_server_that_is_gone_and_comes_back_is_waited_for(
    server: Scripted, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.acts = [answer([], headers="Connection: close\r\n", stays=False)]
    client.services()
    server.stop()
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 7:  # more often than `retries`, because it was there before
            server.start_again()

    monkeypatch.setattr(client._inner._connection.wire, "sleep", sleep)
    server.acts = [answer([])]
    assert client.services() == []
    assert len(waited) == 7
