"""Listing, getting, changing and deleting services; their swagger; realtime services."""

import json

import numpy as np
import pandas as pd
from refusals import refused


def first(x):
    return x + 1


def second(x):
    return x + step


step = 100


def publish(client, name, version="1", **more):
    options = {"code_fn": first, "inputs": {"x": int}, "outputs": {"y": int}}
    options.update(more)
    return client.deploy_service(name, version=version, **options)


def services_are_listed_by_all_by_name_and_by_version(client):
    for version in ("v2", "v1"):
        publish(client, "ms-list", version)
    everything = client.list_services()
    assert {"v1", "v2"} <= {each["version"] for each in everything if each["name"] == "ms-list"}
    assert [each["version"] for each in client.list_services("ms-list")] == ["v2", "v1"]
    one = client.list_services("ms-list", version="v1")
    assert [(each["name"], each["version"]) for each in one] == [("ms-list", "v1")]
    assert one[0]["code"].startswith("def first(x):")
    assert one[0]["runtimeType"] == "Python"
    assert client.list_services("ms-no-such") == []
    assert refused(client.list_services, "ms-list", version="v9")[0] == 404


def a_service_is_got_by_name_and_version_or_the_latest(client):
    publish(client, "ms-get", "1")
    publish(client, "ms-get", "2", alias="up")
    assert client.get_service("ms-get", version="1").first(1).output("y") == 2
    assert client.get_service("ms-get").up(1).output("y") == 2
    about = client.get_service("ms-get").capabilities()
    assert about["version"] == "2"
    assert about["inputs_encoded"] == [{"name": "x", "type": "int"}]
    assert about["published_by"] == "admin"
    assert about["runtime"] == "Python"
    try:
        client.get_service("ms-no-such")
    except ValueError as error:
        assert "No service found" in str(error)
    else:
        raise AssertionError("it was found")
    assert refused(client.get_service, "ms-get", version="9")[0] == 404


def redeploying_changes_the_code_and_its_objects(client):
    publish(client, "ms-again", description="before")
    service = client.redeploy_service(
        "ms-again",
        version="1",
        code_fn=second,
        objects={"step": step},
        inputs={"x": int},
        outputs={"y": int},
        description="after",
    )
    assert service.second(1).output("y") == 101
    assert service.capabilities()["description"] == "after"
    assert client.get_service("ms-again", version="1").second(1).output("y") == 101


def redeploying_without_inputs_or_outputs_keeps_them(client):
    publish(client, "ms-keep", artifacts=["a.txt"])
    service = client.redeploy_service("ms-keep", version="1", code_str="y = x * 2")
    assert service.first(4).output("y") == 8
    about = service.capabilities()
    assert [each["name"] for each in about["inputs"] + about["outputs"]] == ["x", "y"]
    assert about["artifacts"] == ["a.txt"]


def redeploying_what_is_not_there_is_404(client):
    assert refused(client.redeploy_service, "ms-no-such", version="1", code_str="y = 1")[0] == 404


def the_swagger_of_a_service_is_for_its_alias(client):
    service = publish(client, "ms-swagger", inputs={"x": np.array}, outputs={"y": np.matrix}, alias="go")
    document = json.loads(service.swagger())
    assert document["swagger"] == "2.0"
    assert document["info"]["title"] == "ms-swagger"
    assert document["info"]["version"] == "1"
    assert document["paths"]["/api/ms-swagger/1"]["post"]["operationId"] == "go"
    assert service.capabilities()["swagger"].endswith("/api/ms-swagger/1/swagger.json")


def deleting_ends_a_service_at_once(client):
    service = publish(client, "ms-delete")
    publish(client, "ms-delete", "2")
    assert client.delete_service("ms-delete", version="1") is True
    assert refused(service.first, 1)[0] == 404
    assert refused(client.delete_service, "ms-delete", version="1")[0] == 404
    assert [each["version"] for each in client.list_services("ms-delete")] == ["2"]
    assert client.get_service("ms-delete").first(1).output("y") == 2


def a_service_in_r_is_called_like_any_other(client):
    service = client.get_service("ms-from-r", version="1")
    result = service.glance(np.array([1.0, 2.0, 4.5]))
    assert result.output("mean") == 2.5
    assert result.output("table").values.tolist() == [["a", 1], ["b", 2]]
    assert service.capabilities()["runtime"] == "R"


def a_realtime_service_is_published_called_and_changed(client):
    with open("model.blob", "rb") as file:
        model = file.read()
    service = (
        client.realtime_service("ms-realtime").version("1").serialized_model(model).alias("twice").deploy()
    )
    result = service.twice(pd.DataFrame({"x": [1.5, 2.0]}))
    assert result.output("outputData").to_dict("list") == {"Score": [3.0, 4.0]}
    assert client.get_service("ms-realtime", version="1").capabilities()["runtime"] == "Realtime"
    client.redeploy_realtime("ms-realtime", version="1", serialized_model=model, description="again")
    assert client.list_services("ms-realtime")[0]["description"] == "again"
    client.delete_service("ms-realtime", version="1")


def a_realtime_service_that_is_none_gets_a_clear_answer(client):
    status, message = refused(client.deploy_realtime, "ms-bad", version="1", serialized_model=b"blob?")
    assert (status, bool(message)) == (400, True), (status, message)
    status, message = refused(
        client.realtime_service("ms-bad").version("1").serialized_model(b"blob?").redeploy
    )
    assert (status, bool(message)) == (404, True), (status, message)
    try:
        client.deploy_realtime("ms-realtime", version="1", serialized_model=b"a pickle")
    except ValueError as error:
        assert "rx_serialize_model" in str(error)
    else:
        raise AssertionError("the client sent it")
