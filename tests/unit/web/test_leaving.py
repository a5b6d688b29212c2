"""What the application makes of callers who leave, and of requests that say who calls twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import structlog
from starlette.types import Message

from gristmill.services import Runtime
from gristmill.web.gateway import calls_a_service
from tests.unit.web.fakes import Server

TOKEN = (b"authorization", b"Bearer token-admin")
BAD = (b"authorization", b"Bearer nobody")


def scope(method: str, path: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), *headers],
    }


async def status_of(server: Server, request: dict[str, Any], body: bytes = b"{}") -> tuple[int, bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await server.app()(request, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize("headers", [(TOKEN, BAD), (BAD, TOKEN), (TOKEN, TOKEN)])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/services"),
        ("GET", "/status"),
        ("POST", "/login"),
        ("GET", "/health/live"),
        ("GET", "/docs"),
        ("POST", "/api/bos-rf/1.0.0"),
        ("GET", "/api/bos-rf/1.0.0/swagger.json"),
        ("POST", "/v2/models/bos-rf/infer"),
        ("GET", "/v2/models/bos-rf"),
        ("GET", "/no/such/path"),
    ],
)
async def test_two_authorization_headers_are_refused_everywhere(
    server: Server, method: str, path: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    status, body = await status_of(server, scope(method, path, *headers))
    assert status == 400
    assert b"more than one Authorization header" in body
    assert server.dispatcher.bodies == []


@pytest.mark.parametrize("value", [b"", b"(more than one)"])
async def test_one_odd_authorization_header_is_no_two(server: Server, value: bytes) -> None:
    status, _ = await status_of(server, scope("POST", "/api/bos-rf/1.0.0", (b"authorization", value)))
    assert status == 401


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("/api/bos-rf/1.0", True),
        ("/api/bos-rf/1.0/batch", False),
        ("/api/bos-rf", False),
        ("/v2/models/m/infer", True),
        ("/v2/models/m/versions/1/infer", True),
        ("/v2/models/m/versions/1/ready", False),
        ("/services/bos-rf/1.0", False),
        ("/", False),
    ],
)
def test_calls_of_services_are_told_by_their_paths(path: str, called: bool) -> None:
    assert calls_a_service(scope("POST", path)) is called


@pytest.mark.parametrize("path", ["/api/bos-rf/1.0.0", "/v2/models/bos-rf/versions/1.0.0/infer"])
@pytest.mark.parametrize("sending", [True, False])
async def test_a_call_whose_caller_left_is_logged_as_499_where_calls_are_logged(
    server: Server, path: str, sending: bool
) -> None:
    waiting = asyncio.Event()
    sent: list[Message] = []

    async def receive() -> Message:
        if sending:
            return {"type": "http.disconnect"}
        waiting.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    for known in list(server.registry.known.values()):
        if path.startswith("/v2"):
            server.registry.known[known.name, known.version] = replace(known, runtime=Runtime.REALTIME)
    with structlog.testing.capture_logs() as events:
        call = asyncio.ensure_future(server.app(log_scoring=True)(scope("POST", path, TOKEN), receive, send))
        if not sending:
            await waiting.wait()
            call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert sent == []
    assert [(event["status"], event["user"], event["log_level"]) for event in events] == [
        (499, "admin", "info")
    ]
