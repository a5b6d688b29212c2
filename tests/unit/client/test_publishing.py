"""What goes over the wire to publish and to redeploy."""

from __future__ import annotations

import dill
import pytest

from gristmill.client import Client, Packed, errors
from tests.unit.client.fake import FakeServer, described, problem

FLOW = [
    "POST /sessions",
    "POST /sessions/s1/workspace/model",
    "POST /sessions/s1/files",
    "POST /sessions/s1/snapshot",
    "POST /services/area/1.0",
    "DELETE /sessions/s1/force",
    "DELETE /snapshots/snap1",
    "GET /services/area/1.0",
]


def area(r: float) -> float:
    """Area of a circle."""
    return model["pi"] * r**2  # type: ignore[name-defined,no-any-return]  # noqa: F821


def test_objects_travel_by_a_session_and_a_snapshot_which_are_removed(
    client: Client, fake: FakeServer
) -> None:
    told: list[tuple[str, int, int]] = []
    service = client.publish(
        "area",
        area,
        models={"model": {"pi": 3.14}},
        files={"notes.txt": b"read me"},
        version="1.0",
        batchable=True,
        artifacts="plot.png",
        progress=lambda name, sent, total: told.append((name, sent, total)),
    )
    assert fake.did() == FLOW
    assert dill.loads(fake.workspace["model"]) == {"pi": 3.14}
    assert fake.files == {"notes.txt": b"read me"}
    size = len(fake.workspace["model"])
    assert told == [("model", size, size)]
    sent = fake.body("POST /services/area/1.0")
    assert sent.pop("code").startswith("from __future__ import annotations\n\ndef area(r: float) -> float:")
    assert sent == {
        "runtimeType": "Python",
        "operationId": "area",
        "description": "Area of a circle.",
        "snapshotId": "snap1",
        "batchable": True,
        "outputFileNames": ["plot.png"],
        "inputParameterDefinitions": [{"name": "r", "type": "numeric"}],
        "outputParameterDefinitions": [{"name": "result", "type": "numeric"}],
    }
    assert service.alias == "area"


def test_without_objects_there_is_no_session(client: Client, fake: FakeServer) -> None:
    client.publish("half", "y = x / 2", inputs={"x": float}, outputs={"y": float}, version="1")
    assert fake.did() == ["POST /services/half/1", "GET /services/half/1"]


def test_a_version_that_the_server_chose_is_read_from_its_answer(client: Client, fake: FakeServer) -> None:
    service = client.publish("half", "y = x / 2", inputs={"x": float}, outputs={"y": float})
    assert service.version == "chosen-by-server"


def test_session_and_snapshot_are_removed_when_publishing_fails(client: Client, fake: FakeServer) -> None:
    fake.services = [described()]
    with pytest.raises(errors.Conflict, match=r"area 1.0: publishing: area 1.0 exists already"):
        client.publish("area", area, models={"model": 1}, version="1.0")
    assert fake.did()[-2:] == ["DELETE /sessions/s1/force", "DELETE /snapshots/snap1"]


def test_a_failure_to_clean_up_does_not_hide_the_service(client: Client, fake: FakeServer) -> None:
    def gone(request: object, parts: list[str]) -> object:
        return problem(500, "InternalError", "no")

    fake._snapshots = gone  # type: ignore[method-assign,assignment]
    assert client.publish("area", area, models={"model": 1}, version="1.0").name == "area"


def test_an_object_that_cannot_travel_is_named_before_anything_is_sent(
    client: Client, fake: FakeServer
) -> None:
    with pytest.raises(errors.InvalidInput, match=r"the object 'model' \(generator .*cannot be serialized"):
        client.publish("area", area, models={"model": (x for x in "ab")}, version="1.0")
    assert fake.did() == []


def test_bytes_that_are_serialized_already_are_sent_as_they_are(client: Client, fake: FakeServer) -> None:
    client.publish("area", area, models={"model": Packed(b"pickled")}, version="1.0")
    assert fake.workspace["model"] == b"pickled"


def test_a_redeploy_sends_what_is_given_and_nothing_else(client: Client, fake: FakeServer) -> None:
    fake.services = [described(), described(version="2.0")]
    service = client.redeploy("area", description="better")
    assert fake.body("PATCH /services/area/2.0") == {"runtimeType": "Python", "description": "better"}
    assert (service.version, service.description) == ("2.0", "better")
    client.redeploy("area", models={"model": 1}, version="1.0", artifacts=[])
    assert fake.body("PATCH /services/area/1.0") == {
        "runtimeType": "Python",
        "snapshotId": "snap1",
        "outputFileNames": [],
    }


def test_a_redeploy_of_what_is_not_there_says_so(client: Client) -> None:
    with pytest.raises(errors.NotFound, match="there is no service 'area'"):
        client.redeploy("area", description="better")
