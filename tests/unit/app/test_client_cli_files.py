"""What the command line reads from words and files."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gristmill.app.client_cli_inputs import csv_text, inputs_of, read_table, write_outputs
from gristmill.app.client_cli_prompt import is_complete
from gristmill.app.client_cli_service_file import read_service_file
from gristmill.client import Packed
from gristmill.client.description import Description
from gristmill.client.errors import InvalidInput, NotPortable


def service(**inputs: str) -> Description:
    definitions = [{"name": name, "type": type_} for name, type_ in inputs.items()]
    return Description.parse({"name": "s", "version": "1", "inputParameterDefinitions": definitions})


MANY = service(rows="data.frame", n="integer", ok="logical", who="character", v="vector")
CSV = "a;b;c;d;e;f\n1;1.5;TRUE;007;NA;x\n2;;false;8;NaN;\n"


def test_words_become_values_of_their_inputs_types(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    given = inputs_of(MANY, [f"rows=@{tmp_path}/rows.csv", "n=3", "ok=true", "who=007", "v=1,2.5,NA"], None)
    assert given["rows"] == {
        "a": [1, 2], "b": [1.5, None], "c": [True, False], "d": ["007", "8"], "e": [None, None],
        "f": ["x", None],
    }  # fmt: skip
    assert (given["n"], given["ok"], given["who"], given["v"]) == (3, True, "007", [1.0, 2.5, None])
    assert inputs_of(MANY, ['v=["a"]', 'rows={"a":[1]}'], None) == {"v": ["a"], "rows": {"a": [1]}}


def test_a_file_is_the_one_frame_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("a\tb\n1\t2\n3\t4\n")
    assert inputs_of(MANY, ["n=1"], str(path)) == {"n": 1, "rows": {"a": [1, 3], "b": [2, 4]}}
    assert inputs_of(service(m="matrix"), [], str(path)) == {"m": [[1, 2], [3, 4]]}
    with pytest.raises(
        InvalidInput, match=r"say which input .* is: NAME=@.*; there are: x \(data.frame\), y"
    ):
        inputs_of(service(x="data.frame", y="data.frame"), [], str(path))


def test_a_file_may_hold_all_inputs_by_name(tmp_path: Path) -> None:
    path = tmp_path / "body.json"
    path.write_text('{"n": 1, "who": "me"}')
    assert inputs_of(MANY, [], str(path)) == {"n": 1, "who": "me"}
    path = tmp_path / "row.csv"
    path.write_text("n,who\n4,you\n")
    assert inputs_of(MANY, [], str(path)) == {"n": 4, "who": "you"}


def test_a_file_of_one_column_is_a_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("x\n1\n2\n"))
    assert inputs_of(service(v="vector"), [], "-") == {"v": [1, 2]}
    monkeypatch.setattr(sys, "stdin", io.StringIO("x,y\n1,2\n"))
    with pytest.raises(InvalidInput, match="input 'v': expected one column, got 2 columns"):
        inputs_of(service(v="vector"), [], "-")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["n"], "'n' is no input: write NAME=VALUE"),
        (["m=1"], "there is no input 'm'; there are: rows \\(data.frame\\), n \\(integer\\)"),
        (["rows=1"], "input 'rows': expected @FILE, or JSON of a data.frame, got '1'"),
        (["v=[1"], "input 'v': expected numpy.ndarray, got JSON that does not parse"),
        (["rows=@no.csv"], "no.csv cannot be read: No such file"),
    ],
)
def test_words_that_do_not_fit_are_named(words: list[str], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        inputs_of(MANY, words, None)


def test_tables_that_are_none_are_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(InvalidInput, match=r"bad.csv, line 3: expected 2 values, got 1"):
        read_table(str(path))
    path.write_text("")
    with pytest.raises(InvalidInput, match="is empty; its first line names the columns"):
        read_table(str(path))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InvalidInput, match="is not valid JSON"):
        read_table(str(tmp_path / "bad.json"))
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(InvalidInput, match="is no table"):
        read_table(str(tmp_path / "list.json"))
    (tmp_path / "bad.parquet").write_text("x")
    with pytest.raises(InvalidInput, match=r"bad.parquet (cannot be read|needs)|needs pandas"):
        read_table(str(tmp_path / "bad.parquet"))


def test_outputs_are_written_as_the_files_name_says(tmp_path: Path) -> None:
    values: dict[str, Any] = {"a": [1, None], "b": ["x,y", "z"]}
    write_outputs(tmp_path / "o.csv", values)
    assert (tmp_path / "o.csv").read_text() == 'a,b\n1,"x,y"\n,z\n'
    write_outputs(tmp_path / "o.tsv", values)
    assert (tmp_path / "o.tsv").read_text() == "a\tb\n1\tx,y\n\tz\n"
    write_outputs(tmp_path / "o.json", {"n": 1})
    assert json.loads((tmp_path / "o.json").read_text()) == {"n": 1}
    with pytest.raises(InvalidInput, match=r"no table; write them to a .json file"):
        write_outputs(tmp_path / "o.csv", {"n": 1})
    with pytest.raises(InvalidInput, match=r"write to a .csv"):
        write_outputs(tmp_path / "o.xlsx", values)
    assert csv_text({"a": [1]}) == "a\n1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "score.py").write_text(
        "from pandas import DataFrame\n\n"
        "def price(rows: DataFrame, *, n: int = 1) -> list:\n    '''Prices.'''\n"
        "    return model.predict(rows) * n\n\n"
        "if __name__ == '__main__':\n    price(None)\n"
    )
    (tmp_path / "model.pkl").write_bytes(b"pickled")
    (tmp_path / "rows.csv").write_text("rm,lstat\n1,2\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "service.toml"
    path.write_text(text)
    return path


def test_a_function_of_a_file_is_published_without_running_the_file(folder: Path) -> None:
    write(
        folder,
        'name = "bos"\nversion = "1"\nfunction = "score.py:price"\nmodels = { model = "model.pkl" }\n'
        'files = ["rows.csv"]\ninit = "k = 1"\n[objects]\nlimit = 3\n'
        '[inputs]\nrows = { sample = "rows.csv" }\n',
    )
    found = read_service_file(folder, version="2")
    assert (found.name, found.version) == ("bos", "2")
    assert found.code == "result = price(rows, n=n)\n"
    options = found.options
    assert options["inputs"] == {"rows": {"type": "data.frame", "columns": ["rm", "lstat"]}, "n": "int"}
    assert options["outputs"] == {"result": "list"}
    assert options["models"] == {"model": Packed(b"pickled")}
    assert options["files"] == {"rows.csv": b"rm,lstat\n1,2\n"}
    assert options["objects"] == {"limit": 3}
    assert (options["alias"], options["description"], options["runtime"]) == ("price", "Prices.", "Python")
    assert options["init"].startswith("k = 1\nfrom pandas import DataFrame")
    assert "__main__" not in options["init"]


def test_code_may_be_a_file_or_a_text(folder: Path) -> None:
    (folder / "score.R").write_text("y <- x")
    found = read_service_file(write(folder, 'name = "r"\ncode = "score.R"\n[inputs]\nx = "numeric"'))
    assert (found.code, found.options["runtime"]) == ("y <- x", "R")
    found = read_service_file(write(folder, 'code = """y = x\n"""\nbatchable = true'), name="given")
    assert (found.name, found.code, found.options["batchable"]) == ("given", "y = x\n", True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name = ", "service.toml cannot be read: Invalid value"),
        ("nam = 'x'\ncode = 'y'", "'nam' means nothing here; is name meant"),
        ("qqq = 'x'\ncode = 'y'", "'qqq' means nothing here; known are alias, artifacts"),
        ("name = 1\ncode = 'y'", "name is a text, in quotes"),
        ("models = 'x'\ncode = 'y'", "models is a table of names, as in .models."),
        ("files = 'x'\ncode = 'y'", "files is a list of file names"),
        ("name = 'x'", "say either code .* or function"),
        ("code = 'y'", "a name is missing"),
        ("name = 'x'\ncode = 'no.py'", "no.py cannot be read: No such file"),
        ("name = 'x'\nfunction = 'price'", "function is FILE:NAME"),
        ("name = 'x'\nfunction = 'no.py:price'", "no.py cannot be read"),
        ("name = 'x'\nfunction = 'score.py:prize'", "score.py has no function 'prize'; it has: price"),
        ("name = 'x'\nfunction = 'score.py:price'\ninputs = { z = 'int' }", "price has no argument 'z'"),
        ("name = 'x'\ncode = 'y'\nmodels = { m = 'rows.csv' }", "rows.csv is no model that can be sent"),
        (
            "name = 'x'\ncode = 'y'\nmodels = { m = 'no.joblib' }",
            "no.joblib cannot be loaded: FileNotFoundError",
        ),
    ],
)
def test_mistakes_in_the_file_are_named(folder: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read_service_file(write(folder, text))


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def f(x): return x", "the input 'x' of f has no type; annotate it, or name it"),
        ("def f(*x): return x", "takes . arguments"),
        ("def f(", "does not parse: line 1"),
        ("import helpers\ndef f(): pass", "line 1: helpers lies in this folder, not there"),
        ("from .other import x\ndef f(): pass", "line 1: .other lies in this folder"),
    ],
)
def test_functions_that_cannot_be_published_are_named(folder: Path, code: str, why: str) -> None:
    (folder / "helpers.py").write_text("")
    (folder / "f.py").write_text(code)
    with pytest.raises((InvalidInput, NotPortable), match=why):
        read_service_file(write(folder, "name = 'x'\nfunction = 'f.py:f'"))


def test_a_folder_without_the_file_says_where_to_read_on(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"there is no .*service.toml; docs/howto/command-line.md"):
        read_service_file(tmp_path)


@pytest.mark.parametrize(
    ("runtime", "code", "complete"),
    [
        ("Python", "x = 1", True), ("Python", "def f():", False), ("Python", "def f():\n  return 1\n", True),
        ("Python", "x = (", False), ("Python", "x = )", True),
        ("R", "x <- 1", True), ("R", "f <- function(a) {", False), ("R", "x <- 'a", False),
        ("R", "x <- 'a\\' {'", True), ("R", "x +", False), ("R", "x <- 1 # { open", True),
        ("R", "y |>  ", False), ("R", "x )", True), ("R", "f(\"{\")", True), ("R", "c(1, # one\n2)", True),
    ],
)  # fmt: skip
def test_the_prompt_knows_when_a_statement_ends(runtime: str, code: str, complete: bool) -> None:
    assert is_complete(runtime, code) is complete
