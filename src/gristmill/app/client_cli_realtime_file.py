"""The model of a realtime service, as a `service.toml` names it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from gristmill.app.client_cli_inputs import read_table
from gristmill.client.errors import InvalidInput

__all__ = ["check_realtime", "realtime_model"]

_TAKEN = {"realtime", "sample", "name", "version", "description", "alias"}


def check_realtime(path: Path, said: dict[str, Any]) -> None:
    """Raise InvalidInput for a key that a model without code has no use for."""
    surplus = sorted(said.keys() - _TAKEN)
    if surplus:
        raise InvalidInput(
            f"{path}: {surplus[0]} is for services of code; a realtime service takes "
            f"{', '.join(sorted(_TAKEN))}"
        )


def realtime_model(path: Path, said: dict[str, Any]) -> bytes:
    """The file of the model: one that is serialized already, or made now of the object and the sample."""
    file = path.parent / said["realtime"]
    try:
        content: bytes = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {file} cannot be read: {error.strerror}") from None
    if content[:4] == b"blob":
        return content
    if "sample" not in said:
        raise InvalidInput(
            f'{path}: name a table of rows as the model was fitted on; write sample = "rows.csv"'
        )
    from gristmill.serializing import serialize_model

    model = _loaded(path, file)
    pandas = importlib.import_module("pandas")
    return serialize_model(model, pandas.DataFrame(read_table(str(path.parent / said["sample"]))))


def _loaded(path: Path, file: Path) -> Any:
    """The fitted model; loading it runs its own code, here, on the machine of its author."""
    library = {".joblib": "joblib", ".pkl": "dill", ".pickle": "dill", ".dill": "dill"}.get(
        file.suffix.lower()
    )
    if library is None:
        raise InvalidInput(
            f"{path}: {file.name} is no model of Python; save it as .joblib, .pkl or .dill, or serialize it "
            "with gristmill.serialize_model, in R with serializeModel"
        )
    try:
        with file.open("rb") as opened:
            return importlib.import_module(library).load(opened)
    except Exception as error:  # noqa: BLE001 - loading runs the model's own code
        raise InvalidInput(f"{path}: {file} cannot be loaded: {type(error).__name__}: {error}") from None
