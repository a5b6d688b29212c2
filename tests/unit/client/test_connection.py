"""Retries, tokens and errors of requests."""

from __future__ import annotations

import threading

import httpx
import pytest

from gristmill.client import Client, connect, connect_async, errors
from gristmill.client.profile import Profile, Saved
from tests.unit.client.fake import URL, FakeServer, described, problem


def test_a_503_with_retry_after_is_repeated_after_that_time(
    client: Client, fake: FakeServer, waits: list[float]
) -> None:
    fake.script = [problem(503, "Overloaded", "busy", retry_after="2")]
    assert client.services() == []
    assert waits == [2.0]


def test_a_refused_connection_is_tried_again_with_growing_waits(
    client: Client, fake: FakeServer, waits: list[float]
) -> None:
    fake.script = [httpx.ConnectError("refused"), httpx.ConnectError("refused")]
    assert client.services() == []
    assert len(waits) == 2
    assert 0.05 < waits[0] < waits[1] < 0.3


def test_a_server_that_stays_away_is_unreachable_and_named(
    client: Client, fake: FakeServer, waits: list[float]
) -> None:
    fake.script = [httpx.ConnectError("refused")] * 100
    with pytest.raises(errors.Unreachable, match=r"nothing answers at http://server.test:12800: refused"):
        client.services()
    assert 55 < sum(waits) <= 60


@pytest.mark.parametrize("kind", ["ShellDied", "LimitExceeded"])
def test_a_run_that_was_begun_is_not_repeated(
    client: Client, fake: FakeServer, waits: list[float], kind: str
) -> None:
    fake.script = [problem(503, kind, "the code ended its process", retry_after="1")]
    with pytest.raises(getattr(errors, kind), match="ended its process"):
        client.services()
    assert waits == []


def test_a_call_whose_code_ended_its_process_is_not_sent_again(
    client: Client, fake: FakeServer, waits: list[float]
) -> None:
    fake.services = [described()]
    service = client.service("area")
    ended = {
        "success": False,
        "errorMessage": "the R process ended with status 0 while it ran the code",
        "outputParameters": {},
        "outputFiles": {},
        "consoleOutput": "",
        "changedFiles": [],
    }
    fake.asked.clear()
    fake.script = [httpx.Response(200, json=ended)]
    with pytest.raises(errors.CodeFailed, match="ended with status 0"):
        service.consume(3.0).output()
    assert waits == []
    assert fake.did() == ["POST /api/area/1.0"]


def test_a_server_that_never_answered_is_not_waited_for(fake: FakeServer, waits: list[float]) -> None:
    client = connect(URL, token="any", transport=fake.transport)
    waits_of(client, waits)
    fake.script = [httpx.ConnectError("refused")] * 100
    with pytest.raises(errors.Unreachable):
        client.services()
    assert len(waits) == 4


@pytest.mark.parametrize("error", [httpx.ReadError("reset"), httpx.RemoteProtocolError("no answer")])
def test_a_change_whose_connection_breaks_is_not_repeated(
    client: Client, fake: FakeServer, waits: list[float], error: Exception
) -> None:
    fake.script = [error]
    with pytest.raises(errors.Unreachable, match="broke before the answer came"):
        client.delete("area", "1.0")
    assert waits == []


@pytest.mark.parametrize("error", [httpx.ReadError("reset"), httpx.RemoteProtocolError("no answer")])
def test_a_call_of_a_service_whose_connection_breaks_is_repeated(
    client: Client, fake: FakeServer, waits: list[float], error: Exception
) -> None:
    fake.services = [described()]
    service = client.service("area")
    fake.script = [error, error]
    assert service.consume(3.0).output() == 9.0
    assert len(waits) == 2


def test_a_call_that_breaks_every_connection_is_given_up_soon(
    client: Client, fake: FakeServer, waits: list[float]
) -> None:
    fake.script = [httpx.ReadError("reset")] * 100
    with pytest.raises(errors.Unreachable, match="broke before the answer came: reset"):
        client.services()
    assert len(waits) == 4


@pytest.mark.parametrize("status", [502, 503])
def test_a_proxy_with_nobody_behind_it_is_asked_again_for_what_changes_nothing(
    client: Client, fake: FakeServer, waits: list[float], status: int
) -> None:
    fake.script = [httpx.Response(status, text="<html>Bad Gateway</html>")] * 8
    assert client.services() == []
    assert len(waits) == 8
    fake.script = [httpx.Response(status, text="<html>Bad Gateway</html>")]
    with pytest.raises(errors.GristmillError):
        client.delete("area", "1.0")
    assert len(waits) == 8


def test_without_retries_nothing_is_repeated(fake: FakeServer, waits: list[float]) -> None:
    client = connect(URL, username="ann", password="right", retries=0, transport=fake.transport)
    waits_of(client, waits)
    for failure in (httpx.ConnectError("refused"), httpx.ReadError("reset")):
        fake.script = [failure]
        with pytest.raises(errors.Unreachable):
            client.services()
    fake.script = [problem(503, "Overloaded", "busy", retry_after="1")]
    with pytest.raises(errors.Overloaded):
        client.services()
    assert waits == []


