"""What a call, or an execution in a session, came to."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gristmill.client import display
from gristmill.client.decoding import decode, decode_untyped
from gristmill.client.description import Description
from gristmill.client.errors import CodeFailed, NotFound

__all__ = ["Result", "result_of_call", "result_of_execution"]


class Result:
    """Outputs, files and console of one run of a service's or a session's code.

    If the code failed, `success` is false and `error` has the message and traceback of the other side; asking
    for an output then raises CodeFailed, which shows it.
    """

    def __init__(
        self, label: str, raw: Mapping[str, Any], decoders: Mapping[str, Callable[[Any], Any]]
    ) -> None:
        self._label = label
        self._decoders = decoders
        self._decoded: dict[str, Any] = {}
        self.raw = raw  #: the server's answer as it came

    @property
    def success(self) -> bool:
        """Whether the code ran to its end."""
        return bool(self.raw.get("success"))

    @property
    def error(self) -> str | None:
        """Message and traceback of code that failed, or None."""
        return None if self.success else self.raw.get("errorMessage") or "the code failed without a message"

    @property
    def index(self) -> int | None:
        """Which item of a batch this came of, from 0; None for a call of its own."""
        return self.raw.get("index")

    @property
    def console_output(self) -> str:
        """What the code printed."""
        return self.raw.get("consoleOutput") or ""

    @property
    def changed_files(self) -> list[str]:
        """Files that the code wrote in its working directory."""
        return list(self.raw.get("changedFiles") or ())

    def check(self) -> Result:
        """The result itself; raises CodeFailed if the code failed."""
        if not self.success:
            raise self._failure()
        return self

    def output(self, name: str | None = None) -> Any:
        """One output: bool, int, float, str, numpy.ndarray or pandas.DataFrame, as the service declares it.

        The name may be left out if there is only one. Raises CodeFailed if the code failed, NotFound for a
        name that is not declared.
        """
        names = list(self.check()._decoders)
        if name is None and len(names) == 1:
            name = names[0]
        if name is None or name not in self._decoders:
            wanted = "say which output" if name is None else f"there is no output {name!r}"
            raise self._missing(f"{wanted}; there are: {', '.join(names) or 'none'}", name)
        if name not in self._decoded:
            self._decoded[name] = self._decoders[name](_values(self.raw).get(name))
        return self._decoded[name]

    @property
    def outputs(self) -> dict[str, Any]:
        """All outputs by name. Raises CodeFailed if the code failed."""
        return {name: self.output(name) for name in self.check()._decoders}

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Names of the files that came with the answer."""
        return tuple(name for name, content in self._files().items() if content is not None)

    def artifact(self, name: str) -> bytes:
        """Content of a file that came with the answer; raises NotFound for one not declared or written."""
        files = self._files()
        content = files.get(name)
        if content is None:
            why = "the code did not write it" if name in files else f"there are: {', '.join(files) or 'none'}"
            raise self._missing(f"there is no file {name!r}; {why}", name)
        return base64.b64decode(content)

    def save(self, name: str, to: str | Path | None = None) -> Path:
        """Write a file that came with the answer, into a folder or under a path; returns where it is."""
        target = Path(to) if to is not None else Path(name).with_name(Path(name).name)
        if target.is_dir():
            target = target / Path(name).name
        target.write_bytes(self.artifact(name))
        return target

    def _files(self) -> Mapping[str, Any]:
        files = self.raw.get("outputFiles")
        return files if isinstance(files, Mapping) else {}

    def _missing(self, message: str, name: str | None) -> NotFound:
        error = NotFound(f"{self._label}: {message}")
        error.service, error.parameter = self._label, name
        return error

    def _failure(self) -> CodeFailed:
        remote = (self.error or "").strip()
        error = CodeFailed(
            f"the code of {self._label} failed: {remote}", remote=remote, console_output=self.console_output
        )
        error.service = self._label
        return error

    def __repr__(self) -> str:
        return "\n".join([f"Result of {self._label}", *(f"  {key}: {value}" for key, value in self._rows())])

    def _repr_html_(self) -> str:
        return display.pairs(f"Result of {self._label}", self._rows(), bad=not self.success)

    def _rows(self) -> list[tuple[str, str]]:
        rows = []
        if not self.success:
            rows.append(("failed", (self.error or "").strip()))
        else:
            rows += [(name, display.short(value)) for name, value in self.outputs.items()]
        sizes = {name: len(self.artifact(name)) for name in self.artifacts}
        if sizes:
            rows.append(("files", ", ".join(f"{name} ({size:,} bytes)" for name, size in sizes.items())))
        if self.console_output:
            rows.append(("console", display.short(self.console_output.strip())))
        return rows


def _values(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Outputs by name; sessions answer with a list of names and values instead of an object."""
    values = raw.get("outputParameters") or {}
    if isinstance(values, list):
        return {each["name"]: each["value"] for each in values}
    return values if isinstance(values, Mapping) else {}


def result_of_call(description: Description, raw: Mapping[str, Any]) -> Result:
    """Of a service: the outputs that it declares."""

    def decoder(type_: Any) -> Callable[[Any], Any]:
        return lambda value: decode(type_, value)

    return Result(description.label, raw, {each.name: decoder(each.type) for each in description.outputs})


def result_of_execution(label: str, raw: Mapping[str, Any]) -> Result:
    """Of a session: the outputs that came, typed by their shape."""
    return Result(label, raw, dict.fromkeys(_values(raw), decode_untyped))
