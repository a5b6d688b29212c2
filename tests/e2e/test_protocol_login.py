"""Logging in, renewing and logging out, answer by answer."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.protocol import accepted, refused
from tests.e2e.publishing import publish
from tests.servers import ADMIN_PASSWORD, Server

DAY = 86400


@pytest.fixture(scope="module")
def anyone(server: Server) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def pair(anyone: httpx.Client) -> dict[str, Any]:
    """The answer to a new login."""
    return log_in(anyone).json()  # type: ignore[no-any-return]


def log_in(client: httpx.Client) -> httpx.Response:
    return client.post("/login", json={"username": "admin", "password": ADMIN_PASSWORD})


def as_bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def raw(server: Server, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body, of a request whose headers go out as they are."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def lives(client: httpx.Client, access_token: str) -> bool:
    answer = client.get("/services", headers=as_bearer(access_token))
    if answer.status_code == 401:
        refused(answer, 401)
        return False
    accepted(answer, "services")
    return True


def test_the_answer_to_a_login_is_compact_json_in_the_order_that_load_tests_search(
    anyone: httpx.Client,
) -> None:
    answer = log_in(anyone)
    accepted(answer, "tokens")
    keys = r'{"token_type":"Bearer","access_token":"[^"]+","expires_in":3600,"expires_on":"\d+",'
    text = keys + r'"refresh_token":"[^"]+"}'
    assert re.fullmatch(text, answer.text)
    assert re.search(r'access_token":"([^"]+)"', answer.text)
    assert answer.headers["cache-control"] == "no-store"


def test_tokens_are_jwts_of_an_hour_of_14_days_and_of_90_in_all(pair: dict[str, Any]) -> None:
    access, renewal = claims(pair["access_token"]), claims(pair["refresh_token"])
    assert int(pair["expires_on"]) == access["exp"]
    assert abs(access["exp"] - time.time() - 3600) < 60
    assert renewal["exp"] - access["iat"] == 14 * DAY
    for token in (pair["access_token"], pair["refresh_token"]):
        header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
        assert header == {"alg": "ES256", "typ": "JWT"}


def test_renewing_gives_a_new_pair_and_kills_the_old_refresh_and_access_token(
    anyone: httpx.Client, pair: dict[str, Any]
) -> None:
    assert lives(anyone, pair["access_token"])
    answer = anyone.post("/login/refreshToken", json={"refreshToken": pair["refresh_token"]})
    renewed = accepted(answer, "tokens")
    assert list(renewed) == list(pair)
    assert lives(anyone, renewed["access_token"])
    assert not lives(anyone, pair["access_token"])
    refused(anyone.post("/login/refreshToken", json={"refreshToken": pair["refresh_token"]}), 401)


@pytest.mark.parametrize("form", ["/login/refreshToken?refreshToken={}", "/login/refreshToken/{}"])
def test_logging_out_by_query_or_by_path_kills_both_tokens(
    anyone: httpx.Client, pair: dict[str, Any], form: str
) -> None:
    assert lives(anyone, pair["access_token"])
    accepted(anyone.delete(form.format(pair["refresh_token"])), "empty")
    assert not lives(anyone, pair["access_token"])
    refused(anyone.post("/login/refreshToken", json={"refreshToken": pair["refresh_token"]}), 401)
    refused(anyone.delete(form.format(pair["refresh_token"])), 401)


@pytest.mark.parametrize("header", [None, "Bearer worn-out", "Basic YTpi"])
def test_no_operation_of_login_looks_at_an_authorization_header(
    anyone: httpx.Client, header: str | None
) -> None:
    headers = {"Authorization": header} if header else {}
    login = {"username": "admin", "password": ADMIN_PASSWORD}
    pair = accepted(anyone.post("/login", json=login, headers=headers), "tokens")
    body = {"refreshToken": pair["refresh_token"]}
    pair = accepted(anyone.post("/login/refreshToken", json=body, headers=headers), "tokens")
    out = anyone.delete(f"/login/refreshToken?refreshToken={pair['refresh_token']}", headers=headers)
    accepted(out, "empty")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"admin"',
        b"{}",
        b'{"username":"admin"}',
        b'{"password":"x"}',
        b'{"username":1,"password":"x"}',
        b'{"username":"admin","password":null}',
        b'{"username":"a\\u0000","password":"x"}',
        b"\xff\xfe",
        b"username=admin&password=x",
    ],
)
def test_a_malformed_login_is_400(anyone: httpx.Client, body: bytes) -> None:
    refused(anyone.post("/login", content=body), 400)


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"refreshToken":1}', b'{"refreshToken":null}'])
def test_a_malformed_renewal_is_400(anyone: httpx.Client, body: bytes) -> None:
    refused(anyone.post("/login/refreshToken", content=body), 400)


@pytest.mark.parametrize("token", ["x", "a.b.c", "", "é", "a" * 10_000])
def test_a_refresh_token_that_is_none_is_401(anyone: httpx.Client, token: str) -> None:
    refused(anyone.post("/login/refreshToken", json={"refreshToken": token}), 401)
    refused(anyone.request("DELETE", "/login/refreshToken", params={"refreshToken": token}), 401)


def test_an_access_token_cannot_renew_nor_a_refresh_token_call(
    anyone: httpx.Client, pair: dict[str, Any]
) -> None:
    refused(anyone.post("/login/refreshToken", json={"refreshToken": pair["access_token"]}), 401)
    assert not lives(anyone, pair["refresh_token"])


def test_logging_out_without_naming_a_token_is_400(anyone: httpx.Client) -> None:
    refused(anyone.delete("/login/refreshToken"), 400)


def test_a_login_of_more_than_64_kib_is_413(anyone: httpx.Client) -> None:
    refused(anyone.post("/login", json={"username": "a" * 70_000, "password": "x"}), 413)


def test_extra_fields_and_white_space_in_a_login_are_let_pass(anyone: httpx.Client) -> None:
    body = {"username": "admin", "password": ADMIN_PASSWORD, "client": "old"}
    accepted(anyone.post("/login", content=json.dumps(body, indent=2) + "\r\n\n"), "tokens")


@pytest.mark.parametrize(
    "form", ["bearer {}", "BEARER {}", "Bearer    {}", "  Bearer {}", "Bearer {}  ", "bEaReR\t{}\t"]
)
def test_the_authorization_header_is_read_leniently(server: Server, pair: dict[str, Any], form: str) -> None:
    header = {"Authorization": form.format(pair["access_token"])}
    assert raw(server, "GET", "/services", header)[0] == 200
    assert raw(server, "POST", "/api/no-such/1", header)[0] == 404


@pytest.mark.parametrize(
    "path", ["/no/such/path", "/services/no-such/1", "/api/no-such/1", "/sessions/x/files"]
)
def test_401_comes_before_404(anyone: httpx.Client, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        refused(anyone.request(method, path), 401)


def test_401_comes_before_400_409_and_413(anyone: httpx.Client, admin: httpx.Client, server: Server) -> None:
    publish(admin, "taken", "y = 1")
    refused(anyone.post("/services/taken/1", content=b"{"), 401)
    refused(anyone.post("/services/taken/1", json={"code": "y = 1", "runtimeType": "Python"}), 401)
    refused(anyone.post("/api/taken/1", content=b"{"), 401)
    for path in ("/services/taken/1", "/api/taken/1"):
        assert raw(server, "POST", path, {"Content-Length": str(10**12)})[0] == 401


def test_401_names_the_scheme_that_is_asked_for(anyone: httpx.Client) -> None:
    answer = anyone.get("/services")
    assert "Authorization: Bearer" in refused(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
