"""Answers as the protocol has them: JSON schemas of our own, every field required, and checks by them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

__all__ = ["BOTH", "Schema", "accepted", "check", "refused"]

Schema = dict[str, Any]

#: For tests of both languages.
BOTH = pytest.mark.parametrize("runtime", ["Python", pytest.param("R", marks=pytest.mark.needs_r)])


def _object(properties: dict[str, Schema]) -> Schema:
    """Exactly these, and all of them."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "minLength": 1}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_MOMENT: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
_RUNTIME: Schema = {"enum": ["R", "Python"]}
_TYPES = ["logical", "integer", "numeric", "character", "vector", "matrix", "data.frame"]
_DEFINITION: Schema = {
    "type": "object",
    "properties": {
        "name": _NAME,
        "type": {"enum": _TYPES},
        "columns": _array(_TEXT),
        "form": {"enum": ["array"]},
    },
    "required": ["name", "type"],
    "additionalProperties": False,
}
_WEB_SERVICE = _object(
    {
        "name": _NAME,
        "version": _NAME,
        "versionPublishedBy": _NAME,
        "creationTime": _MOMENT,
        "snapshotId": _TEXT_OR_NULL,
        "runtimeType": {"enum": ["R", "Python", "Realtime"]},
        "initCode": _TEXT,
        "code": _TEXT,
        "description": _TEXT,
        "operationId": _TEXT_OR_NULL,
        "inputParameterDefinitions": _array(_DEFINITION),
        "outputParameterDefinitions": _array(_DEFINITION),
        "outputFileNames": _array(_NAME),
        "myPermissionOnService": {"enum": ["read/write", "read only"]},
        "batchable": {"type": "boolean"},
    }
)
_STATUS: Schema = {
    "$defs": {
        "part": _object(
            {
                "statusCode": {"enum": ["pass", "warn", "fail"]},
                "details": {"type": "object"},
                "components": {"type": "object", "additionalProperties": {"$ref": "#/$defs/part"}},
            }
        )
    },
    "$ref": "#/$defs/part",
}
SCHEMAS: dict[str, Schema] = {
    "text": _NAME,
    "names": _array(_TEXT),
    "empty": _object({}),
    "error": _object({"message": _NAME, "link": _TEXT, "exceptionType": _NAME}),
    "tokens": _object(
        {
            "token_type": {"const": "Bearer"},
            "access_token": _NAME,
            "expires_in": {"type": "integer"},
            "expires_on": {"type": "string", "pattern": r"^\d+$"},
            "refresh_token": _NAME,
        }
    ),
    "services": _array(_WEB_SERVICE),
    "result": _object(
        {
            "success": {"type": "boolean"},
            "errorMessage": _TEXT,
            "outputParameters": {"type": "object"},
            "outputFiles": {"type": "object", "additionalProperties": _TEXT_OR_NULL},
            "consoleOutput": _TEXT,
            "changedFiles": _array(_NAME),
        }
    ),
    "session created": _object({"sessionId": _NAME}),
    "sessions": _array(_object({"id": _NAME, "name": _TEXT, "owner": _NAME, "runtimeType": _RUNTIME})),
    "execution": _object(
        {
            "success": {"type": "boolean"},
            "errorMessage": _TEXT,
            "outputParameters": _array(_object({"name": _NAME, "value": {}})),
            "consoleOutput": _TEXT,
            "changedFiles": _array(_NAME),
        }
    ),
    "console": _object({"consoleOutput": _TEXT}),
    "snapshot created": _object({"snapshotId": _NAME}),
    "snapshots": _array(
        _object(
            {
                "id": _NAME,
                "name": _TEXT,
                "owner": _NAME,
                "creationTime": _MOMENT,
                "contentSize": {"type": "integer", "minimum": 1},
            }
        )
    ),
    "status": _STATUS,
    "pool status": _array(
        _object({"ComputeNodeEndpoint": _NAME, "Status": {"enum": ["Success", "Pending", "NotFound"]}})
    ),
    "swagger": {
        "type": "object",
        "properties": {"swagger": {"const": "2.0"}, "paths": {"type": "object"}},
        "required": ["swagger", "info", "paths", "definitions"],
    },
}


def check(content: Any, shape: str) -> Any:
    """`content`, which must have the shape of this name."""
    problems = [error.message for error in Draft202012Validator(SCHEMAS[shape]).iter_errors(content)]
    assert problems == [], f"{shape}: {problems} in {content}"
    return content


def accepted(answer: httpx.Response, shape: str, status: int = 200) -> Any:
    """The JSON of a success, which must have the shape of this name."""
    assert answer.status_code == status, f"{answer.request.url.path} {answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/json"
    return check(answer.json(), shape)


def refused(answer: httpx.Response, status: int) -> str:
    """The message of an error, whose body must be the protocol's."""
    assert answer.status_code == status, f"{answer.request.url} {answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/json"
    message: str = check(answer.json(), "error")["message"]
    assert "Traceback" not in message
    return message
