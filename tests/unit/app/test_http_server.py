"""How uvicorn is set up around the application."""

from __future__ import annotations

from typing import Any

import pytest

from gristmill.app.http_server import HttpServer

SEEN = ("203.0.113.9", 0)
PROXY = ("127.0.0.1", 5000)


async def client_of(path: str, **more: Any) -> Any:
    """The caller's address as the application sees it on that path, behind a proxy."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"])

    server = HttpServer(app, backlog=1)
    server.config.load()
    headers = [(b"x-forwarded-for", SEEN[0].encode())]
    scope = {"type": "http", "path": path, "client": PROXY, "headers": headers, "scheme": "http", **more}
    await server.config.loaded_app(scope, None, None)
    return seen[0]


@pytest.mark.parametrize("path", ["/login", "/services", "/apix"])
async def test_a_proxy_on_this_machine_tells_the_callers_address(path: str) -> None:
    assert await client_of(path) == SEEN
    assert await client_of(path, client=("198.51.100.1", 1)) == ("198.51.100.1", 1)


@pytest.mark.parametrize("path", ["/api/bos-rf/1.0.0", "/v2/models/m/infer"])
async def test_calls_of_services_do_without_it(path: str) -> None:
    assert await client_of(path) == PROXY


async def test_who_is_trusted_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "198.51.100.1")
    assert await client_of("/login") == PROXY
    assert await client_of("/login", client=("198.51.100.1", 1)) == SEEN
