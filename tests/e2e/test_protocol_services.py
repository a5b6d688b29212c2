"""Publishing, listing, changing and deleting services, sentence by sentence of the protocol."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.accounts import add_user
from tests.e2e.protocol import BOTH, accepted, refused
from tests.e2e.publishing import call, parameters, publish
from tests.servers import Server

FULL: dict[str, Any] = {
    "code": "z = x + offset",
    "initCode": "offset = 10",
    "runtimeType": "Python",
    "description": "Adds ten.",
    "operationId": "addTen",
    "inputParameterDefinitions": parameters(x="numeric"),
    "outputParameterDefinitions": parameters(z="numeric"),
    "outputFileNames": ["plot.png"],
}


@pytest.fixture(scope="module")
def writer(server: Server) -> Iterator[httpx.Client]:
    with add_user(server, "service-writer", "contributor") as client:
        yield client


@pytest.fixture(scope="module")
def other(server: Server) -> Iterator[httpx.Client]:
    with add_user(server, "other-writer", "contributor") as client:
        yield client


@pytest.fixture(scope="module")
def reader(server: Server) -> Iterator[httpx.Client]:
    with add_user(server, "service-reader", "reader") as client:
        yield client


@pytest.fixture
def name() -> str:
    """Of a service that there has not been yet."""
    return f"s-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def service(writer: httpx.Client, name: str) -> str:
    """Path of a version with every field set, by writer."""
    accepted(writer.post(f"/services/{name}/1.0.0", json=FULL), "text", 201)
    return f"/services/{name}/1.0.0"


def shown(client: httpx.Client, path: str) -> dict[str, Any]:
    (found,) = accepted(client.get(path), "services")
    return dict(found)


def test_publishing_answers_201_with_a_json_string(writer: httpx.Client, name: str) -> None:
    answer = writer.post(f"/services/{name}/1.0", json=FULL)
    assert name in accepted(answer, "text", 201)
    assert answer.headers["location"] == f"/services/{name}/1.0"
    assert call(writer, f"/api/{name}/1.0", x=1) == {"z": 11}


def test_a_missing_version_becomes_a_guid(writer: httpx.Client, name: str) -> None:
    answer = writer.post(f"/services/{name}", json=FULL)
    accepted(answer, "text", 201)
    (found,) = accepted(writer.get(f"/services/{name}"), "services")
    assert str(uuid.UUID(found["version"])) == found["version"]
    assert answer.headers["location"] == f"/services/{name}/{found['version']}"


def test_a_name_and_version_that_exist_are_409_for_anybody(
    service: str, writer: httpx.Client, other: httpx.Client, admin: httpx.Client
) -> None:
    for client in (writer, other, admin):
        assert "exists" in refused(client.post(service, json=FULL), 409)
    assert shown(writer, service)["versionPublishedBy"] == "service-writer"


def test_every_field_is_shown_as_it_was_published(service: str, writer: httpx.Client) -> None:
    found = shown(writer, service)
    assert {field: found[field] for field in FULL} == FULL
    assert found["versionPublishedBy"] == "service-writer"
    assert found["snapshotId"] is None
    assert found["myPermissionOnService"] == "read/write"


def test_what_was_left_out_is_there_all_the_same(writer: httpx.Client, name: str) -> None:
    accepted(writer.post(f"/services/{name}/1", json={"code": "", "runtimeType": "Python"}), "text", 201)
    found = shown(writer, f"/services/{name}/1")
    assert found["description"] == found["initCode"] == ""
    assert found["operationId"] is None
    for each in ("inputParameterDefinitions", "outputParameterDefinitions", "outputFileNames"):
        assert found[each] == []
    assert found["batchable"] is False


@pytest.mark.needs_r
def test_the_runtime_is_r_unless_said_otherwise(writer: httpx.Client, name: str) -> None:
    accepted(writer.post(f"/services/{name}/1", json={"code": "y <- 1"}), "text", 201)
    assert shown(writer, f"/services/{name}/1")["runtimeType"] == "R"


def test_null_fields_of_a_publish_are_as_if_left_out(writer: httpx.Client, name: str) -> None:
    nulls = dict.fromkeys([*FULL, "snapshotId"])
    body = {**nulls, "code": "y = 1", "runtimeType": "Python"}
    accepted(writer.post(f"/services/{name}/1", json=body), "text", 201)
    assert shown(writer, f"/services/{name}/1")["outputFileNames"] == []


def test_all_three_lists_answer_arrays_and_versions_come_oldest_first(
    writer: httpx.Client, name: str
) -> None:
    for version in ("2.0", "10.0", "1.0"):
        publish(writer, name, "y = 1", version=version)
    accepted(writer.patch(f"/services/{name}/10.0", json={"description": "changed"}), "text")
    versions = [each["version"] for each in accepted(writer.get(f"/services/{name}"), "services")]
    assert versions == ["2.0", "10.0", "1.0"]
    everything = accepted(writer.get("/services"), "services")
    assert [each["version"] for each in everything if each["name"] == name] == versions
    assert len(accepted(writer.get(f"/services/{name}/10.0"), "services")) == 1


def test_an_unknown_name_is_an_empty_list_and_an_unknown_version_404(
    service: str, writer: httpx.Client, name: str
) -> None:
    assert accepted(writer.get("/services/nobody-published-this"), "services") == []
    refused(writer.get("/services/nobody-published-this/1"), 404)
    assert name in refused(writer.get(f"/services/{name}/2.0.0"), 404)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", "z = x - offset"),
        ("initCode", "offset = 20"),
        ("description", "New."),
        ("operationId", "other"),
        ("inputParameterDefinitions", parameters(x="numeric", y="vector")),
        ("outputParameterDefinitions", parameters(z="vector")),
        ("outputFileNames", ["a.csv", "b.csv"]),
        ("batchable", True),
        ("description", ""),
        ("inputParameterDefinitions", []),
        ("outputParameterDefinitions", []),
        ("outputFileNames", []),
    ],
)
def test_a_patch_changes_the_fields_present_and_no_other(
    service: str, writer: httpx.Client, field: str, value: object
) -> None:
    before = shown(writer, service)
    accepted(writer.patch(service, json={field: value}), "text")
    assert shown(writer, service) == {**before, field: value}


def test_null_in_a_patch_keeps_every_value(service: str, writer: httpx.Client) -> None:
    before = shown(writer, service)
    accepted(writer.patch(service, json=dict.fromkeys([*FULL, "snapshotId", "batchable"])), "text")
    accepted(writer.patch(service, json={}), "text")
    assert shown(writer, service) == before


def test_what_was_patched_is_what_the_next_call_runs(service: str, writer: httpx.Client, name: str) -> None:
    path = f"/api/{name}/1.0.0"
    assert call(writer, path, x=1) == {"z": 11}
    writer.patch(service, json={"initCode": "offset = 20"})
    assert call(writer, path, x=1) == {"z": 21}
    writer.patch(
        service, json={"code": "z = 'text'", "outputParameterDefinitions": parameters(z="character")}
    )
    assert call(writer, path, x=1) == {"z": "text"}


@pytest.mark.parametrize(
    "change",
    [
        {"runtimeType": "R"},
        {"code": "z = ("},
        {"code": 1},
        {"inputParameterDefinitions": parameters(x="complex")},
        {"outputFileNames": ["../up"]},
        [],
    ],
    ids=str,
)
def test_a_patch_that_cannot_work_is_400_and_changes_nothing(
    service: str, writer: httpx.Client, change: object
) -> None:
    before = shown(writer, service)
    refused(writer.patch(service, json=change), 400)
    assert shown(writer, service) == before


def test_code_is_shown_only_to_whoever_may_write_the_service(
    service: str, writer: httpx.Client, other: httpx.Client, reader: httpx.Client, admin: httpx.Client
) -> None:
    for client in (writer, admin):
        found = shown(client, service)
        assert (found["code"], found["initCode"]) == (FULL["code"], FULL["initCode"])
        assert found["myPermissionOnService"] == "read/write"
    for client in (other, reader):
        for path in (service, service.rpartition("/")[0], "/services"):
            name = service.split("/")[2]
            (found,) = (s for s in accepted(client.get(path), "services") if s["name"] == name)
            assert (found["code"], found["initCode"]) == ("", "")
            assert found["myPermissionOnService"] == "read only"
            assert found["description"] == FULL["description"]


def test_nobody_but_who_published_a_service_and_owners_may_change_it(
    service: str, writer: httpx.Client, other: httpx.Client, reader: httpx.Client, admin: httpx.Client
) -> None:
    for client in (other, reader):
        refused(client.patch(service, json={"description": "mine"}), 403)
        refused(client.delete(service), 403)
    accepted(admin.patch(service, json={"description": "by an owner"}), "text")
    found = shown(writer, service)
    assert found["description"] == "by an owner"
    assert found["versionPublishedBy"] == "service-writer"


def test_an_owner_may_delete_what_another_published(service: str, admin: httpx.Client) -> None:
    accepted(admin.delete(service), "text")
    refused(admin.get(service), 404)


def test_a_deleted_version_is_gone_and_its_name_free_again(
    service: str, writer: httpx.Client, name: str
) -> None:
    assert call(writer, f"/api/{name}/1.0.0", x=1) == {"z": 11}
    accepted(writer.delete(service), "text")
    refused(writer.post(f"/api/{name}/1.0.0", json={"x": 1}), 404)
    refused(writer.get(f"/api/{name}/1.0.0/swagger.json"), 404)
    refused(writer.patch(service, json={}), 404)
    refused(writer.delete(service), 404)
    assert accepted(writer.get(f"/services/{name}"), "services") == []
    accepted(writer.post(service, json={**FULL, "initCode": "offset = 30"}), "text", 201)
    assert call(writer, f"/api/{name}/1.0.0", x=1) == {"z": 31}


def test_a_reader_lists_and_consumes_and_does_no_more(service: str, reader: httpx.Client, name: str) -> None:
    accepted(reader.get("/status"), "status")
    assert call(reader, f"/api/{name}/1.0.0", x=1) == {"z": 11}
    assert reader.get(f"/api/{name}/1.0.0/swagger.json").status_code == 200
    for path in (f"/services/{name}", f"/services/{name}/2"):
        refused(reader.post(path, json=FULL), 403)
    for path in ("/sessions", "/snapshots", "/sessions/x/files", "/snapshots/x"):
        refused(reader.get(path), 403)
    refused(reader.post("/sessions", json={}), 403)
    refused(reader.delete("/sessions/x"), 403)


@BOTH
def test_code_that_does_not_parse_is_400_and_names_the_line(
    writer: httpx.Client, name: str, runtime: str
) -> None:
    body = {"code": "a = 1\nb = 2\nc = ]\n", "runtimeType": runtime}
    message = refused(writer.post(f"/services/{name}/1", json=body), 400)
    assert "3" in message
    assert accepted(writer.get(f"/services/{name}"), "services") == []


_UNLOADABLE = [
    {"name": "rows", "type": "data.frame", "form": "array"},
    {"name": "x", "type": "vector", "columns": ["a"]},
    {"name": "x", "type": "numeric", "form": "array"},
    {"name": "x y", "type": "numeric"},
    {"name": "1x", "type": "numeric"},
    {"name": "rows", "type": "data.frame", "columns": ["a", "a"]},
]


@pytest.mark.parametrize("field", ["inputParameterDefinitions", "outputParameterDefinitions"])
@pytest.mark.parametrize("definition", _UNLOADABLE, ids=str)
def test_definitions_that_no_shell_can_load_are_400_at_publish_and_at_change(
    service: str, writer: httpx.Client, name: str, field: str, definition: dict[str, Any]
) -> None:
    before = shown(writer, service)
    body = {"code": "y = 1", "runtimeType": "Python", field: [definition]}
    assert f"{field}[0]" in refused(writer.post(f"/services/{name}/2", json=body), 400)
    assert f"{field}[0]" in refused(writer.patch(service, json={field: [definition]}), 400)
    assert shown(writer, service) == before


def test_lists_of_one_as_r_writes_them_are_understood(writer: httpx.Client, name: str) -> None:
    """jsonlite with auto_unbox: an empty list is `{}`, a list of one name that name."""
    body = {
        **FULL,
        "outputFileNames": "plot.png",
        "inputParameterDefinitions": {"name": "x", "type": "numeric"},
        "outputParameterDefinitions": {},
    }
    accepted(writer.post(f"/services/{name}/1", json=body), "text", 201)
    found = shown(writer, f"/services/{name}/1")
    assert found["outputFileNames"] == ["plot.png"]
    assert found["inputParameterDefinitions"] == parameters(x="numeric")
    assert found["outputParameterDefinitions"] == []


def test_unknown_fields_are_let_pass_and_unknown_types_refused(writer: httpx.Client, name: str) -> None:
    accepted(writer.post(f"/services/{name}/1", json={**FULL, "clientVersion": 9}), "text", 201)
    bad = {**FULL, "inputParameterDefinitions": parameters(x="list")}
    assert "inputParameterDefinitions" in refused(writer.post(f"/services/{name}/2", json=bad), 400)


def test_names_are_taken_as_written_and_differ_by_case(writer: httpx.Client) -> None:
    unique = uuid.uuid4().hex[:8]
    for name in (f"Model_{unique}", f"model_{unique}", f"m.{unique}-x"):
        publish(writer, name, f"y = '{name}'", outputs={"y": "character"}, version="v1.0-beta_2")
    for name in (f"Model_{unique}", f"model_{unique}", f"m.{unique}-x"):
        assert call(writer, f"/api/{name}/v1.0-beta_2") == {"y": name}


def test_a_description_in_any_script_comes_back_as_it_was(writer: httpx.Client, name: str) -> None:
    text = 'Größe \u0645\u0631\u062d\u0628\u0627 e\u0301 \U0001f33e \u2028 "\\ \t\n'
    publish(writer, name, "y = 1", description=text)
    assert shown(writer, f"/services/{name}/1")["description"] == text
