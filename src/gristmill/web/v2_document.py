"""What the OpenAPI document says of inference requests, which FastAPI does not see."""

from __future__ import annotations

from typing import Any

__all__ = ["INFER_PATHS", "infer_operations"]

Json = dict[str, Any]

#: Path, operation id and summary of each form of the request.
INFER_PATHS = (
    ("/v2/models/{name}/infer", "inferNewest", "Score by the newest version of a model"),
    ("/v2/models/{name}/versions/{version}/infer", "infer", "Score by a version of a model"),
)
_TENSOR: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}},
    },
    "required": ["name", "shape", "datatype"],
}
_REQUEST: Json = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
                "required": ["name"],
            },
        },
    },
    "required": ["inputs"],
}
_ANSWER: Json = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
    "required": ["model_name", "model_version", "outputs"],
}
_DESCRIPTION = (
    "A tensor [rows] or [rows, 1] for each column of the model, or, if all of them are numeric, one tensor "
    "[rows, columns]. With the header `Inference-Header-Content-Length` binary tensor data follow the JSON."
)


def infer_operations(error: Json) -> dict[str, Json]:
    """Path → its operation; `error` is the answer that every operation may give."""
    return {
        path: {
            "post": {
                "tags": ["Open Inference Protocol"],
                "operationId": operation,
                "summary": summary,
                "description": _DESCRIPTION,
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                    for name in ("name", "version")
                    if f"{{{name}}}" in path
                ],
                "requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}},
                "responses": {
                    "200": {
                        "description": "The outputs that were asked for, or all.",
                        "content": {"application/json": {"schema": _ANSWER}},
                    },
                    "default": error,
                },
            }
        }
        for path, operation, summary in INFER_PATHS
    }
