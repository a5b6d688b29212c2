"""What tests/azure_specs says: which operation a request is, and whether it and its answer are right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from jsonschema import Draft202012Validator, ValidationError, validators

__all__ = ["SPECS", "Operation", "find"]

FOLDER = Path(__file__).parent / "azure_specs"


def _not_by_us(_: Any, value: object, instance: object, schema: object) -> Iterator[ValidationError]:
    if value:
        yield ValidationError("it may only be read, and was sent")


#: A request may not hold what may only be read.
_Request = validators.extend(Draft202012Validator, {"readOnly": _not_by_us})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of a specification."""

    id: str
    spec: Mapping[str, Any]
    said: Mapping[str, Any]
    values: Mapping[str, str]  #: of the parameters in the path

    def complaints(self, query: str, headers: Mapping[str, str], body: bytes) -> list[str]:
        """What is wrong with a request; nothing if it is as specified."""
        found = list(self._of_parameters(query))
        if not headers.get("Accept", "application/json").startswith(("application/json", "*/*")):
            found.append(f"Accept: {headers['Accept']}")
        kind = "form" if "form" in self.said else "body"
        if kind not in self.said:
            return found if not body else [*found, "a body where none belongs"]
        content = headers.get("Content-Type", "")
        wanted = "application/json" if kind == "body" else "application/x-www-form-urlencoded"
        if not content.startswith(wanted):
            return [*found, f"Content-Type: {content!r}, not {wanted}"]
        value = json.loads(body) if kind == "body" else {k: v[0] for k, v in parse_qs(body.decode()).items()}
        return found + self._against(_Request, str(self.said[kind]), value)

    def wrong_answer(self, status: int, headers: Mapping[str, str], body: Any) -> list[str]:
        """What is wrong with an answer of the server's own."""
        answers = self.said["answers"]
        if str(status) not in answers:
            return [f"no status {status}"]
        found = [
            f"no {each}"
            for each in self.said.get("headers", {}).get(str(status), [])
            if each.lower() not in {name.lower() for name in headers}
        ]
        schema = answers[str(status)]
        if schema is None:
            return found if body is None else [*found, "a body where none belongs"]
        return found + self._against(Draft202012Validator, schema, body)

    def _of_parameters(self, query: str) -> Iterator[str]:
        asked = parse_qs(query, keep_blank_values=True)
        version = self.spec["apiVersion"]
        if asked.pop("api-version", [None]) != [version]:
            yield f"{query!r}: the api-version is {version}"
        yield from (f"no parameter {name}" for name in asked if name not in self.said.get("query", []))
        for name, value in self.values.items():
            schema = self.spec["parameters"][name]
            yield from (f"{name}: {each.message}" for each in Draft202012Validator(schema).iter_errors(value))

    def _against(self, kind: Any, name: str, value: Any) -> list[str]:
        schema = {"$ref": f"#/schemas/{name}", "schemas": self.spec["schemas"]}
        return [f"{each.json_path}: {each.message}" for each in kind(schema).iter_errors(value)]


SPECS: list[dict[str, Any]] = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def find(method: str, path: str) -> Operation | None:
    """The operation that a request is; paths are matched letter by letter."""
    for spec in SPECS:
        for said in spec["operations"]:
            if said["method"] != method:
                continue
            pattern = re.sub(r"\\{(\w+)\\}", _group, re.escape(said["path"]))
            if matched := re.fullmatch(pattern, path):
                values = {name: unquote(value) for name, value in matched.groupdict().items()}
                return Operation(id=said["id"], spec=spec, said=said, values=values)
    return None


def _group(matched: re.Match[str]) -> str:
    name = matched[1]
    return f"(?P<{name}>.+)" if name == "scope" else f"(?P<{name}>[^/]+)"
