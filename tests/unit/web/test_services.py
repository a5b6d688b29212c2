from __future__ import annotations

from typing import Any

import pytest

from gristmill.schema import Form, Parameter, ParameterType
from gristmill.services import Runtime
from gristmill.web.context import Limits
from gristmill.web.models import WebService
from tests.unit.web.fakes import Server, service

SHOWN: dict[str, Any] = {
    "name": "bos-rf",
    "version": "1.0.0",
    "versionPublishedBy": "ann",
    "creationTime": "2026-11-22T10:30:00.123Z",
    "snapshotId": None,
    "runtimeType": "R",
    "initCode": "",
    "code": "y <- x",
    "description": "",
    "operationId": None,
    "inputParameterDefinitions": [],
    "outputParameterDefinitions": [],
    "outputFileNames": [],
    "myPermissionOnService": "read/write",
    "batchable": False,
}


async def test_every_field_of_a_service_is_always_there(server: Server) -> None:
    async with server.client() as client:
        for path in ["/services", "/services/bos-rf", "/services/bos-rf/1.0.0"]:
            assert (await client.get(path)).json() == [SHOWN], path
    assert set(SHOWN) == {field.alias for field in WebService.model_fields.values()}


async def test_code_is_shown_only_to_who_may_write(server: Server) -> None:
    async with server.client("ben") as client:
        shown = (await client.get("/services")).json()[0]
    assert (shown["code"], shown["initCode"], shown["myPermissionOnService"]) == ("", "", "read only")
    async with server.client("admin") as client:
        assert (await client.get("/services")).json()[0]["code"] == "y <- x"


async def test_an_unknown_name_is_an_empty_list_and_an_unknown_version_404(server: Server) -> None:
    async with server.client() as client:
        assert (await client.get("/services/nobody")).json() == []
        assert (await client.get("/services/bos-rf/9")).status_code == 404


async def test_publishing_takes_all_fields(server: Server) -> None:
    body = {
        "code": "y = x",
        "initCode": "import math",
        "snapshotId": "snap-1",
        "runtimeType": "Python",
        "description": "A model",
        "operationId": "predict",
        "inputParameterDefinitions": [
            {"name": "x", "type": "data.frame", "columns": ["a", "b"], "form": "array"}
        ],
        "outputParameterDefinitions": [{"name": "y", "type": "numeric"}],
        "outputFileNames": ["plot.png"],
        "batchable": True,
        "somethingNew": 1,
    }
    async with server.client() as client:
        answer = await client.post("/services/new/2.0", json=body)
        assert (answer.status_code, answer.headers["location"]) == (201, "/services/new/2.0")
        assert "new 2.0" in answer.json()
        again = await client.post("/services/new/2.0", json=body)
        assert (again.status_code, again.json()["exceptionType"]) == (409, "Conflict")
        shown = (await client.get("/services/new/2.0")).json()[0]
    assert {key: shown[key] for key in body if key != "somethingNew"} == {
        key: value for key, value in body.items() if key != "somethingNew"
    }
    stored = server.registry.known["new", "2.0"]
    assert stored.inputs == (Parameter("x", ParameterType.DATA_FRAME, ("a", "b"), Form.ARRAY),)
    assert stored.owner == "ann"
    assert server.dispatcher.checked[0] == (Runtime.PYTHON, "y = x", "import math")


async def test_a_service_without_a_version_gets_a_guid_and_r_is_the_default(server: Server) -> None:
    async with server.client() as client:
        answer = await client.post("/services/new", json={"code": "1", "runtimeType": None})
        version = answer.headers["location"].removeprefix("/services/new/")
    assert len(version) == 36
    stored = server.registry.known["new", version]
    assert stored.runtime is Runtime.R


