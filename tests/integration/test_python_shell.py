"""A real Python shell scores: what code gets and gives, how failures are told, that calls leave no traces."""

import base64
import functools
import json
import math
import operator
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dill
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.frames import TIMES, Kind, Status
from tests.integration.shell_client import ShellClient, answer, snapshot


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellClient]:
    with ShellClient(tmp_path_factory.mktemp("shell"), preload=["numpy", "pandas"]) as client:
        yield client


def test_a_shell_says_what_it_is(shell: ShellClient) -> None:
    assert shell.about["language"].startswith("Python 3.")
    assert set(shell.about["packages"]) == {"numpy", "pandas"}
    assert shell.about["pid"] == shell.process.pid
    assert shell.about["child_pid"] is None


def test_an_answer_has_all_its_parts(shell: ShellClient) -> None:
    shell.load(code="pred = x * 2", inputs={"x": "numeric"}, outputs={"pred": "numeric"})
    shell.send(Kind.CALL, b' {"x": 21}\r\n\t ', handle=1)
    frame = shell.receive()
    assert frame.body == (
        b'{"success":true,"errorMessage":"","outputParameters":{"pred":42.0},'
        b'"outputFiles":{},"consoleOutput":"","changedFiles":[]}'
    )
    load, decode, run, encode = TIMES.unpack(frame.meta)
    assert load == 0
    assert all(0 <= each < 50_000_000 for each in (decode, run, encode))


@pytest.mark.parametrize(
    ("type_", "value", "expression", "expected"),
    [
        ("logical", True, "type(x).__name__", "bool"),
        ("integer", 3, "type(x).__name__", "int"),
        ("numeric", 3, "type(x).__name__", "float"),
        ("character", "é😀", "x + str(len(x))", "é😀2"),
        ("character", None, "str(x)", "None"),
        ("vector", [1, 2], "f'{type(x).__name__} {x.dtype} {x.shape}'", "ndarray int64 (2,)"),
        ("vector", [1, None], "f'{x.dtype} {x}'", "float64 [ 1. nan]"),
        ("vector", ["a", "b"], "f'{x.dtype} {x}'", "<U1 ['a' 'b']"),
        ("vector", ["a", None], "f'{x.dtype} {x}'", "object ['a' None]"),
        ("vector", [True, False], "f'{x.dtype}'", "bool"),
        ("vector", [None], "f'{x.dtype} {x}'", "float64 [nan]"),
        ("vector", 7, "f'{x.shape}'", "(1,)"),
        ("matrix", [[1, 2, 3], [4, 5, 6]], "f'{type(x).__name__} {x.shape}{x[1]}'", "ndarray (2, 3)[4 5 6]"),
        ("data.frame", {"b": [1], "a": ["x"]}, "type(x).__name__ + str(list(x))", "DataFrame['b', 'a']"),
        ("data.frame", [{"a": 1}, {"a": 2.5}], "f'{x.a.dtype} {x.a.sum()}'", "float64 3.5"),
        ("data.frame", {"a": [1], "b": [2.5]}, "f'{x.a.dtype} {x.b.dtype}'", "int64 float64"),
        ("data.frame", {"a": [1.5], "b": [.5]}, "f'{x.b.dtype} {x.index.tolist()}'", "float64 [0]"),
        ("data.frame", {"a": [True, None], "b": [None, None]}, "f'{x.a.dtype}{x.b.dtype}'", "objectfloat64"),
        ("data.frame", {}, "f'{x.shape}'", "(0, 0)"),
        ("data.frame", {"a": []}, "f'{x.shape}'", "(0, 1)"),
    ],
)  # fmt: skip
def test_code_gets_the_value_of_its_type(
    shell: ShellClient, type_: str, value: Any, expression: str, expected: str
) -> None:
    shell.load(code=f"y = {expression}", inputs={"x": type_}, outputs={"y": "character"})
    assert shell.score(x=value) == {"y": expected}


