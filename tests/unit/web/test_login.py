from __future__ import annotations

import pytest

from tests.unit.web.fakes import Server

LOGIN = {"username": "admin", "password": "right"}


async def test_the_answer_is_compact_json_in_the_order_that_load_tests_look_for(server: Server) -> None:
    async with server.client(None) as client:
        answer = await client.post("/login", json=LOGIN)
    assert answer.status_code == 200
    assert answer.text == (
        '{"token_type":"Bearer","access_token":"token-admin","expires_in":3600,'
        '"expires_on":"1795350000","refresh_token":"refresh-1"}'
    )
    assert answer.headers["cache-control"] == "no-store"
    assert server.accounts.clients == ["127.0.0.1"]


async def test_wrong_credentials_are_401(server: Server) -> None:
    async with server.client(None) as client:
        answer = await client.post("/login", json={**LOGIN, "password": "wrong"})
    assert (answer.status_code, answer.json()["exceptionType"]) == (401, "NotAuthenticated")


async def test_a_locked_account_is_429_and_told_when_to_come_back(server: Server) -> None:
    async with server.client(None) as client:
        answer = await client.post("/login", json={**LOGIN, "username": "locked"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


async def test_no_content_type_and_unknown_keys_are_let_pass(server: Server) -> None:
    async with server.client(None) as client:
        body = b' {"username":"admin","password":"right","domain":null}\n'
        assert (await client.post("/login", content=body)).status_code == 200


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "username: Field required; password: Field required"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b'{"username": 1, "password": "secret-word"}', "username: Input should be a valid string"),
        (b'{"username": "a\\u0000", "password": "secret-word"}', "username"),
        (b'{"username": "\\ud800", "password": "secret-word"}', "JSON"),
        (b'{"username": "\xff", "password": "secret-word"}', "JSON"),
        (b'{"username": ' + b"[" * 100_000, "JSON"),
        (b'{"username": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", "JSON"),
    ],
)
async def test_a_malformed_body_is_400_naming_the_field_and_no_value(
    server: Server, body: bytes, named: str
) -> None:
    server.limits = type(server.limits)(login_bytes=1_000_000)
    async with server.client(None) as client:
        answer = await client.post("/login", content=body)
    assert answer.status_code == 400
    assert answer.json()["exceptionType"] == "InvalidInput"
    assert named in answer.json()["message"]
    assert "secret-word" not in answer.text


async def test_what_anybody_may_send_is_kept_small(server: Server) -> None:
    async with server.client(None) as client:
        answer = await client.post("/login", content=b" " * 65_537)
    assert (answer.status_code, answer.json()["exceptionType"]) == (413, "TooLarge")


async def test_a_refresh_token_gives_a_new_pair(server: Server) -> None:
    async with server.client(None) as client:
        answer = await client.post("/login/refreshToken", json={"refreshToken": "refresh-1"})
        assert answer.json()["refresh_token"] == "refresh-2"
        answer = await client.post("/login/refreshToken", json={"refreshToken": "other"})
        assert answer.status_code == 401


async def test_a_refresh_token_is_revoked_by_query_and_by_path(server: Server) -> None:
    async with server.client(None) as client:
        assert (await client.delete("/login/refreshToken?refreshToken=one")).json() == {}
        assert (await client.delete("/login/refreshToken/two.a-b_c")).status_code == 200
        answer = await client.delete("/login/refreshToken")
    assert server.accounts.revoked == ["one", "two.a-b_c"]
    assert (answer.status_code, answer.json()["message"]) == (400, "refreshToken: Field required")
