"""Realtime services: send a model, and take the rows of a call in the forms that one has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gristmill.client.connection import Connection, path_of
from gristmill.client.description import Description, arguments
from gristmill.client.errors import InvalidInput
from gristmill.client.publishing import chosen_version
from gristmill.client.types import told
from gristmill.client.wire import Request

__all__ = ["REALTIME", "as_bytes", "rows_of", "send_model"]

#: The runtime of services that are scored natively.
REALTIME = "Realtime"


def as_bytes(name: str, model: Any, sample: Any, tolerance: float | None) -> bytes:
    """A model as it is sent: bytes as they are, anything else serialized with its sample."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        data = bytes(model)
        if data[:4] != b"blob":
            raise InvalidInput(
                f"{name}: expected a serialized model (bytes that begin with b'blob'), got {told(data)}; "
                "gristmill.serialize_model makes one, in R serializeModel"
            )
        return data
    if model is None or isinstance(model, str):
        raise InvalidInput(f"{name}: expected a fitted model or a serialized one, got {told(model)}")
    if sample is None:
        raise InvalidInput(
            f"{name}: give sample=, some rows as the model was fitted on: names and types of the columns are "
            "taken from them, and the server compares its scores with the model's own"
        )
    from gristmill.serializing import serialize_model

    return serialize_model(model, sample, tolerance=tolerance)


async def send_model(
    connection: Connection,
    method: str,
    name: str,
    version: str | None,
    *,
    model: bytes | None,
    description: str | None,
    alias: str | None,
) -> str:
    """Publish (POST) or change (PATCH) a realtime service; its version, given or chosen by the server."""
    texts = {"description": description, "operationId": alias}
    form: dict[str, Any] = {key: (None, text) for key, text in texts.items() if text is not None}
    if model is not None:
        form["model"] = (f"{name}.model", model, "application/octet-stream")
    if not form:
        raise InvalidInput(f"{name}: there is nothing to change; give a model, a description or an alias")
    path = path_of("realtime-services", name, *([version] if version else []))
    what = "publishing" if method == "POST" else "redeploying"
    label = f"{name} {version}" if version else name
    answer = await connection.send(Request(method, path, form=form), what=what, service=label)
    return version or await chosen_version(connection, name, answer)


def rows_of(about: Description, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The one input of a realtime service: a frame or columns, or columns by keyword.

    Columns that the model does not take are left out, so that a whole table can be given.
    """
    (parameter,) = about.inputs
    if kwargs and not args and parameter.name not in kwargs:
        given: Any = dict(kwargs)
    else:
        given = arguments(about, args, kwargs)[parameter.name]
    wanted = list(parameter.columns)
    named = given if isinstance(given, dict) else getattr(given, "columns", None)
    if wanted and named is not None and set(wanted) < {str(name) for name in named}:
        given = {name: given[name] for name in wanted}
    return {parameter.name: given}
