"""A database that hangs: what needs it is refused in time, the rest goes on, and the server can end."""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.conftest import stopping
from tests.contract.databases import postgres_programs, running_postgres
from tests.e2e.publishing import call, publish
from tests.servers import ADMIN_PASSWORD, Server, start_server
from tests.wires import Wire, running_wire

SECONDS = 2.0
#: What a refusal may take: the time-out, and the machine's own slowness.
SOON = SECONDS + 4.0


@pytest.fixture
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Wire]]:
    """A server, and the wire to its database."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(running_postgres(programs))
        name = postgres.new_database().split("/")[3].split("?")[0]
        wire = stack.enter_context(running_wire(postgres.socket))
        url = f"postgresql://postgres@127.0.0.1:{wire.port}/{name}?sslmode=disable"
        flags = ("--database", url, "--database-seconds", str(SECONDS), "--pool-initial", "1")
        server = stack.enter_context(stopping(start_server(tmp_path_factory.mktemp("server"), *flags)))
        stack.callback(wire.mend)
        yield server, wire


def timed(ask: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    return ask(), time.monotonic() - began


def refused(ask: Callable[[], httpx.Response]) -> None:
    answer, took = timed(ask)
    assert (answer.status_code, answer.json()["exceptionType"]) == (503, "StateUnavailable"), answer.text
    assert "retry-after" in answer.headers
    assert took < SOON


@pytest.mark.timeout(180)
def test_what_needs_a_database_that_hangs_is_503_and_calls_go_on(away: tuple[Server, Wire]) -> None:
    server, wire = away
    login = {"username": "admin", "password": ADMIN_PASSWORD}
    with server.client() as client:
        path = publish(client, "double", "y = 2 * x", inputs={"x": "numeric"}, outputs={"y": "numeric"})
        assert call(client, path, x=1) == {"y": 2}
        assert client.get("/status").json()["statusCode"] == "pass"
        wire.cut()
        body = {"code": "y = 1", "runtimeType": "Python"}
        refused(lambda: client.post("/services/other/1", json=body))
        refused(lambda: httpx.post(f"{server.url}/login", json=login, timeout=60))
        with ThreadPoolExecutor(20) as crowd:  # however many ask at once
            asked = [crowd.submit(refused, lambda: client.get("/snapshots")) for _ in range(20)]
            assert [call(client, path, x=x) for x in range(50)] == [{"y": 2 * x} for x in range(50)]
            for each in asked:
                each.result()
        report, took = timed(lambda: client.get("/status"))
        assert took < SOON
        parts = report.json()["components"]
        assert (report.json()["statusCode"], parts["database"]["statusCode"]) == ("fail", "fail")
        assert parts["background"]["statusCode"] != "pass"
        ready = httpx.get(f"{server.url}/health/ready", timeout=10)
        assert (ready.status_code, ready.json()["status"]) == (200, "warn")
        assert "the database has not answered" in ready.json()["message"]
        wire.mend()
        until(lambda: httpx.post(f"{server.url}/login", json=login, timeout=60).status_code == 200)
        until(lambda: client.get("/status").json()["statusCode"] == "pass")
        assert httpx.get(f"{server.url}/health/ready", timeout=10).json() == {"status": "pass"}


def until(right: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not right():
        assert time.monotonic() < end, "it did not recover"
        time.sleep(0.2)


@pytest.mark.timeout(120)
def test_a_server_whose_database_hangs_ends_when_it_is_told_to(away: tuple[Server, Wire]) -> None:
    server, wire = away
    with server.client() as client, ThreadPoolExecutor(5) as crowd:
        wire.cut()
        body = {"code": "y = 1", "runtimeType": "Python"}
        asked = [crowd.submit(client.post, f"/services/s{i}/1", json=body) for i in range(5)]
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 25
        assert {each.result().status_code for each in asked} == {503}


@pytest.mark.timeout(60)
def test_a_server_whose_database_hangs_from_the_start_says_so_in_a_line(away: tuple[Server, Wire]) -> None:
    server, wire = away
    assert server.stop() == 0
    wire.cut()
    url = f"postgresql://postgres:secret@127.0.0.1:{wire.port}/db?sslmode=disable"
    with pytest.raises(RuntimeError, match="status 1") as caught:
        start_server(server.data.parent, "--database", url, "--database-seconds", "2")
    said = str(caught.value).splitlines()
    assert said[-1].startswith(f"gristmill serve: the database db at 127.0.0.1:{wire.port} cannot be used: ")
    assert "secret" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
