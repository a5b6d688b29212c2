"""The parts of a service's Swagger that are the same for every service."""

from __future__ import annotations

from typing import Any

__all__ = ["FIXED_DEFINITIONS", "LOGIN_PATHS", "batch_paths", "error_response", "secured"]

Json = dict[str, Any]


def _ref(name: str) -> Json:
    return {"$ref": f"#/definitions/{name}"}


def _array(items: Json, description: str | None = None) -> Json:
    return {"type": "array", "items": items, **({"description": description} if description else {})}


def _texts(**descriptions: str) -> Json:
    """An object of strings."""
    properties = {name: {"type": "string", "description": text} for name, text in descriptions.items()}
    return {"type": "object", "properties": properties}


def error_response(description: str) -> Json:
    """A response with the error body."""
    return {"description": description, "schema": _ref("Error")}


def secured(operation: Json) -> Json:
    """`operation`, needing a token."""
    return {"security": [{"Bearer": []}], **operation}


def _responses(status: str, description: str, schema: Json) -> Json:
    return {
        status: {"description": description, "schema": schema},
        "default": error_response("An error; its status tells which."),
    }


def _body(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "body", "required": True, "description": description, "schema": schema}


def _login(operation: str, summary: str, parameter: Json) -> Json:
    return {
        "operationId": operation,
        "summary": summary,
        "tags": ["User"],
        "parameters": [parameter],
        "responses": _responses("200", "Done.", _ref("AccessTokenResponse")),
    }


LOGIN_PATHS: Json = {
    "/login": {
        "post": _login("login", "Log in", _body("loginRequest", _ref("LoginRequest"), "Who logs in."))
    },
    "/login/refreshToken": {
        "post": _login(
            "renewToken",
            "Exchange a refresh token for new tokens",
            _body("renewTokenRequest", _ref("RenewTokenRequest"), "The token to exchange."),
        ),
        "delete": _login(
            "revokeRefreshToken",
            "Make a refresh token invalid",
            {
                "name": "refreshToken",
                "in": "query",
                "required": True,
                "type": "string",
                "description": "The token to revoke.",
            },
        ),
    },
}

_EXECUTION: Json = {
    "name": "executionId",
    "in": "path",
    "required": True,
    "type": "string",
    "description": "The batch.",
}
_INDEX: Json = {
    "name": "index",
    "in": "path",
    "required": True,
    "type": "integer",
    "description": "Which of the batch's items, from 0.",
}
_FILE: Json = {
    "name": "fileName",
    "in": "path",
    "required": True,
    "type": "string",
    "description": "Which of the item's files.",
}
_PARALLEL: Json = {
    "name": "parallelCount",
    "in": "query",
    "required": False,
    "type": "integer",
    "format": "int32",
    "description": "How many items run at a time, 10 unless given.",
}
_PARTIAL: Json = {
    "name": "showPartialResults",
    "in": "query",
    "required": False,
    "type": "boolean",
    "description": "Whether to show the results there are while the batch still runs.",
}


def batch_paths(path: str, tag: str) -> Json:
    """The batch operations of the service at `path`."""

    def operation(id: str, summary: str, status: str, schema: Json, *parameters: Json) -> Json:
        return secured(
            {
                "tags": [tag],
                "summary": summary,
                "operationId": id,
                "parameters": list(parameters),
                "responses": _responses(status, "Done.", schema),
            }
        )

    names = _array({"type": "string"})
    inputs = _body("BatchWebServiceParameters", _array(_ref("InputParameters")), "The inputs of each item.")
    started = _ref("StartBatchExecutionResponse")
    one = f"{path}/batch/{{executionId}}"
    files = f"{one}/{{index}}/files"
    return {
        f"{path}/batch": {
            "post": operation("StartBatchExecution", "Start a batch", "202", started, inputs, _PARALLEL),
            "get": operation("GetBatchExecutions", "List the batches", "200", names),
        },
        one: {
            "get": operation(
                "GetBatchExecutionStatus",
                "State and results of a batch",
                "200",
                _ref("BatchWebServiceResult"),
                _EXECUTION,
                _PARTIAL,
            ),
            "delete": operation(
                "CancelAndDeleteBatchExecution", "Cancel and delete a batch", "200", names, _EXECUTION
            ),
        },
        files: {
            "get": operation(
                "GetBatchExecutionFiles", "List the files of an item", "200", names, _EXECUTION, _INDEX
            )
        },
        f"{files}/{{fileName}}": {
            "get": operation(
                "GetBatchExecutionFile",
                "Download a file of an item",
                "200",
                {"type": "file"},
                _EXECUTION,
                _INDEX,
                _FILE,
            )
        },
    }


FIXED_DEFINITIONS: Json = {
    "Error": _texts(
        message="What is wrong.", link="Where to read more.", exceptionType="Name of the kind of error."
    ),
    "StartBatchExecutionResponse": _texts(
        name="The service.",
        version="Its version.",
        batchExecutionId="Id of the batch.",
        BatchExecutionId="The same.",
    ),
    "BatchWebServiceResult": {
        "type": "object",
        "properties": {
            "state": {
                "type": "string",
                "enum": ["Pending", "Ready", "InProgress", "Complete", "Failed", "Cancelled"],
                "description": "How far the batch is.",
            },
            "completedItemCount": {"type": "integer", "format": "int32", "description": "Items done."},
            "totalItemCount": {"type": "integer", "format": "int32", "description": "Items in all."},
            "batchExecutionResults": _array(_ref("WebServiceResult"), "In the order of the inputs."),
        },
    },
    "LoginRequest": _texts(username="Name of the account.", password="Its password."),  # noqa: S106
    "RenewTokenRequest": _texts(refreshToken="A refresh token not used before."),
    "AccessTokenResponse": {
        "type": "object",
        "properties": {
            "token_type": {"type": "string", "description": "Bearer."},
            "access_token": {"type": "string", "description": "For the Authorization header."},
            "expires_in": {"type": "integer", "format": "int32", "description": "Seconds it holds."},
            "expires_on": {"type": "string", "description": "Seconds since 1970, as text."},
            "refresh_token": {"type": "string", "description": "Good for one renewal."},
        },
    },
}