def test_an_array_comes_in_the_declared_order(shell: ShellClient) -> None:
    definition = {"name": "x", "type": "data.frame", "columns": ["a", "b"], "form": "array"}
    shell.load(code="x[:, 0] += 0\ny = x", inputs=[definition], outputs={"y": "matrix"})
    assert shell.score(x={"b": [1, 2, 3], "a": [4, None, 6]}) == {"y": [[4.0, 1.0], [None, 2.0], [6.0, 3.0]]}
    assert shell.score(x={"b": [], "a": []}) == {"y": []}


@pytest.mark.parametrize(
    ("type_", "code", "expected"),
    [
        ("logical", "y = np.bool_(True)", True),
        ("integer", "y = np.int32(5)", 5),
        ("integer", "y = 5.0", 5),
        ("integer", "y = float('nan')", None),
        ("numeric", "y = np.float32(0.5)", 0.5),
        ("numeric", "y = np.array([[2.5]])", 2.5),
        ("numeric", "y = pd.Series([2.5])", 2.5),
        ("numeric", "y = float('inf')", None),
        ("numeric", "import decimal; y = decimal.Decimal('0.1')", 0.1),
        ("character", "y = np.str_('é')", "é"),
        ("character", "y = None", None),
        ("character", "import datetime; y = datetime.date(2026, 1, 2)", "2026-01-02"),
        ("vector", "y = np.arange(3)", [0, 1, 2]),
        ("vector", "y = np.array([1, 2], dtype=np.longdouble)", [1.0, 2.0]),
        ("vector", "y = np.array([0.5, np.nan, -np.inf])", [0.5, None, None]),
        ("vector", "y = np.array([[1], [2]])", [1, 2]),
        ("vector", "y = np.matrix([[1, 2]])", [1, 2]),
        ("vector", "y = pd.Series([1, None], dtype='Int64')", [1, None]),
        ("vector", "y = pd.Series(['a', None], dtype='string')", ["a", None]),
        ("vector", "y = pd.Categorical(['b', 'a', None])", ["b", "a", None]),
        ("vector", "y = pd.Series(['b', 'a'], dtype='category')", ["b", "a"]),
        ("vector", "y = pd.Series([True, None], dtype='boolean')", [True, None]),
        ("vector", "y = pd.Index([3, 4])", [3, 4]),
        ("vector", "y = pd.to_datetime(['2026-01-02', None])", ["2026-01-02T00:00:00", None]),
        ("vector", "y = pd.to_datetime(['2026-01-02T01:00:00+01:00'])", ["2026-01-02T00:00:00Z"]),
        ("vector", "y = np.array(['2026-01-02'], dtype='datetime64[D]')", ["2026-01-02"]),
        ("vector", "y = pd.to_timedelta(['90s', None])", [90.0, None]),
        ("vector", "y = [np.float64(1), 2, None, pd.NA, 'x']", [1.0, 2, None, None, "x"]),
        ("vector", "y = (1, 2)", [1, 2]),
        ("vector", "y = range(3)", [0, 1, 2]),
        ("vector", "y = 'abc'", ["abc"]),
        ("vector", "y = 5", [5]),
        ("vector", "y = np.array([])", []),
        ("vector", "y = np.ma.array([1, 2], mask=[0, 1])", [1, None]),
        ("matrix", "y = np.matrix([[1, 2], [3, 4]])", [[1, 2], [3, 4]]),
        ("matrix", "y = pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})", [[1, "x"], [2, "y"]]),
        ("matrix", "y = [[1, 2], (3, np.float64(4))]", [[1, 2], [3, 4.0]]),
        ("matrix", "import scipy.sparse as s; y = s.eye(2)", [[1.0, 0.0], [0.0, 1.0]]),
        ("data.frame", "y = pd.DataFrame({'b': [1], 'a': ['x']}, index=['r'])", {"b": [1], "a": ["x"]}),
        ("data.frame", "y = {'b': np.arange(2), 'a': [None, 'x']}", {"b": [0, 1], "a": [None, "x"]}),
        ("data.frame", "y = [{'a': 1}, {'a': 2, 'b': 3}]", {"a": [1, 2], "b": [None, 3]}),
        ("data.frame", "y = pd.Series([1, 2], name='s')", {"s": [1, 2]}),
        ("data.frame", "y = np.array([(1, 2.5)], dtype=[('a', int), ('b', float)])", {"a": [1], "b": [2.5]}),
        ("data.frame", "y = pd.DataFrame({0: [1]})", {"0": [1]}),
    ],
)  # fmt: skip
def test_what_code_makes_leaves_as_its_type(shell: ShellClient, type_: str, code: str, expected: Any) -> None:
    shell.load(code=code, initCode="import numpy as np, pandas as pd", outputs={"y": type_})
    assert shell.score() == {"y": expected}


