"""Inputs from words and files, and outputs to files, for `gristmill call`."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from gristmill.client.description import Description
from gristmill.client.errors import InvalidInput, invalid
from gristmill.client.types import shown
from gristmill.schema import Parameter, ParameterType

__all__ = ["csv_text", "inputs_of", "read_table", "write_outputs"]

_MISSING = {"", "na", "nan", "null", "none"}
_TRUTH = {"true": True, "t": True, "false": False, "f": False}
_BIG = (ParameterType.DATA_FRAME, ParameterType.MATRIX)


def inputs_of(about: Description, words: list[str], file: Optional[str]) -> dict[str, Any]:
    """Inputs by name, of `name=value` words and of a file. Raises InvalidInput that names the input."""
    declared = {each.name: each for each in about.inputs}
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise InvalidInput(f"{word!r} is no input: write NAME=VALUE")
        if name not in declared:
            raise InvalidInput(f"{about.label}: there is no input {name!r}; there are: {_listed(declared)}")
        given[name] = _value(declared[name], text)
    if file is not None:
        given.update(_of_file(about, declared, given, file))
    return given


def _of_file(
    about: Description, declared: dict[str, Parameter], given: dict[str, Any], file: str
) -> dict[str, Any]:
    """What one file gives: all inputs by name, or the one frame or matrix that is still missing."""
    content = _read(file)
    if isinstance(content, dict) and content and set(content) <= set(declared):
        if all(isinstance(column, list) and len(column) == 1 for column in content.values()):
            return {name: _scalar_of_row(declared[name], column) for name, column in content.items()}
        return content
    open_ = [each for each in about.inputs if each.name not in given]
    fitting = [each for each in open_ if each.type in _BIG] or open_
    if len(fitting) != 1:
        raise InvalidInput(
            f"{about.label}: say which input {file} is: NAME=@{file}; there are: {_listed(declared)}"
        )
    return {fitting[0].name: _fit(fitting[0], content)}


def _listed(declared: dict[str, Parameter]) -> str:
    return ", ".join(f"{each.name} ({each.type.value})" for each in declared.values()) or "none"


def _scalar_of_row(parameter: Parameter, column: list[Any]) -> Any:
    """Of a table with one row: the cell, where a scalar is declared."""
    return column if parameter.type in (*_BIG, ParameterType.VECTOR) else column[0]


def _value(parameter: Parameter, text: str) -> Any:
    """A word as a value of the parameter's type."""
    if text.startswith("@"):
        return _fit(parameter, _read(text[1:]))
    if parameter.type is ParameterType.CHARACTER:
        return text
    if text[:1] in {"[", "{"}:
        try:
            return json.loads(text)
        except ValueError:
            raise invalid(
                parameter.name, shown(parameter), f"JSON that does not parse: {text[:40]}"
            ) from None
    if parameter.type is ParameterType.VECTOR:
        return _typed(text.split(","))
    cell = _typed([text])[0]
    if parameter.type in _BIG:
        raise invalid(parameter.name, f"@FILE, or JSON of a {parameter.type.value}", repr(text))
    return cell


def _fit(parameter: Parameter, content: Any) -> Any:
    """A file's content as the parameter takes it: a table becomes rows, or a vector, where need be."""
    if not isinstance(content, dict):
        return content
    if parameter.type is ParameterType.MATRIX:
        return [list(row) for row in zip(*content.values())]
    if parameter.type is ParameterType.VECTOR:
        if len(content) != 1:
            raise invalid(parameter.name, "one column", f"{len(content)} columns")
        return next(iter(content.values()))
    return content


def _read(file: str) -> Any:
    """Columns of a table, or the value of a JSON document."""
    if file == "-":
        return _parse(sys.stdin.read(), "standard input")
    path = Path(file)
    if path.suffix.lower() in {".parquet", ".pq", ".feather", ".arrow"}:
        return _frame(path)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return _parse(text, file)


def read_table(file: str) -> dict[str, list[Any]]:
    """Columns of a table by name. Raises InvalidInput for a file that cannot be read, or is no table."""
    content = _read(file)
    if hasattr(content, "columns"):
        return {str(name): content[name].tolist() for name in content.columns}
    if not isinstance(content, dict):
        raise InvalidInput(f"{file} is no table")
    return content


def _frame(path: Path) -> Any:
    pandas = _pandas(f"reading {path.name}")
    try:
        return (
            pandas.read_feather(path) if path.suffix in {".feather", ".arrow"} else pandas.read_parquet(path)
        )
    except (OSError, ValueError, ImportError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None


def _pandas(what: str) -> Any:
    try:
        import pandas
    except ImportError:
        raise InvalidInput(f"{what} needs pandas and pyarrow: pip install pandas pyarrow") from None
    return pandas


def _parse(text: str, where: str) -> Any:
    if where.lower().endswith(".json") or text.lstrip()[:1] in {"{", "["}:
        try:
            return json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"{where} is not valid JSON: {error}") from None
    first = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    if not rows:
        raise InvalidInput(f"{where} is empty; its first line names the columns")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise InvalidInput(f"{where}, line {number}: expected {len(rows[0])} values, got {len(row)}")
    return {name: _typed([row[i] for row in rows[1:]]) for i, name in enumerate(rows[0])}


def _typed(cells: list[str]) -> list[Any]:
    """Texts as truth values, integers or numbers if all of them are; empty ones and NA are None."""
    cells = [cell.strip() for cell in cells]
    kept = [cell for cell in cells if cell.lower() not in _MISSING]
    convert: Callable[[str], Any] = str
    if kept and all(cell.lower() in _TRUTH for cell in kept):
        convert = _truth
    elif not any(len(cell) > 1 and cell[0] == "0" and cell.isdigit() for cell in kept):
        convert = next((kind for kind in (int, float) if _all_convert(kind, kept)), str)
    return [None if cell.lower() in _MISSING else convert(cell) for cell in cells]


def _truth(cell: str) -> bool:
    return _TRUTH[cell.lower()]


def _all_convert(kind: Callable[[str], Any], cells: list[str]) -> bool:
    try:
        for cell in cells:
            if "_" in cell:
                return False
            kind(cell)
    except ValueError:
        return False
    return True


def csv_text(columns: dict[str, list[Any]], delimiter: str = ",") -> str:
    """A table as CSV, with names in the first line; None is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values()))
    return buffer.getvalue()


def write_outputs(path: Path, values: dict[str, Any]) -> None:
    """Write outputs: as JSON whatever they are, as a table if they are equally long columns."""
    kind = path.suffix.lower()
    table = all(isinstance(column, list) for column in values.values())
    if kind == ".json":
        path.write_text(json.dumps(values, ensure_ascii=False), "utf-8")
    elif not table:
        raise InvalidInput(f"{path}: these outputs are no table; write them to a .json file")
    elif kind in {".csv", ".tsv", ".txt"}:
        path.write_text(csv_text(values, "," if kind == ".csv" else "\t"), "utf-8")
    elif kind in {".parquet", ".pq"}:
        _pandas(f"writing {path.name}").DataFrame(values).to_parquet(path)
    else:
        raise InvalidInput(f"{path}: write to a .csv, .tsv, .json or .parquet file")
