"""The documents: OpenAPI 3.1 of the API, Swagger 2.0 of each service."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator

from gristmill.schema import Parameter, ParameterType
from gristmill.web.app import create_core
from gristmill.web.swagger import describe
from gristmill.web.v2_document import INFER_PATHS
from tests.unit.web.fakes import Server, service

ALL_TYPES = tuple(Parameter(kind.value, kind) for kind in ParameterType)
FULL = service(
    description="A forest",
    operation_id="predictPrice",
    inputs=(*ALL_TYPES, Parameter("house", ParameterType.DATA_FRAME, ("rooms", "age"))),
    outputs=ALL_TYPES,
    output_files=("plot.png",),
)


def resolved(document: dict[str, Any]) -> set[str]:
    return set(re.findall(r"'\$ref': '#/definitions/(\w+)'", repr(document)))


@pytest.mark.parametrize("version", [FULL, service()])
def test_the_swagger_of_a_service_is_valid(version: Any) -> None:
    document = copy.deepcopy(describe(version))
    # Swagger 2.0 allows the type `file` in an answer; the validator's schema does not know that.
    file = document["paths"]["/api/bos-rf/1.0.0/batch/{executionId}/{index}/files/{fileName}"]["get"]
    assert file["responses"]["200"]["schema"] == {"type": "file"}
    file["responses"]["200"]["schema"] = {"type": "string"}
    assert [str(error) for error in OpenAPIV2SpecValidator(document).iter_errors()] == []
    assert resolved(document) <= set(document["definitions"])


def test_the_swagger_has_the_operations_that_generated_clients_are_made_of() -> None:
    document = describe(FULL)
    paths = document["paths"].items()
    ids = {(method.upper(), path): op["operationId"] for path, ops in paths for method, op in ops.items()}
    batch = "/api/bos-rf/1.0.0/batch"
    assert ids == {
        ("POST", "/login"): "login",
        ("POST", "/login/refreshToken"): "renewToken",
        ("DELETE", "/login/refreshToken"): "revokeRefreshToken",
        ("POST", "/api/bos-rf/1.0.0"): "predictPrice",
        ("POST", batch): "StartBatchExecution",
        ("GET", batch): "GetBatchExecutions",
        ("GET", batch + "/{executionId}"): "GetBatchExecutionStatus",
        ("DELETE", batch + "/{executionId}"): "CancelAndDeleteBatchExecution",
        ("GET", batch + "/{executionId}/{index}/files"): "GetBatchExecutionFiles",
        ("GET", batch + "/{executionId}/{index}/files/{fileName}"): "GetBatchExecutionFile",
    }
    assert "host" not in document
    assert describe(service())["paths"]["/api/bos-rf/1.0.0"]["post"]["operationId"] == "ConsumeWebService"


def test_each_type_of_parameter_has_its_schema() -> None:
    properties = describe(FULL)["definitions"]["InputParameters"]["properties"]
    any_array = {"type": "array", "items": {}}
    assert properties == {
        "logical": {"type": "boolean", "description": "logical"},
        "integer": {"type": "integer", "description": "integer"},
        "numeric": {"type": "number", "description": "numeric"},
        "character": {"type": "string", "description": "character"},
        "vector": {**any_array, "description": "vector"},
        "matrix": {"type": "array", "items": any_array, "description": "matrix"},
        "data.frame": {"type": "object", "description": "data.frame", "additionalProperties": any_array},
        "house": {
            "type": "object",
            "description": "data.frame",
            "properties": {"rooms": any_array, "age": any_array},
            "required": ["rooms", "age"],
            "additionalProperties": any_array,
        },
    }


def test_the_swagger_lists_what_the_server_sends() -> None:
    definitions = describe(FULL)["definitions"]
    assert definitions["BatchWebServiceResult"]["properties"]["state"]["enum"] == [
        "Pending",
        "Ready",
        "InProgress",
        "Complete",
        "Failed",
        "Cancelled",
    ]
    assert definitions["AccessTokenResponse"]["properties"]["expires_on"]["type"] == "string"
    assert set(definitions["WebServiceResult"]["properties"]) == {
        "success",
        "errorMessage",
        "consoleOutput",
        "changedFiles",
        "outputFiles",
        "outputParameters",
        "index",
    }
    assert "plot.png" in definitions["WebServiceResult"]["properties"]["outputFiles"]["properties"]


async def test_the_swagger_is_served_to_readers(server: Server) -> None:
    async with server.client("rea") as client:
        answer = await client.get("/api/bos-rf/1.0.0/swagger.json")
        assert answer.json() == describe(service())
        assert (await client.get("/api/bos-rf/2/swagger.json")).status_code == 404


async def test_the_openapi_document_is_valid_and_knows_every_operation(server: Server) -> None:
    async with server.client(None) as client:
        document = (await client.get("/openapi.json")).json()
        assert (await client.get("/openapi.json")).json() == document
    assert document["openapi"] == "3.1.0"
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    described = {(m.upper(), p): op for p, ops in document["paths"].items() for m, op in ops.items()}
    routes = [route for route in create_core(server.context()).routes if isinstance(route, APIRoute)]
    registered = {(method, route.path_format) for route in routes for method in route.methods or ()}
    bare = {("POST", path) for path in ("/api/{name}/{version}", *(path for path, _, _ in INFER_PATHS))}
    assert set(described) == registered | bare
    for key, operation in described.items():
        assert operation["summary"], key
        assert operation["operationId"], key
        assert "422" not in operation["responses"], key
        assert operation["responses"]["default"]["content"]["application/json"]["schema"], key
    assert described["POST", "/login"]["security"] == []
    assert document["security"] == [{"bearer": []}]