@pytest.mark.parametrize(
    ("type_", "code", "reason"),
    [
        ("numeric", "y = 'abc'", "output 'y' is declared numeric; the code made a str: 'abc'"),
        ("numeric", "y = [1, 2]", "is declared a scalar; the code made 2 values"),
        ("integer", "y = 5.5", "is declared integer; the code made a float: 5.5"),
        ("logical", "y = 2", "is declared logical"),
        ("vector", "y = np.zeros((2, 2))", "the code made an array of 2 x 2"),
        ("vector", "y = {'a': 1}", "cannot turn a dict into JSON"),
        ("vector", "y = [b'bytes']", "cannot turn a bytes into JSON"),
        ("vector", "y = np.array([1j])", "cannot turn a numpy.complex128 into JSON"),
        ("vector", "y = object()", "cannot turn a object into JSON"),
        ("matrix", "y = np.zeros(3)", "an array of 1 dimensions"),
        ("matrix", "y = [[1], [1, 2]]", "rows are not equally long"),
        ("matrix", "y = 5", "is declared matrix"),
        ("data.frame", "y = np.zeros((2, 2))", "A pandas.DataFrame or a dict"),
        ("data.frame", "y = {'a': [1], 'b': [1, 2]}", "not equally long: 'a' 1, 'b' 2"),
        ("data.frame", "y = pd.DataFrame([[1, 2]], columns=['a', 'a'])", "two columns called 'a'"),
        ("data.frame", "y = pd.DataFrame({'a': [1j]})", "output 'y', column 'a': cannot turn a"),
        ("numeric", "z = 1", "the code did not set the output 'y'"),
    ],
)
def test_an_output_of_another_kind_is_a_failure_that_names_it(
    shell: ShellClient, type_: str, code: str, reason: str
) -> None:
    shell.load(code=code, initCode="import numpy as np, pandas as pd", outputs={"y": type_})
    result = shell.call()
    assert (result["status"], result["success"]) == (Status.FAILED, False)
    assert reason in result["errorMessage"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_doubles_survive_bit_for_bit(shell: ShellClient, values: list[float]) -> None:
    if 90 not in _LOADED:
        _LOADED.add(90)
        frame = {"name": "f", "type": "data.frame"}
        array = {"name": "a", "type": "data.frame", "columns": ["c"], "form": "array"}
        shell.load(
            90,
            code="v2, f2, a2 = v, f, a.ravel()",
            inputs=[{"name": "v", "type": "vector"}, frame, array],
            outputs={"v2": "vector", "f2": "data.frame", "a2": "vector"},
        )
    outputs = shell.score(90, v=values, f={"c": values}, a={"c": values})
    bits = struct.pack(f"{len(values)}d", *values)
    for returned in (outputs["v2"], outputs["f2"]["c"], outputs["a2"]):
        assert struct.pack(f"{len(values)}d", *returned) == bits


_LOADED: set[int] = set()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"x": NaN}',
        b'{"x": Infinity}',
        b'{"x": 1e999}',
        b'{"x": "\\ud800"}',
        b'{"x": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"x": 1} trailing',
        b"[" * 200_000,
        b'{"x":' * 100_000,
        b"null",
        b'{"x": "text"}',
        b"\x00",
    ],
    ids=range(14),
)
def test_a_body_that_cannot_be_read_is_refused_and_the_next_call_is_served(
    shell: ShellClient, body: bytes
) -> None:
    shell.load(code="y = x", inputs={"x": "numeric"}, outputs={"y": "numeric"})
    result = shell.call(body=body)
    assert result["status"] is Status.INVALID
    assert result["message"]
    assert result["exceptionType"] == "InvalidInput"
    assert shell.score(x=1.5) == {"y": 1.5}


