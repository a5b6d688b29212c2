"""The shell under other interpreters, with the standard library alone: lists and dicts instead of arrays."""

import base64
import pickle
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.frames import Status
from tests.integration.shell_client import ShellClient, other_python, snapshot
from tests.integration.test_python_shell_groups import calls_at_once, outputs


@pytest.fixture(scope="module", params=["this", "3.8", "3.10", "3.13"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellClient]:
    python = sys.executable if request.param == "this" else other_python(request.param)
    with ShellClient(
        tmp_path_factory.mktemp("bare"), python=python, arguments=("-S",), preload=["numpy"]
    ) as it:
        code = "y = [list(each) for each in zip(x, f['c'], [row[0] for row in a])]"
        it.load(90, code=code, inputs=DOUBLES, outputs={"y": "matrix"})
        yield it


DOUBLES = [
    {"name": "x", "type": "vector"},
    {"name": "f", "type": "data.frame"},
    {"name": "a", "type": "data.frame", "columns": ["c"], "form": "array"},
]


def test_it_starts_without_anything_installed(shell: ShellClient) -> None:
    assert shell.about["language"].startswith("Python 3.")
    assert shell.about["packages"] == {}


@pytest.mark.parametrize(
    ("type_", "value", "shown"),
    [
        ("vector", [1, None], "[1, None]"),
        ("matrix", [[1, 2], [3, 4]], "[[1, 2], [3, 4]]"),
        ("data.frame", {"a": [1.5], "b": ["x"]}, "{'a': [1.5], 'b': ['x']}"),
        ("numeric", 3, "3.0"),
    ],
)
def test_values_are_lists_and_dicts(shell: ShellClient, type_: str, value: Any, shown: str) -> None:
    shell.load(code="y = repr(x)\nz = x", inputs={"x": type_}, outputs={"y": "character", "z": type_})
    assert shell.score(x=value) == {"y": shown, "z": value}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_doubles_survive_bit_for_bit(shell: ShellClient, values: list[float]) -> None:
    rows = shell.score(90, x=values, f={"c": values}, a={"c": values})["y"]
    for i, value in enumerate(values):
        assert {struct.pack("d", each) for each in rows[i]} == {struct.pack("d", value)}


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": NaN}',
        b'{"x": -Infinity}',
        b'{"x": 1e999}',
        b'{"x": "\\ud800"}',
        b'{"x": "\xff"}',
        b"[" * 200_000,
        b'{"x": ' + b"9" * 400 + b".0}",
        b'{"x": 1}}',
        b"\xef\xbb\xbf{}",
        b'{"x": ' + b"1" * 5000 + b"}",
    ],
    ids=range(10),
)
def test_the_standard_librarys_parser_is_as_strict(shell: ShellClient, body: bytes) -> None:
    shell.load(code="y = 1", inputs={"x": "character"}, outputs={"y": "integer"})
    assert shell.call(body=body)["status"] is Status.INVALID
    assert shell.score(x="\ud83d\ude00 ok") == {"y": 1}


def test_not_a_number_and_lone_surrogates_do_not_leave(shell: ShellClient) -> None:
    code = "y = [float('nan'), float('inf'), 1.5]\nz = 'a\\ud800'"
    shell.load(code=code, outputs={"y": "vector", "z": "character"})
    assert shell.score() == {"y": [None, None, 1.5], "z": "a?"}


def test_a_workspace_is_a_pickle(shell: ShellClient) -> None:
    content = snapshot({".dill": pickle.dumps({"k": 20}, 4), "f": b"1"})
    shell.load(content=content, code="y = k + int(open('f').read())", outputs={"y": "integer"})
    assert shell.score() == {"y": 21}
    assert shell.operate("workspace_set", name="a", content=pickle.dumps([1], 4))["status"] is Status.OK
    saved = shell.operate("snapshot_save", content=b"")["written"]
    assert shell.operate("snapshot_load", content=saved)["status"] is Status.OK
    assert shell.execute("a.append(2)", ("a",))["outputs"] == {"a": [1, 2]}


def test_files_console_and_failures_are_told(shell: ShellClient) -> None:
    code = "print('é')\nopen('f', 'wb').write(b'x')\ny = 1 / z"
    shell.load(code=code, inputs={"z": "numeric"}, outputs={"y": "numeric"}, outputFiles=["f"])
    result = shell.call(z=2)
    assert (result["consoleOutput"], result["changedFiles"]) == ("é\n", ["f"])
    assert base64.b64decode(result["outputFiles"]["f"]) == b"x"
    message = shell.call(z=0)["errorMessage"]
    assert message.startswith("ZeroDivisionError: float division by zero\nTraceback") or "division" in message
    assert 'File "<svc 1.0.0>", line 3, in <module>\n    y = 1 / z' in message


def test_calls_that_wait_are_grouped(shell: ShellClient) -> None:
    array = {"name": "a", "type": "data.frame", "columns": ["p", "q"], "form": "array"}
    shell.load(
        code="y = [sum(r) + len(a) for r in a]", inputs=[array], outputs={"y": "vector"}, batchable=True
    )
    groups, answers = calls_at_once(shell, [{"a": {"p": [i], "q": [1]}} for i in range(3)])
    assert groups == [3]
    assert outputs(answers) == [{"y": [4.0]}, {"y": [5.0]}, {"y": [6.0]}]


def test_a_shell_that_cannot_be_set_up_says_why(tmp_path: Path) -> None:
    with ShellClient(tmp_path, runtime="R", rscript=str(tmp_path / "no-such-R")) as shell:
        assert "no-such-R" in shell.about["error"]
        assert shell.process.wait(10) == 0
