"""The OpenAPI 3.1 document of the core API, with the scoring route that FastAPI does not see."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from gristmill import __version__
from gristmill.web import v2_document
from gristmill.web.endpoints import Endpoint
from gristmill.web.models import Error, ScoringResult

__all__ = ["document"]

Json = dict[str, Any]

_DESCRIPTION = """\
Publish models, in R or Python, as web services, and call them. Log in by `POST /login`, and send the
`access_token` of the answer as `Authorization: Bearer <access_token>` with every other request. Each service
also describes itself, at `/api/{name}/{version}/swagger.json`.
"""
_ERROR: Json = {
    "description": "An error; its status tells which.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_BINARY: Json = {"type": "string", "contentMediaType": "application/octet-stream"}


def document(app: FastAPI, endpoints: Iterable[Endpoint]) -> Json:
    """The whole document."""
    listed = list(endpoints)
    built = get_openapi(
        title="Gristmill",
        version=__version__,
        description=_DESCRIPTION,
        routes=app.routes,
        openapi_version="3.1.0",
    )
    models = {e.answer for e in listed} | {e.body for e in listed} | {Error, ScoringResult}
    schemas, definitions = _schemas([model for model in models if model and not isinstance(model, str)])
    for endpoint in listed:
        operation = built["paths"][endpoint.path.replace(":path}", "}")][endpoint.method.lower()]
        operation.update(_described(endpoint, operation, schemas))
    built["paths"]["/api/{name}/{version}"] = {"post": _scoring()}
    built["paths"].update(v2_document.infer_operations(_ERROR))
    built["security"] = [{"bearer": []}]
    asked = "The access_token of an answer to POST /login, without the word Bearer."
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": asked}
    built["components"] = {"securitySchemes": {"bearer": bearer}, "schemas": definitions}
    return built


def _schemas(models: Iterable[Any]) -> tuple[dict[str, Json], Json]:
    """Schema of each model by its text, and the definitions that these refer to."""
    ordered = sorted(models, key=str)
    mode: JsonSchemaMode = "validation"
    inputs = [(str(model), mode, TypeAdapter(model)) for model in ordered]
    found, defined = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    return {str(model): dict(schema) for (model, _), schema in found.items()}, defined["$defs"]


def _described(endpoint: Endpoint, operation: Json, schemas: dict[str, Json]) -> Json:
    """What FastAPI cannot see: bodies, answers, and path parameters that the handler does not take."""
    taken = operation.get("parameters", [])
    missing = set(re.findall(r"{(\w+)", endpoint.path)) - {parameter["name"] for parameter in taken}
    added = [_path_parameter(name) for name in sorted(missing)]
    media, schema = _content(endpoint.answer, schemas)
    success: Json = {"description": "Done.", "content": {media: {"schema": schema}}}
    found: Json = {
        "parameters": [*taken, *added],
        "responses": {str(endpoint.status): success, "default": _ERROR},
    }
    if endpoint.body is not None:
        media, schema = _content(endpoint.body, schemas)
        found["requestBody"] = {"required": True, "content": {media: {"schema": schema}}}
    if endpoint.allow == "public":
        found["security"] = []
    return found


def _content(model: Any, schemas: dict[str, Json]) -> tuple[str, Json]:
    """Media type and schema of what is sent; text stands for the media type of a file."""
    if not isinstance(model, str):
        return "application/json", schemas[str(model)]
    if model == "multipart/form-data":
        return model, {"type": "object", "properties": {"file": _BINARY}, "required": ["file"]}
    return model, _BINARY if model == "application/octet-stream" else {"type": "string"}


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _scoring() -> Json:
    def content(schema: Json) -> Json:
        return {"application/json": {"schema": schema}}

    return {
        "tags": ["Services"],
        "operationId": "consumeWebService",
        "summary": "Call a service",
        "description": "The body is an object of the inputs by name. With `?timing` the answer has a "
        "`Server-Timing` header.",
        "parameters": [_path_parameter("name"), _path_parameter("version")],
        "requestBody": {"required": True, "content": content({"type": "object"})},
        "responses": {
            "200": {
                "description": "The answer; `success` is false where the service's own code failed.",
                "content": content({"$ref": "#/components/schemas/ScoringResult"}),
            },
            "503": {
                "description": "No capacity now, or the shell died.",
                "headers": {"Retry-After": {"schema": {"type": "integer"}}},
                "content": _ERROR["content"],
            },
            "default": _ERROR,
        },
    }
