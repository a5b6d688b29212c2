"""Sessions of a real Python shell: code, objects, files, snapshots, and being cancelled."""

import io
import math
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dill
import pytest

from gristmill.frames import Kind, Status
from tests.integration.shell_client import ShellClient, answer, other_python, snapshot


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[ShellClient]:
    with ShellClient(tmp_path) as client:
        yield client


def test_a_session_remembers_variables_files_and_directory(shell: ShellClient) -> None:
    shell.execute("a = 1\ndef f(): return a\nopen('f.txt', 'w').write('hi')")
    shell.execute("a += 1")
    result = shell.execute("b = open('f.txt').read()", ("a", "b", "c"), c=[1, 2])
    assert result["outputParameters"] == [
        {"name": "a", "value": 2},
        {"name": "b", "value": "hi"},
        {"name": "c", "value": [1, 2]},
    ]
    assert shell.execute("r = f()", ("r",))["outputs"] == {"r": 2}


def test_an_execution_tells_console_and_changed_files(shell: ShellClient) -> None:
    result = shell.execute("print('one')\nopen('n.txt', 'w').close()\n1 + 1")
    assert (result["consoleOutput"], result["changedFiles"]) == ("one\n2\n", ["n.txt"])
    result = shell.execute("None")
    assert (result["consoleOutput"], result["changedFiles"]) == ("", [])


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[5]", 5),
        ("[]", []),
        ("(1, 'a')", [1, "a"]),
        ("np.array([1.5])", 1.5),
        ("np.array([[1, 2]])", [[1, 2]]),
        ("np.float32(0.5)", 0.5),
        ("pd.DataFrame({'a': [1], 'b': ['x']})", {"a": [1], "b": ["x"]}),
        ("pd.Series([1, None])", [1.0, None]),
        ("{'k': np.arange(2), 'd': {'e': None}}", {"k": [0, 1], "d": {"e": None}}),
        ("float('nan')", None),
        ("'\\ud800'", "?"),
    ],
)
def test_outputs_leave_by_what_they_are(shell: ShellClient, expression: str, value: Any) -> None:
    code = f"import numpy as np, pandas as pd\nx = {expression}"
    assert shell.execute(code, ("x",))["outputs"] == {"x": value}


def test_inputs_are_taken_by_what_they_look_like(shell: ShellClient) -> None:
    code = "t = [type(v).__name__ for v in (a, b, c, d, e)]"
    values: dict[str, Any] = {"a": 1, "b": [1, 2], "c": [[1], [2]], "d": {"x": [1]}, "e": None}
    assert shell.execute(code, ("t",), **values)["outputs"]["t"] == [
        "int", "ndarray", "ndarray", "DataFrame", "NoneType",
    ]  # fmt: skip


def test_a_failure_keeps_the_session_and_what_was_set_before(shell: ShellClient) -> None:
    result = shell.execute("a = 1\nundefined")
    assert (result["status"], result["success"]) == (Status.FAILED, False)
    assert "NameError" in result["errorMessage"]
    assert "undefined" in result["errorMessage"].splitlines()[-1]
    assert "line 1" in shell.execute("a = = 2")["errorMessage"]
    result = shell.execute("", ("a", "nothing"))
    assert result["errorMessage"] == "the code did not set the output 'nothing'"
    assert "cannot turn a function" in shell.execute("def f(): pass", ("f",))["errorMessage"]
    assert shell.execute("", ("a",))["outputs"] == {"a": 1}


@pytest.mark.parametrize(
    "request_",
    [
        [],
        {"code": 5},
        {"inputParameters": {}},
        {"inputParameters": [{"value": 1}]},
        {"inputParameters": [{"name": "x", "value": [1, "a"]}]},
        {"inputParameters": [{"name": "", "value": 1}]},
        {"outputParameters": [{}]},
    ],
)
def test_an_execution_that_makes_no_sense_is_refused(shell: ShellClient, request_: Any) -> None:
    assert shell.operate("execute", body=request_)["status"] is Status.INVALID


def test_an_unknown_operation_is_refused_and_its_descriptor_closed(shell: ShellClient) -> None:
    before = shell.execute("import os\nn = len(os.listdir('/proc/self/fd'))", ("n",))["outputs"]
    for _ in range(3):
        assert shell.operate("explode", content=b"x")["status"] is Status.INVALID
    assert shell.execute("n = len(os.listdir('/proc/self/fd'))", ("n",))["outputs"] == before


def test_code_is_checked_without_being_run(shell: ShellClient) -> None:
    assert shell.operate("check", body={"code": "1/0", "initCode": "import nothing"})["status"] is Status.OK
    result = shell.operate("check", body={"code": "a = 1\nb = (", "initCode": ""})
    assert result["status"] is Status.INVALID
    assert result["message"].startswith("code, line 2: SyntaxError")
    result = shell.operate("check", body={"code": "", "initCode": "for"})
    assert result["message"].startswith("initCode, line 1")
    for code in ("(" * 5000, "-" * 100_000 + "1", "a\0b"):
        assert shell.operate("check", body={"code": code})["status"] is Status.INVALID