async def test_lists_are_accepted_as_r_writes_them(server: Server) -> None:
    body = {
        "code": "1",
        "inputParameterDefinitions": {},
        "outputParameterDefinitions": {"name": "y", "type": "numeric"},
        "outputFileNames": "a.png",
    }
    async with server.client() as client:
        assert (await client.post("/services/new/1", json=body)).status_code == 201
    stored = server.registry.known["new", "1"]
    assert (stored.inputs, stored.output_files) == ((), ("a.png",))
    assert stored.outputs == (Parameter("y", ParameterType.NUMERIC),)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"code": None}, "code"),
        ({"code": "if("}, "line 1"),
        ({"runtimeType": "Julia"}, "runtimeType: Input should be 'R' or 'Python'"),
        (
            {"inputParameterDefinitions": [{"name": "x", "type": "?"}]},
            "inputParameterDefinitions[0].type",
        ),
        ({"outputFileNames": [1]}, "outputFileNames[0]"),
        ({"batchable": "yes"}, "batchable"),
        ({"description": "a\0b"}, "description"),
    ],
)
async def test_a_bad_field_is_400_and_named(server: Server, change: dict[str, Any], named: str) -> None:
    async with server.client() as client:
        answer = await client.post("/services/new/1", json={"code": "1", **change})
    assert answer.status_code == 400
    assert named in answer.json()["message"]
    assert ("new", "1") not in server.registry.known


@pytest.mark.parametrize(
    "path",
    [
        "/services/..%2f..%2fetc/1",
        "/services/%2e%2e/1",
        "/services/a%00b/1",
        "/services/%2Fetc%2Fpasswd/1",
        "/services/a/%2e%2e",
        "/services/a%20b/1",
        "/services/" + "x" * 129 + "/1",
        "/services/" + "x" * 60_000 + "/1",
        "/services/a/%ff",
    ],
)
async def test_path_tricks_in_names_are_refused(server: Server, path: str) -> None:
    async with server.client() as client:
        for method in ["POST", "GET", "PATCH", "DELETE"]:
            answer = await client.request(method, path, json={"code": "1"})
            assert answer.status_code in (400, 404, 405), (method, answer.text)
            assert set(answer.json()) == {"message", "link", "exceptionType"}
    assert len(server.registry.known) == 1


async def test_a_patch_changes_only_what_is_sent_and_an_empty_list_clears(server: Server) -> None:
    server.registry.known["bos-rf", "1.0.0"] = service(output_files=("a.png",), description="old")
    async with server.client() as client:
        answer = await client.patch("/services/bos-rf/1.0.0", json={"description": "new", "code": None})
        assert (answer.status_code, isinstance(answer.json(), str)) == (200, True)
        assert server.registry.changes == [{"description": "new"}]
        assert server.dispatcher.checked == []
        await client.patch("/services/bos-rf/1.0.0", json={"outputFileNames": [], "code": "z <- 1"})
    assert server.registry.known["bos-rf", "1.0.0"].output_files == ()
    assert server.dispatcher.checked == [(Runtime.R, "z <- 1", "")]


async def test_a_patch_of_anothers_service_is_403_and_its_code_is_not_looked_at(server: Server) -> None:
    async with server.client("ben") as client:
        answer = await client.patch("/services/bos-rf/1.0.0", json={"code": "if("})
        assert (answer.status_code, server.dispatcher.checked) == (403, [])
        assert (await client.delete("/services/bos-rf/1.0.0")).status_code == 403
    async with server.client("admin") as client:
        assert (await client.patch("/services/bos-rf/1.0.0", json={"code": "if("})).status_code == 400
        assert (await client.patch("/services/bos-rf/9", json={})).status_code == 404


async def test_a_deleted_version_is_gone(server: Server) -> None:
    async with server.client() as client:
        assert (await client.delete("/services/bos-rf/1.0.0")).status_code == 200
        assert (await client.delete("/services/bos-rf/1.0.0")).status_code == 404
        assert (await client.post("/api/bos-rf/1.0.0", content=b"{}")).status_code == 404


async def test_a_body_over_the_limit_is_413(server: Server) -> None:
    server.limits = Limits(body_bytes=100)
    async with server.client() as client:
        answer = await client.post("/services/new/1", json={"code": "x" * 100})
    assert answer.status_code == 413
