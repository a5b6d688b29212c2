"""A `service.toml`: a service described in a folder, beside its code and its models."""

from __future__ import annotations

import difflib
import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from gristmill.app.client_cli_inputs import read_table
from gristmill.app.client_cli_realtime_file import check_realtime, realtime_model
from gristmill.app.client_cli_source_file import function_in_file
from gristmill.client import Packed
from gristmill.client.errors import InvalidInput

__all__ = ["ServiceFile", "read_service_file"]

_TEXTS = {
    "name",
    "version",
    "runtime",
    "description",
    "alias",
    "code",
    "function",
    "init",
    "realtime",
    "sample",
}
_TABLES = {"models", "objects", "inputs", "outputs"}
_KNOWN = {*_TEXTS, *_TABLES, "files", "artifacts", "batchable"}
#: Bytes of these are what the server loads: they are sent as they are.
_SERIALIZED = {".pkl", ".pickle", ".dill", ".rds", ".rdata", ".rda"}


@dataclass(frozen=True)
class ServiceFile:
    """What the file says, as `publish` takes it."""

    name: str
    code: str
    version: Optional[str] = None
    options: dict[str, Any] = field(default_factory=dict)
    realtime: Optional[bytes] = None  #: the model of a realtime service, which has no code


def read_service_file(
    source: Path, *, name: Optional[str] = None, version: Optional[str] = None
) -> ServiceFile:
    """Read a service.toml, or the one in a folder. Raises InvalidInput that names the file and the key."""
    path = source / "service.toml" if source.is_dir() else source
    said = _checked(path, _parsed(path))
    named = name or said.get("name")
    if not named:
        raise InvalidInput(f'{path}: a name is missing; write name = "…", or say --name')
    chosen = version or said.get("version")
    if "realtime" in said:
        check_realtime(path, said)
        texts: dict[str, Any] = {key: said[key] for key in ("description", "alias") if key in said}
        return ServiceFile(named, "", chosen, texts, realtime_model(path, said))
    code, options = _coded(path, said)
    return ServiceFile(named, code, chosen, options)


def _coded(path: Path, said: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Code and options of a service of code."""
    folder = path.parent
    options: dict[str, Any] = {
        key: said[key]
        for key in ("description", "alias", "objects", "outputs", "artifacts", "batchable")
        if key in said
    }
    options["runtime"] = said.get("runtime") or _runtime(said)
    if "models" in said:
        options["models"] = {key: _model(path, folder / value) for key, value in said["models"].items()}
    if "inputs" in said:
        options["inputs"] = {key: _input(folder, spec) for key, spec in said["inputs"].items()}
    if "files" in said:
        options["files"] = {Path(each).name: _file(path, folder / each) for each in said["files"]}
    code, more = _code(path, folder, said, options)
    return code, {**options, **more}


def _parsed(path: Path) -> dict[str, Any]:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        with path.open("rb") as file:
            content: dict[str, Any] = toml.load(file)
    except FileNotFoundError:
        raise InvalidInput(f"there is no {path}; docs/howto/command-line.md says how to write one") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    return content


def _checked(path: Path, said: dict[str, Any]) -> dict[str, Any]:
    """What was said, all of it known and of the right type."""
    for key, value in said.items():
        if key not in _KNOWN:
            close = difflib.get_close_matches(key, _KNOWN, 1)
            hint = f"; is {close[0]} meant?" if close else f"; known are {', '.join(sorted(_KNOWN))}"
            raise InvalidInput(f"{path}: {key!r} means nothing here{hint}")
        if key in _TEXTS and not isinstance(value, str):
            raise InvalidInput(f"{path}: {key} is a text, in quotes")
        if key in _TABLES and not isinstance(value, dict):
            raise InvalidInput(f"{path}: {key} is a table of names, as in [{key}]")
        if key in {"files", "artifacts"} and not (
            isinstance(value, list) and all(isinstance(each, str) for each in value)
        ):
            raise InvalidInput(f"{path}: {key} is a list of file names")
    if sum(key in said for key in ("code", "function", "realtime")) != 1:
        raise InvalidInput(
            f"{path}: say either code (a file or a text) or function (FILE:NAME), "
            "or realtime (the file of a model)"
        )
    return said


def _runtime(said: dict[str, Any]) -> str:
    return "R" if said.get("code", "").lower().endswith(".r") else "Python"


def _code(
    path: Path, folder: Path, said: dict[str, Any], options: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The code, and the options that follow from it."""
    init = _text(path, folder, said["init"]) if "init" in said else None
    if "code" in said:
        return _text(path, folder, said["code"]), {} if init is None else {"init": init}
    file, colon, name = said["function"].rpartition(":")
    if not colon:
        raise InvalidInput(f'{path}: function is FILE:NAME, as in "score.py:price"')
    found = function_in_file(folder / file, name, options.get("inputs"), options.get("outputs"))
    parts = [part for part in (init, found.source) if part]
    more = {"init": "\n".join(parts), "inputs": found.inputs, "outputs": found.outputs}
    defaults = {"alias": name, "description": found.doc}
    return found.call, {**{k: v for k, v in defaults.items() if v and k not in options}, **more}


def _text(path: Path, folder: Path, said: str) -> str:
    """A text of code, or the content of the file that is named."""
    if "\n" in said or Path(said).suffix.lower() not in {".py", ".r"}:
        return said
    return _file(path, folder / said).decode("utf-8-sig")


def _file(path: Path, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {file} cannot be read: {error.strerror}") from None


def _model(path: Path, file: Path) -> Any:
    """A model of a file, as it is sent."""
    kind = file.suffix.lower()
    if kind in _SERIALIZED:
        return Packed(_file(path, file))
    if kind == ".joblib":
        try:
            return importlib.import_module("joblib").load(file)
        except Exception as error:  # noqa: BLE001 - loading runs the model's own code
            raise InvalidInput(f"{path}: {file} cannot be loaded: {type(error).__name__}: {error}") from None
    raise InvalidInput(
        f"{path}: {file.name} is no model that can be sent; save it as .dill, .pkl or .joblib, in R as .rds"
    )


def _input(folder: Path, spec: Any) -> Any:
    """A type, or a definition; `sample` is a table whose columns are meant."""
    if isinstance(spec, dict) and "sample" in spec:
        columns = list(read_table(str(folder / spec["sample"])))
        rest = {key: value for key, value in spec.items() if key != "sample"}
        return {"type": "data.frame", **rest, "columns": columns}
    return spec