def test_objects_travel_as_dill(shell: ShellClient) -> None:
    model = {"w": [1, 2.5], "n": None}
    assert shell.operate("workspace_set", name="model", content=dill.dumps(model))["status"] is Status.OK
    shell.execute("model['seen'] = True\n__hidden__ = 1\nother = 2")
    assert shell.operate("workspace_list")["names"] == ["model", "other"]
    result = shell.operate("workspace_get", name="model", content=b"")
    assert dill.loads(result["written"]) == {**model, "seen": True}
    assert result["size"] == len(result["written"])
    assert shell.operate("workspace_delete", name="other")["status"] is Status.OK
    assert shell.operate("workspace_list")["names"] == ["model"]
    for operation in ("workspace_get", "workspace_delete"):
        result = shell.operate(operation, name="other", content=b"")
        assert result["status"] is Status.MISSING
        assert "'other'" in result["message"]


def test_a_function_that_was_sent_sees_the_sessions_objects(shell: ShellClient, tmp_path: Path) -> None:
    script = "import dill, sys\nk = 1\ndef f(x): return x + k\nsys.stdout.buffer.write(dill.dumps(f))"
    sent = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True).stdout
    assert shell.operate("workspace_set", name="f", content=sent)["status"] is Status.OK
    assert shell.execute("k = 10\ny = f(1)", ("y",))["outputs"] == {"y": 11}