def test_a_failure_shows_the_users_lines_only(shell: ShellClient) -> None:
    code = "import json\ndef read(text):\n    return json.loads(text)\ny = read('{')"
    shell.load(code=code, name="reader", version="2.0", outputs={"y": "numeric"})
    message = shell.call()["errorMessage"]
    assert message.startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert "File \"<reader 2.0>\", line 4, in <module>\n    y = read('{')" in message
    assert 'File "<reader 2.0>", line 3, in read\n    return json.loads(text)' in message
    assert "decoder.py" not in message
    assert "gristmill" not in message


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit()", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise MemoryError('too much')", "MemoryError: too much"),
        ("def f(): f()\nf()", "RecursionError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "E"),
        (
            "try:\n    1 / 0\nexcept Exception as e:\n    raise ValueError('no') from e",
            "Caused by: ZeroDivisionError",
        ),
        ("x = [0] * (10 ** 18)", "MemoryError"),
        ("undefined", "NameError: name 'undefined' is not defined"),
    ],
)
def test_whatever_user_code_raises_is_a_failure_of_the_call(
    shell: ShellClient, code: str, reason: str
) -> None:
    shell.load(code=code)
    result = shell.call()
    assert result["status"] is Status.FAILED
    assert reason in result["errorMessage"]
    assert shell.call()["status"] is Status.FAILED


def test_code_that_does_not_parse_fails_each_call_with_the_reason(shell: ShellClient) -> None:
    frame = shell.load(7, code="x = 1\ny = = 2")
    assert frame.status == Status.FAILED
    assert "line 2" in answer(frame)["errorMessage"]
    result = shell.call(7)
    assert (result["status"], result["success"]) == (Status.FAILED, False)
    assert "SyntaxError" in result["errorMessage"]


def test_init_code_that_fails_fails_each_call_with_its_traceback(shell: ShellClient) -> None:
    shell.load(7, code="y = 1", initCode="a = 1\nb = a / 0")
    message = shell.call(7)["errorMessage"]
    assert "ZeroDivisionError" in message
    assert 'File "<svc 1.0.0 init>", line 2' in message


def test_an_unknown_handle_is_a_shells_error(shell: ShellClient) -> None:
    assert shell.call(4711)["status"] is Status.BROKEN
    shell.load(7)
    shell.send(Kind.UNLOAD, b"", handle=7)
    assert shell.call(7)["status"] is Status.BROKEN


def test_snapshot_and_init_objects_are_there_and_every_call_starts_from_them(shell: ShellClient) -> None:
    content = snapshot({".dill": dill.dumps({"offset": 10, "twice": functools.partial(operator.mul, 2)})})
    shell.load(
        content=content,
        initCode="count = 0\ndef bump():\n    global count\n    count += 1\n    return count",
        code="left = 'leak' in globals()\nleak = 1\noffset += 1\n"
        "y = [twice(x) + offset, bump(), bump(), left]",
        inputs={"x": "numeric"},
        outputs={"y": "vector"},
    )
    for _ in range(3):
        assert shell.score(x=1) == {"y": [13.0, 1, 2, False]}


def test_what_loading_prints_is_in_no_calls_console(shell: ShellClient) -> None:
    shell.load(code="print('called')", initCode="print('a longer line: loading')", outputs={})
    for _ in range(2):
        assert shell.call()["consoleOutput"] == "called\n"


def test_functions_of_a_snapshot_see_the_objects_of_their_snapshot(shell: ShellClient) -> None:
    with ShellClient.session(shell.scratch) as session:
        session.execute("base = 40\nclass Model:\n    def predict(self, x):\n        return helper(x)\n"
                        "def helper(x):\n    return base + x\nmodel = Model()")  # fmt: skip
        content = session.operate("snapshot_save", content=b"")["written"]
    shell.load(
        content=content, code="y = model.predict(x)", inputs={"x": "numeric"}, outputs={"y": "numeric"}
    )
    shell.load(2, initCode="base = 0", code="y = base", outputs={"y": "numeric"})
    assert shell.score(x=2) == {"y": 42.0}
    assert shell.score(2) == {"y": 0}
    assert shell.score(x=2) == {"y": 42.0}


