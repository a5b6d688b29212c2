"""The core API against the protocol: each operation's path, id, success code, and shape of answer."""

from __future__ import annotations

from typing import Any

import pytest

from gristmill.services import Runtime
from gristmill.web.app import create_core
from tests.contract.core_operations import OPERATIONS, Operation
from tests.unit.web.fakes import Server, service

Paths = dict[str, dict[str, dict[str, Any]]]
NOW = [operation for operation in OPERATIONS if not operation.later]
LATER = [operation for operation in OPERATIONS if operation.later]
PUBLIC = {"login", "renewToken", "revokeRefreshToken"}
ERROR = {"message", "link", "exceptionType"}


@pytest.fixture
def server() -> Server:
    """A service, a session with an object and a file, and a snapshot, all of ann's."""
    built = Server()
    built.registry.known["bos-rf", "1.0.0"] = service()
    built.registry.known["bos-rt", "1.0.0"] = service(name="bos-rt", runtime=Runtime.REALTIME, code="")
    built.sessions.live["s1"].objects["x"] = b"object"
    built.sessions.live["s1"].held["a.txt"] = b"file"
    return built


@pytest.fixture(scope="module")
def document() -> Paths:
    found: Paths = create_core(Server().context()).openapi()["paths"]
    return found


def test_39_of_the_43_operations_are_carried_out() -> None:
    assert (len(OPERATIONS), len(NOW)) == (43, 39)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.id)
def test_each_operation_is_described_under_its_id(document: Paths, operation: Operation) -> None:
    described = document[operation.path][operation.method.lower()]
    assert described["operationId"] == operation.id
    assert set(described["responses"]) == {str(operation.success), "default"}


@pytest.mark.parametrize("operation", NOW, ids=lambda o: o.id)
async def test_each_operation_answers_as_the_protocol_says(server: Server, operation: Operation) -> None:
    user = None if operation.id in PUBLIC else "ann"
    async with server.client(user) as client:
        answer = await client.request(
            operation.method,
            operation.call,
            json=operation.json,
            content=operation.content,
            files=operation.files,
        )
    assert answer.status_code == operation.success, answer.text
    if operation.kind is None:
        assert answer.headers["content-type"] == "application/octet-stream"
        return
    body = answer.json()
    assert isinstance(body, operation.kind)
    shown: list[Any] = body if operation.fields and isinstance(body, list) else [body]
    for each in shown:
        assert set(operation.fields) <= set(each)


@pytest.mark.parametrize("operation", LATER, ids=lambda o: o.id)
async def test_what_is_not_carried_out_yet_says_so(server: Server, operation: Operation) -> None:
    async with server.client("admin") as client:
        answer = await client.request(operation.method, operation.call)
    assert (answer.status_code, set(answer.json())) == (501, ERROR)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.id not in PUBLIC], ids=lambda o: o.id)
async def test_each_operation_is_401_without_a_token(server: Server, operation: Operation) -> None:
    async with server.client(None) as client:
        answer = await client.request(operation.method, operation.call)
    assert (answer.status_code, set(answer.json())) == (401, ERROR)


@pytest.mark.parametrize("operation", [o for o in NOW if "{" in o.path], ids=lambda o: o.id)
async def test_each_operation_on_something_unknown_is_404(server: Server, operation: Operation) -> None:
    if operation.id.startswith("publish") or operation.id == "getAllWebServiceVersionsByName":
        return  # these take names that are new, or list none
    call = (
        operation.call.replace("bos-rf", "nobody")
        .replace("bos-rt", "nobody")
        .replace("/s1", "/s99")
        .replace("/snap-1", "/x")
    )
    async with server.client() as client:
        answer = await client.request(
            operation.method,
            call,
            json=operation.json,
            content=operation.content,
            files=operation.files,
        )
    assert (answer.status_code, set(answer.json())) == (404, ERROR)