def test_a_login_is_repeated_and_a_refresh_is_not(
    client: Client, fake: FakeServer, waits: list[float]
) -> None:
    fake.tokens.clear()
    refused = problem(401, "NotAuthenticated", "expired")
    fake.script = [refused, httpx.ReadError("reset")]
    with pytest.raises(errors.Unreachable):
        client.delete("area", "1.0")
    assert fake.did() == ["DELETE /services/area/1.0", "POST /login/refreshToken"]
    fake.asked.clear()
    fake.refresh_tokens.clear()
    fake.script = [refused, problem(400, "InvalidInput", "unknown"), httpx.ReadError("reset")]
    assert client.services() == []
    assert fake.did()[1:] == ["POST /login/refreshToken", "POST /login", "POST /login", "GET /services"]


def test_a_wait_of_minutes_is_left_to_the_caller(
    client: Client, fake: FakeServer, waits: list[float]
) -> None:
    fake.script = [problem(429, "TooManyAttempts", "too many", retry_after="600")]
    with pytest.raises(errors.TooManyAttempts) as raised:
        client.services()
    assert raised.value.retry_after == 600
    assert waits == []


def test_no_answer_in_time_says_so(client: Client, fake: FakeServer) -> None:
    fake.script = [httpx.ReadTimeout("slow")]
    with pytest.raises(errors.TimedOut, match="did not answer in time"):
        client.services()


def test_an_expired_token_is_renewed_once_and_the_request_repeated(client: Client, fake: FakeServer) -> None:
    fake.tokens.clear()
    assert client.services() == []
    assert fake.did() == ["GET /services", "POST /login/refreshToken", "GET /services"]


def test_when_the_refresh_token_is_dead_too_it_logs_in_anew(client: Client, fake: FakeServer) -> None:
    fake.tokens.clear()
    fake.refresh_tokens.clear()
    assert client.services() == []
    assert fake.did()[-2:] == ["POST /login", "GET /services"]


def test_a_token_that_cannot_be_renewed_says_how_to_log_in(fake: FakeServer) -> None:
    client = connect(URL, token="someone's", transport=fake.transport)
    with pytest.raises(errors.NotAuthenticated, match=r"has expired.*gristmill login"):
        client.services()


def test_threads_that_share_a_client_renew_its_token_once(client: Client, fake: FakeServer) -> None:
    fake.tokens.clear()
    threads = [threading.Thread(target=client.services) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fake.did().count("POST /login/refreshToken") == 1


def test_a_token_that_another_process_has_renewed_is_taken_from_the_profile(fake: FakeServer) -> None:
    profile = Profile()
    fake.new_tokens()
    profile.save(URL, Saved("ann", "old", "old-refresh", 0.0))
    client = connect(URL, transport=fake.transport)
    profile.save(URL, Saved("ann", "access-1", "refresh-1", 0.0))
    assert client.services() == []
    assert "POST /login/refreshToken" not in fake.did()


def test_a_renewed_token_is_kept_in_the_profile(fake: FakeServer) -> None:
    profile = Profile()
    fake.refresh_tokens.add("mine")
    profile.save(URL, Saved("ann", "expired", "mine", 0.0))
    connect(URL, transport=fake.transport).services()
    assert profile.load(URL) == Saved("ann", "access-1", "refresh-1", 1900000000.0)


def test_an_answer_that_is_none_of_a_servers_says_so(client: Client, fake: FakeServer) -> None:
    fake.script = [httpx.Response(200, text="<html>welcome</html>")]
    with pytest.raises(errors.UnexpectedAnswer, match="not JSON"):
        client.services()
    fake.script = [httpx.Response(418, text="teapot")]
    with pytest.raises(errors.UnexpectedAnswer, match="status 418: teapot"):
        client.services()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.InvalidInput), (403, errors.Forbidden), (404, errors.NotFound), (501, errors.NotSupported)],
)
def test_an_ml_servers_own_errors_go_by_their_status(
    client: Client, fake: FakeServer, status: int, kind: type[Exception]
) -> None:
    fake.script = [problem(status, "System.ArgumentException", "no")]
    with pytest.raises(kind):
        client.delete("area", "1.0")


def waits_of(client: Client, slept: list[float]) -> None:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    client._inner._connection.wire.sleep = sleep  # type: ignore[method-assign]


async def test_the_same_works_on_an_event_loop(fake: FakeServer) -> None:
    fake.services = [described()]
    client = await connect_async(URL, username="ann", password="right", transport=fake.transport)
    async with client:
        fake.tokens.clear()
        service = await client.service("area")
        result = await service.consume(3.0)
        assert result.output() == 9.0
