"""What a version of a service must be like to be stored: names, texts, sizes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from gristmill.errors import InvalidInput, TooLarge
from gristmill.schema import check_parameters
from gristmill.services import Runtime, ServiceVersion, check_name

__all__ = ["Limits", "check_service", "new_version", "with_changes"]

_OPERATION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: What a patch may change; the rest of a version is its identity or follows from these.
_CHANGEABLE = frozenset(
    {
        "code",
        "init_code",
        "description",
        "operation_id",
        "inputs",
        "outputs",
        "output_files",
        "snapshot_id",
        "runtime",
        "batchable",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one version may hold."""

    code: int = 16 * 2**20  #: bytes of code and init code together
    description: int = 64 * 2**10  #: bytes
    parameters: int = 1000  #: inputs, and outputs, each
    output_files: int = 100


def new_version() -> str:
    """Version of a service that is published without one."""
    return str(uuid4())


def check_service(service: ServiceVersion, limits: Limits) -> None:
    """Raise InvalidInput, or TooLarge, that names what cannot be stored and why."""
    check_name("name", service.name)
    check_name("version", service.version)
    code = _size("code", service.code) + _size("initCode", service.init_code)
    if code > limits.code:
        raise TooLarge(
            f"code and initCode hold {code} bytes, {limits.code} at most: move data to the snapshot"
        )
    described = _size("description", service.description)
    if described > limits.description:
        raise TooLarge(f"the description holds {described} bytes, {limits.description} at most")
    _check_operation(service.operation_id)
    _check_names("input parameter", [p.name for p in service.inputs], limits.parameters)
    _check_names("output parameter", [p.name for p in service.outputs], limits.parameters)
    if (
        service.runtime is not Runtime.REALTIME
    ):  # whose model says what its inputs are, and no shell reads them
        check_parameters(service.inputs, what="inputs")
        check_parameters(service.outputs, what="outputs")
    _check_names("output file", service.output_files, limits.output_files)
    for name in service.output_files:
        _check_file(name)


def with_changes(old: ServiceVersion, changes: Mapping[str, Any]) -> ServiceVersion:
    """`old` with the changes that are not None, by record field; lists replace whole lists, `[]` clears.

    Raises InvalidInput for a field that cannot be changed, and for another runtime.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if given.get("snapshot_id") == "":
        del given["snapshot_id"]
    changeable = _CHANGEABLE | ({"content"} if old.runtime is Runtime.REALTIME else frozenset())
    for name in given.keys() - changeable:
        raise InvalidInput(f"{name!r} of a service cannot be changed")
    if given.get("runtime", old.runtime) != old.runtime:
        raise InvalidInput(
            f"{old.name} {old.version} runs on {old.runtime} and cannot become {given['runtime']}: "
            "publish a new version for that"
        )
    given["runtime"] = Runtime(old.runtime)
    for name in ("inputs", "outputs", "output_files"):
        if name in given:
            given[name] = tuple(given[name])
    if "operation_id" in given:
        given["operation_id"] = given["operation_id"] or None
    return replace(old, **given)


def _size(field: str, text: str) -> int:
    """Bytes of `text` in UTF-8."""
    if "\x00" in text:
        raise InvalidInput(f"{field} holds a NUL character")
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{field} holds half of a surrogate pair at character {error.start}") from None


def _check_operation(name: str | None) -> None:
    if name is not None and not _OPERATION.fullmatch(name):
        raise InvalidInput(
            f"operationId {_shown(name)} cannot name a function in generated clients: "
            "1 to 128 letters, digits, '_' or '.', beginning with a letter or '_'"
        )


def _check_names(kind: str, names: Iterable[str], most: int) -> None:
    counted = Counter(names)
    if counted.total() > most:
        raise InvalidInput(f"{counted.total()} {kind}s are declared, {most} at most")
    for name, times in counted.items():
        if not name or _CONTROL.search(name) or _size(f"the name of an {kind}", name) > 255:
            raise InvalidInput(f"{_shown(name)} cannot be the name of an {kind}: 1 to 255 printable bytes")
        if times > 1:
            raise InvalidInput(f"the {kind} {_shown(name)} is declared {times} times")


def _check_file(name: str) -> None:
    if "/" in name or "\\" in name or name in {".", ".."}:
        raise InvalidInput(
            f"the output file {_shown(name)} is not a plain file name: "
            "services write to their working directory only"
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
