"""Swagger 2.0 of one service version, made for code generators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gristmill.schema import Parameter, ParameterType
from gristmill.services import ServiceVersion
from gristmill.web.swagger_parts import FIXED_DEFINITIONS, LOGIN_PATHS, batch_paths, error_response, secured

__all__ = ["describe"]

Json = dict[str, Any]

_SCALARS: dict[ParameterType, Json] = {
    ParameterType.LOGICAL: {"type": "boolean"},
    ParameterType.INTEGER: {"type": "integer"},
    ParameterType.NUMERIC: {"type": "number"},
    ParameterType.CHARACTER: {"type": "string"},
}


def describe(service: ServiceVersion) -> Json:
    """The document; its host is left out, so that it holds wherever it was fetched."""
    path = f"/api/{service.name}/{service.version}"
    return {
        "swagger": "2.0",
        "info": {"title": service.name, "description": service.description, "version": service.version},
        "schemes": ["http", "https"],
        "securityDefinitions": {"Bearer": {"type": "apiKey", "name": "Authorization", "in": "header"}},
        "tags": [{"name": service.name, "description": service.description}],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "paths": {
            **LOGIN_PATHS,
            path: {"post": _consume(service)},
            **batch_paths(path, service.name),
        },
        "definitions": {
            "InputParameters": _object(service.inputs),
            "OutputParameters": _object(service.outputs),
            "WebServiceResult": _result(service),
            **FIXED_DEFINITIONS,
        },
    }


def _consume(service: ServiceVersion) -> Json:
    return secured(
        {
            "tags": [service.name],
            "summary": f"Call {service.name}",
            "description": service.description,
            "operationId": service.operation_id or "ConsumeWebService",
            "parameters": [
                {
                    "name": "WebServiceParameters",
                    "in": "body",
                    "required": True,
                    "description": "The inputs by name.",
                    "schema": {"$ref": "#/definitions/InputParameters"},
                }
            ],
            "responses": {
                "200": {"description": "The answer.", "schema": {"$ref": "#/definitions/WebServiceResult"}},
                "400": error_response("The inputs are malformed or of the wrong type."),
                "500": error_response("A defect of the server."),
                "default": error_response("Any other error; its status tells which."),
            },
        }
    )


def _result(service: ServiceVersion) -> Json:
    files = {name: {"type": "string", "format": "byte"} for name in service.output_files}
    return {
        "type": "object",
        "properties": {
            "success": {"type": "boolean", "description": "False where the service's own code failed."},
            "errorMessage": {"type": "string", "description": "What the code failed with, else empty."},
            "consoleOutput": {"type": "string", "description": "What the code printed."},
            "changedFiles": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Files that the code wrote.",
            },
            "outputFiles": {
                "type": "object",
                "properties": files,
                "additionalProperties": {"type": "string", "format": "byte"},
                "description": "Content of the declared files by name, in base64; null for one not written.",
            },
            "outputParameters": {"$ref": "#/definitions/OutputParameters"},
            "index": {
                "type": "integer",
                "format": "int32",
                "description": "Which item of a batch this is the answer to; only in the results of a batch.",
            },
        },
    }


def _object(parameters: Iterable[Parameter]) -> Json:
    return {"type": "object", "properties": {parameter.name: _schema(parameter) for parameter in parameters}}


def _schema(parameter: Parameter) -> Json:
    """JSON schema of a value; the protocol's name of its type is the description, as clients expect it."""
    named = {"description": parameter.type.value}
    if parameter.type in _SCALARS:
        return {**_SCALARS[parameter.type], **named}
    column: Json = {"type": "array", "items": {}}
    if parameter.type is ParameterType.VECTOR:
        return {**column, **named}
    if parameter.type is ParameterType.MATRIX:
        return {"type": "array", "items": column, **named}
    frame: Json = {"type": "object", **named}
    if parameter.columns:
        frame["properties"] = {name: dict(column) for name in parameter.columns}
        frame["required"] = list(parameter.columns)
    frame["additionalProperties"] = column
    return frame
