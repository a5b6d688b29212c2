"""Each operation of the protocol on a running server: its success, and each error that it can answer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from tests.conftest import stopping
from tests.contract.core_operations import OPERATIONS, Operation
from tests.e2e.accounts import add_user
from tests.e2e.protocol import accepted, refused
from tests.e2e.publishing import publish
from tests.e2e.surroundings import without_r
from tests.realtime_models import model_file
from tests.servers import ADMIN_PASSWORD, Server, start_server

pytestmark = pytest.mark.timeout(180)

BY_ID = {operation.id: operation for operation in OPERATIONS}
NOW = [operation for operation in OPERATIONS if not operation.later]
LATER = [operation for operation in OPERATIONS if operation.later]
PUBLIC = {"login", "renewToken", "revokeRefreshToken"}
OF_A_SESSION = [operation for operation in NOW if operation.path.startswith("/sessions/{id}")]
OF_A_SNAPSHOT = [operation for operation in NOW if operation.path.startswith("/snapshots/{id}")]
#: What a reader may do.
READING = PUBLIC | {
    "getAllWebServices",
    "getAllWebServiceVersionsByName",
    "getWebServiceVersion",
    "GetWebServiceSwagger",
    "getServicePoolStatus",
    "status",
}
#: Shape of the success where it is not a text; None for a file.
SHAPES: dict[str, str | None] = {
    "login": "tokens",
    "renewToken": "tokens",
    "revokeRefreshToken": "empty",
    "getAllWebServices": "services",
    "getAllWebServiceVersionsByName": "services",
    "getWebServiceVersion": "services",
    "GetWebServiceSwagger": "swagger",
    "createSession": "session created",
    "listSessions": "sessions",
    "executeCode": "execution",
    "getSessionConsoleOutput": "console",
    "listSessionHistory": "names",
    "listSessionFiles": "names",
    "getSessionFile": None,
    "listWorkspaceObjects": "names",
    "getWorkspaceObject": None,
    "CreateSnapshot": "snapshot created",
    "ListSnapshots": "snapshots",
    "GetSnapshotContent": None,
    "status": "status",
    "getServicePoolStatus": "pool status",
}


#: What is sent to a session of Python, where the table's own calls are R's.
IN_PYTHON: dict[str, dict[str, Any]] = {
    "createSession": {"json": {"runtimeType": "Python"}},
    "executeCode": {"json": {"code": "print(1)", "outputParameters": ["x"]}},
    "setWorkspaceObject": {"content": b"\x80\x04K\x01."},
}


@dataclass(frozen=True, kw_only=True)
class World:
    """A server on which `ann`, a contributor, has one of each; others have nothing."""

    server: Server
    clients: dict[str, httpx.Client]
    service: str  #: name; its version is 1.0.0
    session: str
    dead: str  #: a session whose shell was killed
    snapshot: str

    def send(self, operation: Operation, who: str = "ann", **changes: Any) -> httpx.Response:
        """Carry out an operation on what ann has, but for the `changes`."""
        call = replace(operation, **changes)
        path = call.call.replace("bos-rf", self.service).replace("/s1", f"/{self.session}")
        path = path.replace("snap-1", self.snapshot)
        return self.clients[who].request(
            call.method, path, json=call.json, content=call.content, files=call.files
        )


def new_session(client: httpx.Client, **body: Any) -> str:
    answer = client.post("/sessions", json={"runtimeType": "Python", **body})
    return str(accepted(answer, "session created", 201)["sessionId"])


def execute(client: httpx.Client, session: str, code: str) -> Any:
    return accepted(client.post(f"/sessions/{session}/execute", json={"code": code}), "execution")


def dead_session(client: httpx.Client) -> str:
    session = new_session(client)
    answer = client.post(f"/sessions/{session}/execute", json={"code": "import os; os._exit(7)"})
    refused(answer, 410)
    return session


def of_ann(server: Server, clients: dict[str, httpx.Client]) -> World:
    ann = clients["ann"]
    publish(ann, "bos-rf", "y = 1", version="1.0.0", outputs={"y": "numeric"})
    files = {"model": ("model.blob", model_file())}
    accepted(ann.post("/realtime-services/bos-rt/1.0.0", files=files), "text", 201)
    session = new_session(ann)
    assert execute(ann, session, "x = 1; open('a.txt', 'w').write('file')")["success"]
    answer = ann.post(f"/sessions/{session}/snapshot", json={"name": "first"})
    snapshot = accepted(answer, "snapshot created", 201)["snapshotId"]
    return World(
        server=server,
        clients=clients,
        service="bos-rf",
        session=session,
        dead=dead_session(ann),
        snapshot=snapshot,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    flags = (
        "--pool-initial",
        "1",
        "--body-mib",
        "1",
        "--upload-mib",
        "1",
        "--user-sessions",
        "20",
        "--model-mib",
        "1",
    )
    folder = tmp_path_factory.mktemp("operations")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(stopping(start_server(folder, *flags, environment=without_r(folder))))
        roles = {"ann": "contributor", "bob": "contributor", "rea": "reader"}
        clients = {name: stack.enter_context(add_user(server, name, role)) for name, role in roles.items()}
        clients["admin"] = stack.enter_context(server.client())
        clients["nobody"] = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
        yield of_ann(server, clients)


def prepared(world: World, operation: Operation) -> tuple[World, Operation]:
    """With what the operation consumes made anew: a token, a name, a session, a snapshot to lose."""
    ann, unique = world.clients["ann"], f"new-{time.monotonic_ns()}"
    if operation.id in PUBLIC:
        return world, with_tokens(world.clients["nobody"], operation)
    if operation.id.startswith("publishRealtime"):
        return world, replace(operation, call=operation.call.replace("/new", f"/{unique}"))
    if operation.id.startswith("publish"):
        body = {"code": "y = 1", "runtimeType": "Python"}
        return world, replace(operation, call=operation.call.replace("/new", f"/{unique}"), json=body)
    if operation.id == "deleteWebServiceVersion":
        publish(ann, unique, "y = 1", version="1.0.0")
        return replace(world, service=unique), operation
    if operation.id in {"closeSession", "closeSessionByForce"}:
        return replace(world, session=new_session(ann)), operation
    if operation.id == "DeleteSnapshot":
        answer = ann.post(f"/sessions/{world.session}/snapshot", json={})
        return replace(world, snapshot=answer.json()["snapshotId"]), operation
    execute(ann, world.session, "x = 1; open('a.txt', 'w').write('file')")
    return world, replace(operation, **IN_PYTHON.get(operation.id, {}))


def with_tokens(nobody: httpx.Client, operation: Operation) -> Operation:
    login = {"username": "admin", "password": ADMIN_PASSWORD}
    token = accepted(nobody.post("/login", json=login), "tokens")["refresh_token"]
    bodies = {"login": login, "renewToken": {"refreshToken": token}}
    call = operation.call.replace("=x", f"={token}")
    return replace(operation, call=call, json=bodies.get(operation.id))


def test_the_table_has_every_operation() -> None:
    assert set(SHAPES) <= set(BY_ID)
    assert len(NOW) >= 39


@pytest.mark.parametrize("operation", NOW, ids=lambda o: o.id)
def test_each_operation_succeeds_as_described(world: World, operation: Operation) -> None:
    there, ready = prepared(world, operation)
    who = "nobody" if operation.id in PUBLIC else "ann"
    answer = there.send(ready, who)
    shape = SHAPES.get(operation.id, "text")
    try:
        if shape is None:
            assert answer.status_code == operation.success
            assert answer.headers["content-type"] == "application/octet-stream"
            assert int(answer.headers["content-length"]) == len(answer.content) > 0
        else:
            accepted(answer, shape, operation.success)
    finally:
        if operation.id == "createSession":
            world.clients["ann"].delete(f"/sessions/{answer.json()['sessionId']}/force")


@pytest.mark.parametrize("operation", LATER, ids=lambda o: o.id)
def test_each_later_operation_is_501_once_the_caller_is_known(world: World, operation: Operation) -> None:
    refused(world.send(operation, "nobody"), 401)
    refused(world.send(operation, "admin"), 501)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.id not in PUBLIC], ids=lambda o: o.id)
def test_each_operation_is_401_without_a_token(world: World, operation: Operation) -> None:
    refused(world.send(operation, "nobody"), 401)


@pytest.mark.parametrize("operation", [o for o in NOW if o.id not in READING], ids=lambda o: o.id)
def test_each_operation_that_is_not_reading_is_403_for_a_reader(world: World, operation: Operation) -> None:
    message = refused(world.send(operation, "rea"), 403)
    assert "rea" in message
    assert "reader" in message


@pytest.mark.parametrize(
    "id", ["patchWebServiceVersion", "deleteWebServiceVersion", "patchRealtimeWebServiceByNameVersion"]
)
def test_anothers_service_is_403_for_a_contributor(world: World, id: str) -> None:
    assert "ann" in refused(world.send(BY_ID[id], "bob"), 403)


@pytest.mark.parametrize("who", ["bob", "admin"])
@pytest.mark.parametrize("operation", OF_A_SESSION + OF_A_SNAPSHOT, ids=lambda o: o.id)
def test_anothers_session_or_snapshot_is_404_for_owners_too(
    world: World, operation: Operation, who: str
) -> None:
    refused(world.send(operation, who), 404)


@pytest.mark.parametrize("operation", OF_A_SESSION + OF_A_SNAPSHOT, ids=lambda o: o.id)
def test_a_session_or_snapshot_that_never_was_is_404(world: World, operation: Operation) -> None:
    for id in ("no-such-id", "00000000-0000-0000-0000-000000000000", "%00"):
        refused(replace(world, session=id, snapshot=id).send(operation), 404)


@pytest.mark.parametrize(
    "operation",
    [o for o in OF_A_SESSION if o.id not in {"closeSession", "closeSessionByForce"}],
    ids=lambda o: o.id,
)
def test_a_session_whose_shell_died_is_410(world: World, operation: Operation) -> None:
    refused(replace(world, session=world.dead).send(operation), 410)


@pytest.mark.parametrize("id", ["closeSession", "closeSessionByForce"])
def test_a_session_whose_shell_died_can_be_closed_and_is_unknown_then(world: World, id: str) -> None:
    ann = world.clients["ann"]
    gone = replace(world, session=dead_session(ann))
    assert gone.session in {each["id"] for each in accepted(ann.get("/sessions"), "sessions")}
    accepted(gone.send(BY_ID[id]), "text")
    refused(gone.send(BY_ID[id]), 404)
    assert gone.session not in {each["id"] for each in accepted(ann.get("/sessions"), "sessions")}


MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("publishWebService", {"json": {}}),
    ("publishWebService", {"json": {"code": 1}}),
    ("publishWebService", {"json": [1]}),
    ("publishWebService", {"json": {"code": "y = 1", "runtimeType": "Julia"}}),
    ("publishWebService", {"call": "/services/a%20b", "json": {"code": "y = 1", "runtimeType": "Python"}}),
    ("publishWebServiceVersion", {"json": {"code": "y = (", "runtimeType": "Python"}}),
    ("publishWebServiceVersion", {"json": {"code": "y = 1", "snapshotId": 7}}),
    ("patchWebServiceVersion", {"json": {"description": 1}}),
    ("patchWebServiceVersion", {"json": "text"}),
    ("publishWebService", {"json": {"code": "y = 1", "runtimeType": "Realtime"}}),
    ("publishRealtimeWebServiceByName", {"files": None}),
    ("publishRealtimeWebServiceByName", {"files": {"model": (None, "blob")}}),
    ("publishRealtimeWebServiceByName", {"files": {"model": ("m", b"")}}),
    ("publishRealtimeWebServiceByNameVersion", {"files": {"model": ("m", b"a pickle")}}),
    ("publishRealtimeWebServiceByNameVersion", {"call": "/realtime-services/a%20b/1"}),
    ("patchRealtimeWebServiceByNameVersion", {"files": {"model": ("m", b"blob?")}}),
    ("patchRealtimeWebServiceByNameVersion", {"call": "/realtime-services/bos-rf/1.0.0"}),
    ("createOrUpdateServicePool", {"call": "/services/bos-rt/1.0.0/pool"}),
    ("createSession", {"json": {"runtimeType": "Julia"}}),
    ("createSession", {"json": {"name": 1}}),
    ("createSession", {"json": []}),
    ("executeCode", {"json": {}}),
    ("executeCode", {"json": {"code": 1}}),
    ("executeCode", {"json": {"code": "1", "inputParameters": "x"}}),
    ("executeCode", {"json": {"code": "1", "inputParameters": [{"value": 1}]}}),
    ("executeCode", {"json": {"code": "1", "outputParameters": [1]}}),
    ("uploadSessionFile", {"files": None}),
    ("uploadSessionFile", {"files": {"file": ("..", b"x")}}),
    ("setWorkspaceObject", {"content": b""}),
    ("setWorkspaceObject", {"content": b"no pickle"}),
    ("CreateSnapshot", {"json": {"name": 1}}),
]


@pytest.mark.parametrize(("id", "change"), MALFORMED, ids=lambda value: str(value)[:60])
def test_malformed_requests_are_400(world: World, id: str, change: dict[str, Any]) -> None:
    refused(world.send(BY_ID[id], **change), 400)


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("getWebServiceVersion", {"call": "/services/bos-rf/9"}),
        ("patchWebServiceVersion", {"call": "/services/bos-rf/9"}),
        ("deleteWebServiceVersion", {"call": "/services/bos-rf/9"}),
        ("patchRealtimeWebServiceByNameVersion", {"call": "/realtime-services/bos-rt/9"}),
        ("GetWebServiceSwagger", {"call": "/api/bos-rf/9/swagger.json"}),
        ("createSession", {"json": {"runtimeType": "Python", "snapshotId": "none"}}),
        ("publishWebService", {"json": {"code": "1", "runtimeType": "Python", "snapshotId": "none"}}),
        ("getSessionFile", {"call": "/sessions/s1/files/none.txt"}),
        ("deleteSessionFile", {"call": "/sessions/s1/files/none.txt"}),
        ("getWorkspaceObject", {"call": "/sessions/s1/workspace/none"}),
        ("deleteWorkspaceObject", {"call": "/sessions/s1/workspace/none"}),
        ("LoadSnapshot", {"call": "/sessions/s1/loadsnapshot/none"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_unknown_is_404(world: World, id: str, change: dict[str, Any]) -> None:
    refused(world.send(BY_ID[id], **change), 404)


def test_anothers_snapshot_cannot_be_loaded_nor_published(world: World) -> None:
    bob = world.clients["bob"]
    session = new_session(bob)
    refused(bob.post(f"/sessions/{session}/loadsnapshot/{world.snapshot}"), 404)
    refused(bob.post("/sessions", json={"runtimeType": "Python", "snapshotId": world.snapshot}), 404)
    body = {"code": "y = 1", "runtimeType": "Python", "snapshotId": world.snapshot}
    refused(bob.post("/services/stolen/1", json=body), 404)
    accepted(bob.delete(f"/sessions/{session}"), "text")


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("publishWebService", {"json": {"code": "#" * 1_100_000, "runtimeType": "Python"}}),
        ("patchWebServiceVersion", {"json": {"description": "x" * 1_100_000}}),
        ("createSession", {"json": {"name": "x" * 1_100_000}}),
        ("executeCode", {"json": {"code": "#" * 1_100_000}}),
        ("setWorkspaceObject", {"content": b"x" * 1_100_000}),
        ("uploadSessionFile", {"files": {"file": ("big", b"x" * 1_200_000)}}),
        ("CreateSnapshot", {"json": {"name": "x" * 1_100_000}}),
        ("publishRealtimeWebServiceByName", {"files": {"model": ("m", b"blob" * 400_000)}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_body_over_its_limit_is_413(world: World, id: str, change: dict[str, Any]) -> None:
    assert "bytes" in refused(world.send(BY_ID[id], **change), 413)


def test_a_description_of_more_than_64_kib_is_413(world: World) -> None:
    refused(world.send(BY_ID["patchWebServiceVersion"], json={"description": "x" * 70_000}), 413)


def test_a_session_that_executes_is_409_to_another_execution_and_to_a_close_without_force(
    world: World,
) -> None:
    ann = world.clients["ann"]
    session = new_session(ann)
    path = f"/sessions/{session}"
    answers: list[httpx.Response] = []
    body = {"code": "print('begun', flush=True)\nwhile True: pass"}
    caller = threading.Thread(target=lambda: answers.append(ann.post(f"{path}/execute", json=body)))
    caller.start()
    while "begun" not in accepted(ann.get(f"{path}/console-output"), "console")["consoleOutput"]:
        assert caller.is_alive()
    refused(ann.post(f"{path}/execute", json={"code": "1"}), 409)
    assert "force" in refused(ann.delete(path), 409)
    accepted(ann.delete(f"{path}/force"), "text")
    caller.join()
    refused(answers[0], 410)
    refused(ann.get(f"{path}/history"), 404)


def test_what_no_operation_has_is_404_and_another_method_405(world: World) -> None:
    ann = world.clients["ann"]
    for path in ("/", "/service", "/services/a/b/c", "/api", "/api/x", "/snapshots/a/b"):
        refused(ann.get(path), 404)
    for method, path, allowed in [
        ("PUT", "/services", "GET, HEAD"),
        ("DELETE", "/services/x", "GET, HEAD, POST"),
        ("PATCH", "/sessions/x", "DELETE"),
        ("POST", "/status", "GET, HEAD"),
    ]:
        answer = ann.request(method, path)
        refused(answer, 405)
        assert answer.headers["allow"] == allowed


def test_cors_is_off_until_origins_are_configured(world: World) -> None:
    headers = {"Origin": "https://pages.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        world.clients["ann"].options("/services", headers=headers),
        world.clients["ann"].get("/services", headers=headers),
        world.clients["nobody"].post("/login", json={}, headers=headers),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_status_goes_down_to_each_pool_and_the_database(world: World) -> None:
    report = accepted(world.clients["rea"].get("/status"), "status")
    assert report["statusCode"] == "pass"
    assert "Python" in report["components"]["backends"]["components"]
    assert report["components"]["database"]["statusCode"] == "pass"