class Raises:
    """Unpickling it does what it was made with."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no complete pickle"),
        (b"garbage", "no complete pickle"),
        (dill.dumps(list(range(1000)))[:-50], "Error"),
        (b"c__nothing_here__\nf\n.", "not installed"),
        (dill.dumps(Raises(int, "x")), "ValueError: invalid literal"),
        (dill.dumps(Raises(sys.exit, 3)), "SystemExit: 3"),
        (dill.dumps(Raises(exec, "raise KeyboardInterrupt")), "KeyboardInterrupt"),
        (dill.dumps(Raises(exec, "global f\ndef f(): f()\nf()")), "RecursionError"),
        (dill.dumps(Raises(bytearray, 1 << 60)), "MemoryError"),
        (b"\x80\x63.", "unsupported pickle protocol"),
    ],
    ids=range(10),
)
def test_an_object_that_cannot_be_loaded_is_named_with_the_reason(
    shell: ShellClient, content: bytes, reason: str
) -> None:
    shell.execute("kept = 1")
    result = shell.operate("workspace_set", name="bad", content=content)
    assert result["status"] is Status.INVALID
    assert "'bad'" in result["message"]
    assert reason in result["message"]
    assert shell.operate("workspace_list")["names"] == ["kept"]


@pytest.mark.parametrize("version", ["3.8", "3.10", "3.11", "3.12", "3.13"])
def test_functions_of_other_pythons_are_refused_not_run(shell: ShellClient, version: str) -> None:
    python = other_python(version)
    if version == f"3.{sys.version_info[1]}":
        pytest.skip("this is the same Python")
    script = "import sys\nsys.path.append(sys.argv[1])\nimport dill\ndef f(x): return len(x)\n"
    script += "sys.stdout.buffer.write(dill.dumps(f))"
    packages = str(Path(dill.__file__).parents[1])
    sent = subprocess.run([python, "-c", script, packages], stdout=subprocess.PIPE, check=False)
    if sent.returncode:
        pytest.skip("this dill does not run there")
    result = shell.operate("workspace_set", name="f", content=sent.stdout)
    assert result["status"] is Status.INVALID
    assert "another version of Python" in result["message"]


def test_what_cannot_be_serialized_is_named(shell: ShellClient) -> None:
    shell.execute("good = 1\nbad = (i for i in range(3))")
    result = shell.operate("workspace_get", name="bad", content=b"")
    assert result["status"] is Status.INVALID
    assert "'bad'" in result["message"]
    result = shell.operate("snapshot_save", content=b"")
    assert result["status"] is Status.INVALID
    assert "'bad'" in result["message"]
    assert "'good'" not in result["message"]


def test_files_come_and_go_by_name(shell: ShellClient) -> None:
    assert shell.operate("file_put", name="d/é.bin", content=b"\0\1")["status"] is Status.OK
    assert shell.execute("x = list(open('d/é.bin', 'rb').read())", ("x",))["outputs"] == {"x": [0, 1]}
    assert shell.operate("file_put", name="d/é.bin", content=b"\2")["status"] is Status.OK
    assert shell.operate("files_list")["files"] == ["d/é.bin"]
    result = shell.operate("file_get", name="d/é.bin", content=b"")
    assert (result["written"], result["size"]) == (b"\2", 1)
    assert shell.operate("file_delete", name="d/é.bin")["status"] is Status.OK
    assert shell.operate("files_list")["files"] == []
    for operation in ("file_get", "file_delete"):
        assert shell.operate(operation, name="d/é.bin", content=b"")["status"] is Status.MISSING


@pytest.mark.parametrize("operation", ["file_put", "file_get", "file_delete"])
@pytest.mark.parametrize(
    "name",
    ["", "../x", "/etc/passwd", "a/../b", "./a", "a//b", "a\0b", ".", "..", "a/", "x" * 2000],
    ids=range(11),
)
def test_names_that_are_not_plain_are_refused(shell: ShellClient, operation: str, name: str) -> None:
    assert shell.operate(operation, name=name, content=b"x")["status"] is Status.INVALID


def test_no_link_leads_out(shell: ShellClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    shell.execute(f"import os\nos.symlink('{secret}', 'link')\nos.symlink('{tmp_path}', 'way')")
    shell.execute("os.mkfifo('pipe')\nos.mkdir('dir')")
    for name in ("link", "way/secret", "pipe", "dir"):
        assert shell.operate("file_get", name=name, content=b"")["status"] is Status.MISSING
    for name in ("link", "way/secret", "way/new", "dir"):
        assert shell.operate("file_put", name=name, content=b"x")["status"] is not Status.OK
    assert shell.operate("file_delete", name="way/secret", content=b"")["status"] is Status.MISSING
    assert shell.operate("file_delete", name="link")["status"] is Status.OK
    assert secret.read_text() == "secret"
    assert shell.operate("files_list")["files"] == []


def test_a_snapshot_holds_objects_and_files_and_replaces_both(shell: ShellClient) -> None:
    shell.execute("import math, os\na = [1]\nb = a\ndef area(r): return math.pi * r")
    shell.execute("open('f.txt', 'w').write('one')\nos.mkdir('d')\nopen('d/g', 'w').write('two')")
    shell.execute("os.symlink('/etc/passwd', 'l')")
    saved = shell.operate("snapshot_save", content=b"")
    assert saved["size"] == len(saved["written"])
    with zipfile.ZipFile(io.BytesIO(saved["written"])) as archive:
        assert sorted(archive.namelist()) == [".dill", "d/", "d/g", "f.txt"]
    shell.execute("c = 1\na = 2\nopen('h.txt', 'w').close()")
    assert shell.operate("snapshot_load", content=saved["written"])["status"] is Status.OK
    assert shell.operate("workspace_list")["names"] == ["a", "area", "b", "math", "os"]
    assert shell.operate("files_list")["files"] == ["d/g", "f.txt"]
    result = shell.execute("a.append(area(1))\nhere = os.listdir('.')", ("b", "here"))
    assert result["outputs"]["b"] == [1, math.pi]
    assert sorted(result["outputs"]["here"]) == ["d", "f.txt"]


def test_a_snapshot_that_cannot_be_loaded_leaves_all_as_it_was(shell: ShellClient) -> None:
    shell.execute("a = 1\nopen('f.txt', 'w').close()")
    for content in (b"no zip", snapshot({".dill": b"no pickle", "x": b""}), snapshot({"../x": b""})):
        assert shell.operate("snapshot_load", content=content)["status"] is Status.INVALID
    result = shell.execute("import os\nhere = os.listdir('.')", ("a", "here"))
    assert result["outputs"] == {"a": 1, "here": "f.txt"}
    shell.execute("class K: pass\nk = K()")
    assert shell.operate("workspace_get", name="k", content=b"")["status"] is Status.OK


def test_a_dumped_session_is_a_workspace_too(shell: ShellClient, tmp_path: Path) -> None:
    script = f"import dill\nx = 41\ndef f(): return x + 1\ndill.dump_session({str(tmp_path / 's')!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
    content = snapshot({".dill": (tmp_path / "s").read_bytes()})
    assert shell.operate("snapshot_load", content=content)["status"] is Status.OK
    assert shell.execute("y = f()", ("x", "y"))["outputs"] == {"x": 41, "y": 42}


def test_cancel_ends_what_runs_and_the_session_goes_on(shell: ShellClient) -> None:
    code = b'{"code": "before = 1\\nprint(\'started\')\\nwhile True: pass"}'
    for _ in range(2):
        shell.send(Kind.OPERATION, code, meta=b'{"op": "execute"}')
        while "started" not in shell.console.read_text():
            os.sched_yield()
        shell.interrupt()
        result = answer(shell.receive())
        assert (result["status"], result["success"]) == (Status.FAILED, False)
        assert result["errorMessage"] == "execution was cancelled"
        assert result["consoleOutput"] == "started\n"
        assert shell.execute("", ("before",))["outputs"] == {"before": 1}


def test_cancel_outside_of_user_code_is_nothing(shell: ShellClient) -> None:
    for _ in range(20):
        shell.interrupt()
        assert shell.execute("a = 1", ("a",))["status"] in {Status.OK, Status.FAILED}
    assert shell.execute("a = 2", ("a",))["outputs"] == {"a": 2}


def test_code_that_takes_sigint_for_itself_loses_it_again(shell: ShellClient) -> None:
    shell.execute("import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)")
    shell.execute("pass")
    shell.interrupt()
    assert shell.execute("a = 1")["success"] in {True, False}
    assert shell.execute("a = 1")["success"]


def test_os_exit_in_a_pickle_ends_the_shell_alone(shell: ShellClient) -> None:
    with pytest.raises(EOFError):
        shell.operate("workspace_set", name="bad", content=dill.dumps(Raises(exec, "import os; os._exit(3)")))
    assert shell.process.wait(10) == 3