def test_what_is_printed_is_the_calls_own(shell: ShellClient) -> None:
    code = (
        "import os, sys, subprocess\nprint('out', x)\nsys.stderr.write('err\\n')\nos.write(1, b'raw\\n')\n"
        "subprocess.run(['echo', 'child'])\n"
    )
    shell.load(code=code, inputs={"x": "numeric"})
    assert shell.call(x=1)["consoleOutput"] == "out 1.0\nerr\nraw\nchild\n"
    assert shell.call(x=2)["consoleOutput"] == "out 2.0\nerr\nraw\nchild\n"
    shell.load(2)
    assert shell.call(2)["consoleOutput"] == ""


def test_too_much_console_output_is_cut_with_a_note(shell: ShellClient) -> None:
    shell.load(code="print('x' * 50_000)")
    output = shell.call()["consoleOutput"]
    assert output.startswith("x" * 10_000 + "\n[console output cut here: 10000 of 50001 bytes")
    assert len(output) < 10_200


def test_standard_streams_that_code_closed_or_replaced_come_back(shell: ShellClient) -> None:
    shell.load(code="import sys\nsys.stdout.close()")
    shell.load(2, code="import sys, io\nsys.stdout = io.StringIO()\nprint('lost')")
    shell.load(3, code="print('here')")
    assert shell.call()["success"]
    assert shell.call(2)["consoleOutput"] == ""
    assert shell.call(3)["consoleOutput"] == "here\n"


def test_a_failure_keeps_console_and_changed_files(shell: ShellClient) -> None:
    shell.load(code="print('before')\nopen('f', 'w').close()\n1 / 0")
    result = shell.call()
    assert (result["consoleOutput"], result["changedFiles"]) == ("before\n", ["f"])


def test_an_answer_over_the_limit_is_refused(tmp_path: Path) -> None:
    with ShellClient(tmp_path, output_limit=10_000) as shell:
        shell.load(code="y = 'x' * n", inputs={"n": "integer"}, outputs={"y": "character"})
        assert len(shell.score(n=9000)["y"]) == 9000
        result = shell.call(n=10_000)
        assert result["status"] is Status.TOO_LARGE
        assert "10000 are allowed" in result["message"]
        shell.load(2, code="open('f', 'wb').truncate(1 << 40)", outputFiles=["f"])
        assert shell.call(2)["status"] is Status.TOO_LARGE
        assert shell.score(n=1) == {"y": "x"}


def test_declared_files_come_as_base64_and_unwritten_ones_as_null(shell: ShellClient) -> None:
    code = (
        "import os\nos.makedirs('d')\nopen('d/a.bin', 'wb').write(bytes(range(256)))\nopen('other', 'w')\n"
        "os.symlink('/etc/passwd', 'link')\nos.mkfifo('pipe')"
    )
    shell.load(code=code, outputFiles=["d/a.bin", "missing", "link", "pipe", "../x", "d"])
    result = shell.call()
    assert base64.b64decode(result["outputFiles"].pop("d/a.bin")) == bytes(range(256))
    assert result["outputFiles"] == {"missing": None, "link": None, "pipe": None, "../x": None, "d": None}
    assert result["changedFiles"] == ["d/a.bin", "link", "other", "pipe"]


def test_every_call_finds_exactly_the_snapshots_files(shell: ShellClient) -> None:
    content = snapshot({"data.csv": b"a,b", "deep/er/x.txt": b"x", "empty/": b""})
    listing = "sorted(os.path.join(p, f)[2:] for p, _, fs in os.walk('.') for f in fs)"
    code = (
        f"before = {listing} + [open('data.csv').read(), os.path.isdir('empty')]\n"
        "exec(what)\n"
    )  # fmt: skip
    shell.load(content=content, initCode="import os, shutil\nopen('init.txt', 'w').write('1')", code=code,
               inputs={"what": "character"}, outputs={"before": "vector"})  # fmt: skip
    expected = {"before": ["data.csv", "deep/er/x.txt", "a,b", True]}
    for what, changed in [
        ("", []),
        ("open('data.csv', 'w').write('c,d')", ["data.csv"]),
        ("os.remove('data.csv'); os.mkdir('data.csv'); open('data.csv/f', 'w')", ["data.csv/f"]),
        ("shutil.rmtree('deep')", []),
        ("os.rmdir('empty'); open('empty', 'w')", ["empty"]),
        ("os.symlink('/', 'root')", ["root"]),
        ("os.makedirs('n/e/w'); open('n/e/w/f', 'w'); os.chmod('n/e', 0)", []),
        ("os.chmod('deep', 0)", []),
        ("os.chdir('/')", []),
        ("home = os.getcwd(); os.chdir('/'); shutil.rmtree(home)", []),
        ("os.rename('data.csv', 'moved.csv')", ["moved.csv"]),
    ]:  # fmt: skip
        result = shell.call(what=what)
        assert result["success"], result
        assert (result["outputParameters"], result["changedFiles"]) == (expected, changed), what
    assert shell.score(what="") == expected


