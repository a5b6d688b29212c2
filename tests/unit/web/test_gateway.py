from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import structlog
from starlette.types import Message

from tests.unit.web.fakes import Server


async def test_live_and_ready_need_no_token_and_ready_follows_the_servers_life(server: Server) -> None:
    async with server.client(None) as client:
        assert (await client.get("/health/live")).json() == {"status": "pass"}
        assert (await client.get("/health/ready")).status_code == 200
        server.phase.ready = False
        assert (await client.get("/health/ready")).status_code == 503
        server.phase.publishing = "2 of 3"
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["message"]) == (503, "the server is publishing: 2 of 3")
        assert (await client.get("/health/live")).status_code == 200
        server.phase.publishing = ""
        server.phase.ready, server.phase.draining = True, True
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["exceptionType"]) == (503, "Draining")
        assert (await client.get("/health/live")).status_code == 200


async def test_a_draining_server_takes_nothing_new(server: Server) -> None:
    server.phase.draining = True
    async with server.client() as client:
        answer = await client.get("/services")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await client.post("/login", json={})).status_code == 503


async def test_status_is_what_the_provider_says(server: Server) -> None:
    async def status() -> Mapping[str, Any]:
        details = {"r": "not installed", "load": float("nan")}
        return {"statusCode": "warn", "details": details, "components": {}}

    server.status = status
    async with server.client() as client:
        assert (await client.get("/status")).json() == {
            "statusCode": "warn",
            "details": {"r": "not installed", "load": None},
            "components": {},
        }


async def test_a_defect_is_500_with_a_reference_that_is_in_the_log(server: Server) -> None:
    async def status() -> Mapping[str, Any]:
        raise ZeroDivisionError("secret detail")

    server.status = status
    with structlog.testing.capture_logs() as events:
        async with server.client() as client:
            answer = await client.get("/status")
    assert (answer.status_code, answer.json()["exceptionType"]) == (500, "InternalError")
    assert answer.headers["x-request-id"] in answer.json()["message"]
    assert "secret" not in answer.text
    failed = next(event for event in events if event["event"] == "request_failed")
    assert failed["request_id"] == answer.headers["x-request-id"]


async def test_unknown_paths_and_methods_keep_to_the_error_form(server: Server) -> None:
    async with server.client() as client:
        answer = await client.get("/nothing")
        assert (answer.status_code, answer.json()["exceptionType"]) == (404, "NotFound")
        answer = await client.put("/services/bos-rf/1.0.0")
        assert (answer.status_code, answer.json()["exceptionType"]) == (405, "MethodNotAllowed")
        assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH, POST"


async def test_options_lists_the_methods(server: Server) -> None:
    async with server.client() as client:
        answer = await client.options("/sessions")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "GET, HEAD, POST", b"")


async def test_head_is_get_without_the_body(server: Server) -> None:
    async with server.client() as client:
        full, head = await client.get("/services"), await client.head("/services")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"] != "0"


async def test_one_log_event_for_a_request_without_names_tokens_or_bodies(server: Server) -> None:
    with structlog.testing.capture_logs() as events:
        async with server.client() as client:
            await client.get("/services/private-name", headers={"X-Request-Id": "r-1"})
            await client.delete("/login/refreshToken/secret-token")
            await client.post("/api/bos-rf/1.0.0", content=b'{"x": "payload"}')
    assert len(events) == 2
    assert {key: value for key, value in events[0].items() if key != "ms"} == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/services/{name}",
        "status": 200,
        "user": "ann",
        "request_id": "r-1",
    }
    assert "secret-token" not in repr(events)


async def test_probes_of_health_are_not_logged(server: Server) -> None:
    with structlog.testing.capture_logs() as events:
        async with server.client(None) as client:
            assert (await client.get("/health/live")).status_code == 200
    assert events == []


async def test_a_request_without_a_token_is_logged_too(server: Server) -> None:
    with structlog.testing.capture_logs() as events:
        async with server.client(None) as client:
            await client.get("/services")
    assert [(event["status"], event["user"]) for event in events] == [(401, None)]


async def test_scoring_calls_are_logged_if_wanted(server: Server) -> None:
    with structlog.testing.capture_logs() as events:
        async with server.client(log_scoring=True) as client:
            await client.post("/api/bos-rf/1.0.0", content=b'{"x": "payload"}')
            await client.post("/api/bos-rf/2", content=b"{}", headers={"Authorization": "Bearer bad"})
    logged = [(e["service"], e["version"], e["status"], e["user"]) for e in events]
    assert logged == [("bos-rf", "1.0.0", 200, "ann"), ("bos-rf", "2", 401, None)]
    assert "payload" not in repr(events)


async def test_browsers_of_other_origins_are_let_in_only_where_configured(server: Server) -> None:
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    async with server.client(None) as client:
        assert (await client.options("/api/bos-rf/1.0.0", headers=preflight)).status_code == 401
    async with server.client(cors_origins=("https://app.example",)) as client:
        answer = await client.options("/api/bos-rf/1.0.0", headers=preflight)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert (await client.get("/services")).status_code == 200
        other = await client.get("/services", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_the_docs_come_from_the_package_under_a_strict_policy(server: Server) -> None:
    async with server.client(None) as client:
        page = await client.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert "http" not in page.text.replace("<!doctype html>", "")
        for asset in ["swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "docs.css", "favicon.png"]:
            assert f'docs/{asset}"' in page.text
            answer = await client.get(f"/docs/{asset}")
            assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
        for missing in ["docs.html", "..%2fapp.py", "%2e%2e", "x"]:
            assert (await client.get(f"/docs/{missing}")).status_code in (401, 404)


async def test_a_caller_who_leaves_while_uploading_is_let_go(server: Server) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/sessions/s1/workspace/x",
        "raw_path": b"/sessions/s1/workspace/x",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer token-ann")],
    }
    with structlog.testing.capture_logs() as events:
        await server.app()(scope, receive, send)
    assert server.sessions.live["s1"].objects == {}
    assert [(event["event"], event["status"]) for event in events] == [("request", 499)]


async def test_a_defect_in_the_check_of_a_token_is_500(server: Server) -> None:
    async def verify(_: str) -> None:
        raise ZeroDivisionError("secret detail")

    server.accounts.verify = verify  # type: ignore[assignment]
    async with server.client("ann") as client:
        for path in ["/services", "/api/bos-rf/1.0.0"]:
            answer = await client.post(path, content=b"{}")
            assert (answer.status_code, answer.json()["exceptionType"]) == (500, "InternalError")


async def test_websockets_are_closed_and_the_servers_start_is_passed_on(server: Server) -> None:
    sent: list[Message] = []
    incoming: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    app = server.app()
    await app({"type": "websocket", "path": "/"}, receive, send)
    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert [message["type"] for message in sent] == [
        "websocket.close",
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


@pytest.mark.parametrize("path", ["/services", "/docs", "/nothing", "/api/bos-rf/1.0.0/swagger.json"])
async def test_every_answer_carries_its_request_id(server: Server, path: str) -> None:
    async with server.client() as client:
        answer: httpx.Response = await client.get(path, headers={"X-Request-Id": "r-9"})
    assert answer.headers["x-request-id"] == "r-9"
