"""The names of azureml-model-management-sdk."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gristmill import compat
from gristmill.client import connecting, errors
from gristmill.compat import DeployClient, MLServer
from tests.unit.client.fake import URL, FakeServer, described


@pytest.fixture
def client(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> DeployClient:
    original = connecting.connect
    monkeypatch.setattr(compat, "connect", lambda *a, **k: original(*a, transport=fake.transport, **k))
    return DeployClient(URL, use=MLServer, auth=("ann", "right"))


factor: int


def run(speed: float, names: Any) -> float:
    return speed * factor


def init() -> None:
    global factor  # noqa: PLW0603
    factor = 2


def test_a_service_is_said_word_by_word_and_called_by_its_function(
    client: DeployClient, fake: FakeServer
) -> None:
    fake.score = lambda inputs: {
        "outputParameters": {"answer": inputs["speed"] * 2, "m": [[1, 2]]},
        "outputFiles": {"plot.png": base64.b64encode(b"png").decode()},
        "consoleOutput": "ran",
    }
    definition = (
        client.service("cars")
        .version("v1")
        .code_fn(run, init)
        .models(model=1)
        .objects(o=2)
        .inputs(speed=float, names=np.array)
        .outputs(answer=float, m=np.matrix)
        .artifact("plot.png")
        .description("Cars.")
    )
    assert "version: 'v1'" in repr(definition)
    service = definition.deploy()
    sent = fake.body("POST /services/cars/v1")
    assert sent["operationId"] == "run"
    assert sent["initCode"].endswith("init()\n")
    assert [each["type"] for each in sent["inputParameterDefinitions"]] == ["numeric", "vector"]
    response = service.run("1.5", names=np.array(["a"]))
    assert fake.body("POST /api/cars/v1") == {"speed": 1.5, "names": ["a"]}
    assert response.output("answer") == 3.0
    assert isinstance(response.output("m"), np.matrix)
    assert response.output("no") is None
    assert response.artifact("plot.png") == b"png"
    assert response.artifact("plot.png", encoding="ascii") == "png"
    assert response.artifact("plot.png", decode=False) == "cG5n"
    assert (response.error, response.console_output, response.api) == ("", "ran", "/api/cars/v1")
    assert response.raw_outputs["answer"] == 3.0
    assert "ServiceResponse" in repr(response)


def test_code_that_fails_is_an_error_text_and_no_exception(client: DeployClient, fake: FakeServer) -> None:
    fake.services = [described()]
    fake.score = lambda inputs: {"success": False, "errorMessage": "no", "outputParameters": {}}
    response = client.get_service("area").consume(1)
    assert (response.error, response.outputs) == ("no", {"area": None})


def test_deploy_service_takes_the_same_as_options(client: DeployClient, fake: FakeServer) -> None:
    client.deploy_service(
        "half",
        version="1",
        code_str="y = x / k",
        init_str="k = 2",
        inputs={"x": "float"},
        outputs={"y": "int"},
    )
    sent = fake.body("POST /services/half/1")
    assert (sent["code"], sent["initCode"]) == ("y = x / k", "k = 2")
    client.deploy_service("odd", version="1", code_str="y = anything", outputs={"y": pd.DataFrame})
    with pytest.raises(errors.InvalidInput, match="there is no option 'cod_str'"):
        client.deploy_service("half", cod_str="1")
    with pytest.raises(errors.InvalidInput, match="give the code, as code_fn or as code_str"):
        client.deploy_service("half")


def test_redeploy_changes_what_is_given_of_the_latest(client: DeployClient, fake: FakeServer) -> None:
    fake.services = [described(version="1"), described(version="2")]
    client.service("area").description("new").redeploy(force=True)
    assert fake.body("PATCH /services/area/2") == {"runtimeType": "Python", "description": "new"}
    client.redeploy_service("area", version="1", alias="f")
    assert fake.body("PATCH /services/area/1")["operationId"] == "f"


def test_services_are_listed_as_the_server_has_them(client: DeployClient, fake: FakeServer) -> None:
    fake.services = [described(version="1"), described(version="2"), described("b")]
    assert [each["version"] for each in client.list_services("area")] == ["1", "2"]
    assert len(client.list_services()) == 3
    assert client.list_services("area", version="1")[0]["version"] == "1"
    service: Any = client.get_service("area", version="1")
    assert service.capabilities()["inputs_encoded"] == [{"name": "r", "type": "float"}]
    assert service.capabilities()["public-functions"]["consume"] == "consume(self, r)"
    assert service.swagger() == '{"swagger": "2.0"}'
    assert client.delete_service("area", version="1") is True
    with pytest.raises(errors.InvalidInput, match="say which version"):
        client.delete_service("area")


def test_inputs_that_cannot_be_converted_are_named(client: DeployClient, fake: FakeServer) -> None:
    fake.services = [described()]
    service: Any = client.get_service("area")
    with pytest.raises(errors.InvalidInput, match="area: input 'r': expected float, got str 'x'"):
        service.consume("x")
    with pytest.raises(errors.InvalidInput, match="2 inputs were given"):
        service.consume(1, 2)


def test_a_realtime_service_is_a_model_that_begins_with_blob(client: DeployClient, fake: FakeServer) -> None:
    definition = client.realtime_service("rt").version("1").alias("score").serialized_model(b"blob...")
    definition.deploy()
    sent = next(each for each in fake.asked if each.url.path == "/realtime-services/rt/1")
    assert b'name="model"' in sent.content
    assert b'name="operationId"' in sent.content
    definition.redeploy()
    with pytest.raises(errors.InvalidInput, match="is set already"):
        definition.serialized_model(b"blob")
    with pytest.raises(errors.InvalidInput, match="expected a serialized model"):
        client.deploy_realtime("rt", serialized_model=b"pickle")
    with pytest.raises(errors.InvalidInput, match="say which version"):
        client.redeploy_realtime("rt", serialized_model=b"blob")


def test_other_ways_to_log_in(fake: FakeServer, client: DeployClient) -> None:
    fake.tokens.add("given")
    assert DeployClient(URL, auth="given").list_services() == []
    assert DeployClient(URL, auth="given", use="azureml.deploy.server.MLServer").list_services() == []
    with pytest.raises(errors.InvalidInput, match="leave it out, or say use=MLServer"):
        DeployClient(URL, auth="given", use="Azure")
    with pytest.raises(errors.NotSupported, match="get an access token from your identity provider"):
        DeployClient(URL, auth={"tenant": "x"})