def test_modules_of_a_snapshot_are_its_own(shell: ShellClient) -> None:
    for handle, value in ((1, "one"), (2, "two")):
        content = snapshot({"helper.py": f"value = {value!r}".encode()})
        shell.load(
            handle, content=content, code="import helper\ny = helper.value", outputs={"y": "character"}
        )
    for _ in range(2):
        assert shell.score(1) == {"y": "one"}
        assert shell.score(2) == {"y": "two"}
    assert shell.call(1)["changedFiles"] == []


def test_calls_behind_a_load_wait_for_it(shell: ShellClient) -> None:
    spec: dict[str, Any] = {
        "name": "late",
        "version": "1",
        "code": "y = x + 1",
        "initCode": "import time; time.sleep(0.05)",
    }
    spec |= {"inputs": [{"name": "x", "type": "integer"}], "outputs": [{"name": "y", "type": "integer"}]}
    frames = shell.pack(Kind.LOAD, json.dumps(spec).encode(), handle=8)
    frames += b"".join(shell.pack(Kind.CALL, b'{"x": %d}' % i, handle=8) for i in range(20))
    shell.socket.sendall(frames)
    assert shell.receive().body == b""
    replies = [shell.receive() for _ in range(20)]
    assert [answer(each)["outputParameters"]["y"] for each in replies] == list(range(1, 21))
    assert [each.id for each in replies] == sorted(each.id for each in replies)


def test_large_bodies_pass_in_both_directions(shell: ShellClient) -> None:
    shell.load(code="y = x", inputs={"x": "vector"}, outputs={"y": "vector"})
    values = [math.sqrt(i) for i in range(400_000)]
    assert shell.score(x=values) == {"y": values}


def test_services_used_longest_ago_are_dropped_and_come_back(tmp_path: Path) -> None:
    with ShellClient(tmp_path, max_services=2) as shell:
        for handle in range(1, 5):
            content = snapshot({".dill": dill.dumps({"k": handle}), "f": b"%d" % handle})
            init = "print('init')\nimport builtins\nbuiltins.loads = getattr(builtins, 'loads', 0) + 1"
            code = "y = [k, int(open('f').read()), loads]"
            shell.load(handle, content=content, initCode=init, code=code, outputs={"y": "vector"})
        assert shell.score(4) == {"y": [4, 4, 4]}
        assert shell.score(1) == {"y": [1, 1, 5]}
        assert shell.score(4) == {"y": [4, 4, 5]}
        assert shell.score(3) == {"y": [3, 3, 6]}


def test_a_forked_copy_of_the_shell_says_nothing(shell: ShellClient) -> None:
    shell.load(
        code="import os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\ny = 1", outputs={"y": "integer"}
    )
    assert shell.score() == {"y": 1}
    assert shell.score() == {"y": 1}


def test_a_shell_ends_when_the_server_hangs_up_whatever_threads_run(tmp_path: Path) -> None:
    with ShellClient(tmp_path) as shell:
        shell.load(code="import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()")
        assert shell.call()["success"]
        shell.socket.close()
        assert shell.process.wait(10) == 0


def test_an_unknown_frame_is_answered_as_broken(shell: ShellClient) -> None:
    shell.send(Kind.READY, b"")
    assert answer(shell.receive())["status"] is Status.BROKEN
