"""The OpenAPI 3.1 document of the core API, with the scoring route that FastAPI does not see."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gristmill import __version__
from gristmill.web.endpoints import Endpoint
from gristmill.web.models import Error, ScoringResult

__all__ = ["ERROR_RESPONSES", "document", "extra", "success"]

Json = dict[str, Any]

_DESCRIPTION = """\
Publish models, in R or Python, as web services, and call them. Log in by `POST /login`, and send the
`access_token` of the answer as `Authorization: Bearer <access_token>` with every other request. Each service
also describes itself, at `/api/{name}/{version}/swagger.json`.
"""
#: What any operation may answer beside its success.
ERROR_RESPONSES: dict[int | str, Json] = {
    "default": {"model": Error, "description": "An error; its status tells which."}
}


def _schema_of(body: type[BaseModel] | str) -> tuple[str, Json]:
    """Media type and schema of a request body."""
    if not isinstance(body, str):
        return "application/json", {"$ref": f"#/components/schemas/{body.__name__}"}
    binary: Json = {"type": "string", "contentMediaType": "application/octet-stream"}
    if body == "multipart/form-data":
        return body, {"type": "object", "properties": {"file": binary}, "required": ["file"]}
    return body, binary


def extra(endpoint: Endpoint) -> Json:
    """What FastAPI cannot see: the body, and path parameters that the handler does not take."""
    taken = inspect.signature(endpoint.handler).parameters
    named = [name for name in re.findall(r"{(\w+)", endpoint.path) if name not in taken]
    described: Json = {"parameters": [_path_parameter(name) for name in named]} if named else {}
    if endpoint.body is not None:
        media, schema = _schema_of(endpoint.body)
        described["requestBody"] = {"required": True, "content": {media: {"schema": schema}}}
    return described


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def success(answer: Any) -> Json:
    """What FastAPI is told of a successful answer."""
    if answer == "application/octet-stream":
        return {"description": "The content.", "content": {answer: {"schema": {"type": "string"}}}}
    if isinstance(answer, str):
        return {"description": "The page.", "content": {answer: {}}}
    return {"description": "Done.", "model": answer}


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
    built["security"] = [{"bearer": []}]
    for endpoint in listed:
        if endpoint.allow == "public":
            path = endpoint.path.replace(":path}", "}")
            built["paths"][path][endpoint.method.lower()]["security"] = []
    built["paths"]["/api/{name}/{version}"] = {"post": _scoring()}
    components = built.setdefault("components", {})
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    components.setdefault("schemas", {}).update(_schemas(listed))
    components["schemas"].pop("HTTPValidationError", None)
    components["schemas"].pop("ValidationError", None)
    for operation in (operation for path in built["paths"].values() for operation in path.values()):
        operation.get("responses", {}).pop("422", None)
    return built


def _schemas(endpoints: Iterable[Endpoint]) -> Json:
    """Schemas of the bodies that are read without FastAPI's help."""
    bodies = {e.body for e in endpoints if e.body is not None and not isinstance(e.body, str)}
    ordered = sorted(bodies, key=lambda model: model.__name__)
    wanted = [(model, "validation") for model in ordered] + [(ScoringResult, "serialization")]
    _, schema = models_json_schema(wanted, by_alias=True, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    definitions: Json = schema["$defs"]
    return definitions


def _scoring() -> Json:
    def content(schema: Json) -> Json:
        return {"application/json": {"schema": schema}}

    error = content({"$ref": "#/components/schemas/Error"})
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
                "content": error,
            },
            "default": {"description": "An error; its status tells which.", "content": error},
        },
    }
