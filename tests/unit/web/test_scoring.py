from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from gristmill import errors
from gristmill.web.context import Limits
from tests.unit.web.fakes import ANSWER, Server

PATH = "/api/bos-rf/1.0.0"


def scope(**changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer token-admin")],
        **changes,
    }


async def call(app: ASGIApp, messages: list[Message], **changes: Any) -> list[Message]:
    """The messages sent in answer to a request whose body comes as `messages`."""
    sent: list[Message] = []
    incoming = iter(messages)

    async def receive() -> Message:
        return next(incoming)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope(**changes), receive, send)
    return sent


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_the_raw_body_goes_in_and_the_answer_comes_out_as_it_is(server: Server) -> None:
    async with server.client() as client:
        answer = await client.post(PATH, content=b' {"x": [1]} \n')
    assert server.dispatcher.bodies == [b' {"x": [1]} \n']
    assert len(server.dispatcher.users) == 1
    assert server.dispatcher.users[0]  # who calls takes the turn
    assert answer.content == ANSWER
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(ANSWER))


async def test_an_answer_is_one_start_and_one_body(server: Server) -> None:
    sent = await call(server.app(), [part(b"{}")])
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def test_a_body_in_pieces_is_put_together(server: Server) -> None:
    await call(server.app(), [part(b'{"x"', more=True), part(b":", more=True), part(b"1}")])
    assert server.dispatcher.bodies == [b'{"x":1}']


async def test_a_caller_who_leaves_while_sending_gets_no_answer_and_does_no_harm(server: Server) -> None:
    assert await call(server.app(), [part(b"{", more=True), {"type": "http.disconnect"}]) == []
    assert await call(server.app(), [{"type": "http.disconnect"}]) == []
    assert server.dispatcher.bodies == []


async def test_a_body_announced_too_large_is_refused_before_it_is_read(server: Server) -> None:
    server.limits = Limits(body_bytes=10)
    headers = [(b"authorization", b"Bearer token-admin"), (b"content-length", b"11")]
    sent = await call(server.app(), [], headers=headers)
    assert sent[0]["status"] == 413
    assert "10 bytes" in json.loads(sent[1]["body"])["message"]


async def test_a_body_that_grows_too_large_is_refused_while_it_comes(server: Server) -> None:
    server.limits = Limits(body_bytes=10)
    sent = await call(server.app(), [part(b"x" * 6, more=True), part(b"x" * 6, more=True)])
    assert sent[0]["status"] == 413
    assert (await call(server.app(), [part(b"x" * 11)]))[0]["status"] == 413
    assert (await call(server.app(), [part(b"x" * 10)]))[0]["status"] == 200


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (errors.InvalidInput("x is missing"), 400, None),
        (errors.Overloaded("full"), 503, "1"),
        (errors.ShellDied("the shell ended"), 503, "1"),
        (errors.TimedOut("over 60 s"), 504, None),
        (ZeroDivisionError("secret detail"), 500, None),
    ],
)
async def test_errors_keep_to_the_error_form(
    server: Server, error: Exception, status: int, retry: str | None
) -> None:
    server.dispatcher.outcome = error
    async with server.client() as client:
        answer = await client.post(PATH, content=b"{}", headers={"X-Request-Id": "mine-1"})
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry)
    assert set(answer.json()) == {"message", "link", "exceptionType"}
    assert "secret" not in answer.text
    assert ("mine-1" in answer.json()["message"]) == (status == 500)


async def test_an_unknown_service_is_404_and_its_body_is_not_awaited(server: Server) -> None:
    sent = await call(server.app(), [], path="/api/nobody/1", raw_path=b"/api/nobody/1")
    assert sent[0]["status"] == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_405_and_told_which_is_allowed(server: Server, method: str) -> None:
    async with server.client() as client:
        answer = await client.request(method, PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["exceptionType"] == "MethodNotAllowed"


async def test_options_says_which_method_is_allowed(server: Server) -> None:
    async with server.client() as client:
        answer = await client.options(PATH)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "POST", b"")


async def test_a_draining_server_sends_new_calls_elsewhere(server: Server) -> None:
    server.phase.draining = True
    async with server.client() as client:
        answer = await client.post(PATH, content=b"{}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["exceptionType"] == "Draining"


async def test_encoded_characters_in_a_name_are_decoded_and_an_encoded_slash_cuts_nothing(
    server: Server,
) -> None:
    async with server.client() as client:
        assert (await client.post("/api/bos%2Drf/1.0.0", content=b"{}")).status_code == 200
        for trick in [
            "/api/bos-rf%2F1.0.0/x",
            "/api/%2e%2e%2fbos-rf/1.0.0",
            "/api/bos-rf%00/1.0.0",
            "/api//1",
        ]:
            answer = await client.post(trick, content=b"{}")
            assert answer.status_code == 404, trick
        assert (await client.post("/api/" + "x" * 5000 + "/1", content=b"{}")).status_code == 404


async def test_a_request_id_is_taken_over_if_sane_and_made_if_not(server: Server) -> None:
    async with server.client() as client:
        for given, kept in [("abc-1.2_3", True), ("x" * 128, True), ("x" * 129, False), ("a b", False)]:
            answer = await client.post(PATH, content=b"{}", headers={"X-Request-Id": given})
            assert (answer.headers["x-request-id"] == given) is kept
        made = {(await client.post(PATH, content=b"{}")).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3


async def test_stage_times_are_sent_to_who_asks_for_them(server: Server) -> None:
    async with server.client() as client:
        assert "server-timing" not in (await client.post(PATH, content=b"{}")).headers
        answer = await client.post(PATH + "?timing", content=b"{}")
    assert answer.headers["server-timing"].startswith("queue;dur=1.000, load;dur=0.000")
    async with server.client(server_timing=True) as client:
        assert "server-timing" in (await client.post(PATH, content=b"{}")).headers


async def test_a_token_not_seen_before_is_verified(server: Server) -> None:
    server.accounts.warm.clear()
    async with server.client() as client:
        assert (await client.post(PATH, content=b"{}")).status_code == 200


async def test_a_call_that_is_cancelled_passes_the_cancellation_on(server: Server) -> None:
    waiting = asyncio.Event()

    async def score(*_: Any, **__: Any) -> None:
        waiting.set()
        await asyncio.Event().wait()

    server.dispatcher.score = score  # type: ignore[assignment]
    task = asyncio.ensure_future(call(server.app(), [part(b"{}")]))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
