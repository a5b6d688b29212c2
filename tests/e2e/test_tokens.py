"""Who gets in: tokens of every kind on every route, lock-out, and accounts that change meanwhile."""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.conftest import stopping
from tests.e2e.accounts import add_account, from_address, manage_users, password_of
from tests.e2e.forging import Forger
from tests.e2e.protocol import accepted, refused
from tests.e2e.publishing import publish
from tests.e2e.surroundings import without_r
from tests.servers import ADMIN_PASSWORD, Server, start_server

pytestmark = pytest.mark.timeout(180)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
NOWHERE = ["/", "/nothing", "/services/", "/api", "/api/x", "/login/x", "/docsx", "/openapi.json/", "/%00"]
MALFORMED = [None, "", "Bearer", "Bearer a.b.c", "Basic YWRtaW46eA==", "Bearer " + "a" * 10_000]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module alone: it counts failed logins."""
    folder = tmp_path_factory.mktemp("tokens")
    with stopping(start_server(folder, "--pool-initial", "1", environment=without_r(folder))) as running:
        yield running


@pytest.fixture(scope="module")
def anyone(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def service(server: Server) -> str:
    """Path of a service that each token tries to call."""
    with server.client() as admin:
        return publish(admin, "guarded", "y = 1", outputs={"y": "numeric"})


@pytest.fixture
def pair(anyone: httpx.Client) -> dict[str, Any]:
    return log_in(anyone)


def log_in(client: httpx.Client, name: str = "admin", password: str = ADMIN_PASSWORD) -> dict[str, Any]:
    answer = client.post("/login", json={"username": name, "password": password})
    return dict(accepted(answer, "tokens"))


def renew(client: httpx.Client, token: str) -> httpx.Response:
    return client.post("/login/refreshToken", json={"refreshToken": token})


def opens(client: httpx.Client, access_token: str) -> bool:
    """Whether a token opens the core API and scoring alike."""
    header = {"Authorization": f"Bearer {access_token}"}
    statuses = {
        client.get("/services", headers=header).status_code,
        client.post("/api/guarded/1", json={}, headers=header).status_code,
    }
    assert statuses in ({200}, {401})
    return statuses == {200}


@pytest.fixture(scope="module")
def protected(anyone: httpx.Client) -> list[str]:
    """Every path of the API that needs a token, with its parameters filled in, and some that lead nowhere."""
    described = anyone.get("/openapi.json").json()["paths"]
    paths = [
        re.sub(r"{[^}]*}", "x", path)
        for path, operations in described.items()
        if not all(operation.get("security") == [] for operation in operations.values())
    ]
    assert len(paths) > 25
    assert "/api/x/x" in paths
    return [*paths, "/api/guarded/1", "/services/guarded/1", *NOWHERE]


def assert_401_everywhere(client: httpx.Client, paths: list[str], header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in paths:
        for method in METHODS:
            answer = client.request(method, path, headers=headers, content=b"{")
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
            if method != "HEAD":
                assert answer.json()["exceptionType"] == "NotAuthenticated"


@pytest.mark.parametrize("header", MALFORMED, ids=lambda value: str(value)[:20])
def test_no_route_opens_without_a_token(
    anyone: httpx.Client, protected: list[str], header: str | None
) -> None:
    assert_401_everywhere(anyone, protected, header)


@pytest.mark.parametrize("how", ["logged out", "renewed"])
def test_no_route_opens_to_a_token_that_was_good_before(
    anyone: httpx.Client, protected: list[str], pair: dict[str, Any], how: str
) -> None:
    assert opens(anyone, pair["access_token"])
    if how == "renewed":
        accepted(renew(anyone, pair["refresh_token"]), "tokens")
    else:
        out = anyone.delete("/login/refreshToken", params={"refreshToken": pair["refresh_token"]})
        accepted(out, "empty")
    assert_401_everywhere(anyone, protected, f"Bearer {pair['access_token']}")


def test_no_route_opens_to_a_forged_token(
    server: Server, anyone: httpx.Client, protected: list[str], pair: dict[str, Any]
) -> None:
    forger = Forger(server.data, pair["access_token"])
    assert opens(anyone, forger.signed())
    for kind, token in forger.forgeries().items():
        assert not opens(anyone, token), kind
    for kind in ("expired", "unsigned", "signed by a foreign key", "signed by the public key as a secret"):
        assert_401_everywhere(anyone, protected, f"Bearer {forger.forgeries()[kind]}")
    assert opens(anyone, pair["access_token"])


def test_no_forged_token_renews_or_logs_out(
    server: Server, anyone: httpx.Client, pair: dict[str, Any]
) -> None:
    forger = Forger(server.data, pair["refresh_token"])
    for kind, token in forger.forgeries().items():
        if kind == "for renewing":  # that one is what it says
            continue
        refused(renew(anyone, token), 401)
        if kind not in {"of a generation to come", "of another user"}:  # our own key names the login
            refused(anyone.delete("/login/refreshToken", params={"refreshToken": token}), 401)
    assert opens(anyone, pair["access_token"])


def test_what_a_token_says_of_its_holders_role_does_not_count(server: Server, anyone: httpx.Client) -> None:
    add_account(server, "modest", "reader")
    real = log_in(anyone, "modest", password_of("modest"))["access_token"]
    bearer = {"Authorization": f"Bearer {Forger(server.data, real).signed(role='owner')}"}
    refused(anyone.get("/sessions", headers=bearer), 403)


def test_a_refresh_token_used_at_once_by_many_gives_one_pair(
    server: Server, anyone: httpx.Client, pair: dict[str, Any]
) -> None:
    together = threading.Barrier(8)

    def try_once(_: int) -> httpx.Response:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            client.get("/health/live")
            together.wait()
            return renew(client, pair["refresh_token"])

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(try_once, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    (winner,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert opens(anyone, winner["access_token"])
    assert not opens(anyone, pair["access_token"])
    accepted(renew(anyone, winner["refresh_token"]), "tokens")


def test_a_refresh_token_that_was_renewed_twice_since_ends_the_login(
    anyone: httpx.Client, pair: dict[str, Any]
) -> None:
    second = renew(anyone, pair["refresh_token"]).json()
    third = renew(anyone, second["refresh_token"]).json()
    assert opens(anyone, third["access_token"])
    refused(renew(anyone, pair["refresh_token"]), 401)
    assert not opens(anyone, third["access_token"])
    refused(renew(anyone, third["refresh_token"]), 401)


def test_two_logins_of_one_user_do_not_disturb_each_other(anyone: httpx.Client) -> None:
    first, second = log_in(anyone), log_in(anyone)
    anyone.delete("/login/refreshToken", params={"refreshToken": first["refresh_token"]})
    assert not opens(anyone, first["access_token"])
    assert opens(anyone, second["access_token"])


def within_two_seconds(client: httpx.Client, token: str) -> None:
    """Wait until the token is dead on both routes, which may take no longer."""
    header = {"Authorization": f"Bearer {token}"}
    changed = time.monotonic()
    for request in (client.build_request("GET", "/services"), client.build_request("POST", "/api/guarded/1")):
        request.headers.update(header)
        while client.send(request).status_code != 401:
            assert time.monotonic() - changed < 2


@pytest.mark.parametrize(
    ("name", "words", "password"),
    [
        ("moved", ("role", "moved", "reader"), password_of("moved")),
        ("renamed", ("passwd", "renamed"), "another password"),
    ],
)
def test_a_changed_role_or_password_ends_the_users_logins_within_two_seconds(
    server: Server, anyone: httpx.Client, name: str, words: tuple[str, ...], password: str
) -> None:
    add_account(server, name, "contributor")
    before = log_in(anyone, name, password_of(name))
    assert opens(anyone, before["access_token"])
    manage_users(server, *words, password=password if words[0] == "passwd" else None)
    within_two_seconds(anyone, before["access_token"])
    refused(renew(anyone, before["refresh_token"]), 401)
    after = log_in(anyone, name, password)
    assert opens(anyone, after["access_token"])
    status = anyone.get("/sessions", headers={"Authorization": f"Bearer {after['access_token']}"}).status_code
    assert status == (403 if words[0] == "role" else 200)


def test_a_removed_user_is_out_within_two_seconds_and_cannot_come_back(
    server: Server, anyone: httpx.Client
) -> None:
    add_account(server, "leaver", "owner")
    before = log_in(anyone, "leaver", password_of("leaver"))
    assert opens(anyone, before["access_token"])
    manage_users(server, "remove", "leaver")
    within_two_seconds(anyone, before["access_token"])
    refused(renew(anyone, before["refresh_token"]), 401)
    with from_address(server, 20) as client:
        login = {"username": "leaver", "password": password_of("leaver")}
        refused(client.post("/login", json=login), 401)


def test_the_users_of_a_running_server_are_listed_without_their_secrets(server: Server) -> None:
    manage_users(server, "add", "listed", "--role", "reader", password=password_of("listed"))
    listed = manage_users(server, "list")
    assert "admin" in listed
    assert "listed" in listed
    assert "owner" in listed
    assert "argon2" not in listed


def fails(client: httpx.Client, name: str, password: str = "wrong password") -> httpx.Response:
    answer = client.post("/login", json={"username": name, "password": password})
    assert answer.status_code in {401, 429}
    return answer


@pytest.mark.parametrize(("name", "last"), [("locked", 30), ("there-is-no-such-user", 31)])
def test_repeated_failures_make_the_next_attempts_wait_longer_and_longer(
    server: Server, name: str, last: int
) -> None:
    """The same for a user that there is and for one that there is not."""
    if name == "locked":
        add_account(server, name)
    with from_address(server, last) as client, from_address(server, last + 10) as elsewhere:
        for _ in range(6):
            assert fails(client, name).status_code == 401
        waits = []
        for _ in range(3):
            answer = fails(client, name, password_of(name))
            assert "too many" in refused(answer, 429)
            waits.append(int(answer.headers["Retry-After"]))
            refused(fails(elsewhere, name), 429)
            if len(waits) < 3:
                while fails(client, name).status_code == 429:
                    time.sleep(0.05)  # the delay is the server's clock's; there is no event to wait for
        assert waits == [1, 2, 4]
        log_in(client)


def test_a_success_forgets_the_failures_of_that_user(server: Server) -> None:
    add_account(server, "clumsy")
    with from_address(server, 50) as client:
        for _ in range(3):
            for _ in range(5):
                assert fails(client, "clumsy").status_code == 401
            log_in(client, "clumsy", password_of("clumsy"))


def test_failures_with_many_names_lock_the_address_they_come_from(server: Server) -> None:
    with from_address(server, 51) as client, from_address(server, 52) as elsewhere:
        statuses = [fails(client, f"guess-{n}").status_code for n in range(25)]
        assert 429 in statuses
        assert statuses.index(429) >= 20
        log_in(elsewhere)


def test_the_answer_for_a_wrong_user_is_that_for_a_wrong_password_and_as_slow(server: Server) -> None:
    add_account(server, "timed")
    texts, times = set(), {"timed": [], "nobody": []}  # type: tuple[set[str], dict[str, list[float]]]
    for n in range(12):
        with from_address(server, 60 + n) as client:
            client.get("/health/live")
            for kind in ("timed", "nobody") if n % 2 else ("nobody", "timed"):
                begun = time.perf_counter()
                answer = fails(client, kind if kind == "timed" else f"nobody-{n}")
                times[kind].append(time.perf_counter() - begun)
                assert answer.status_code == 401
                texts.add(answer.text)
            if n % 4 == 3:
                log_in(client, "timed", password_of("timed"))
    assert len(texts) == 1
    known, unknown = (statistics.median(times[kind]) for kind in ("timed", "nobody"))
    assert 0.5 < known / unknown < 2, times
    assert min(known, unknown) > 0.01


def test_the_signing_key_is_for_the_server_alone(server: Server) -> None:
    assert (server.data / "signing-key.pem").stat().st_mode & 0o777 == 0o600
    for path in (server.data / "gristmill.db", server.data / "blobs"):
        assert not path.exists() or path.stat().st_mode & 0o077 == 0, path


def test_no_token_or_password_is_in_the_log(server: Server, anyone: httpx.Client) -> None:
    pair = log_in(anyone)
    anyone.get("/services", headers={"Authorization": f"Bearer {pair['access_token']}"})
    anyone.delete(f"/login/refreshToken/{pair['refresh_token']}")
    log = server.log.read_text()
    assert pair["access_token"] not in log
    assert pair["refresh_token"] not in log
    assert ADMIN_PASSWORD not in log
    assert password_of("timed") not in log
