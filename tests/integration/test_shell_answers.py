"""A shell answers every request once, by its id, whatever the code in it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gristmill.frames import Frame, Kind, Status
from tests.integration.shell_client import ShellClient, answer

_OUTPUT = {"y": "numeric"}
_WRITING_COPY = """
import os
if not os.fork():
    for n in range(3, 9):
        try:
            os.write(n, bytes(64))
        except OSError:
            pass
else:
    y = os.wait()[0] and 1
"""
#: Code after which the shell goes on, and whether its call succeeds.
_SURVIVED: dict[str, tuple[str, bool]] = {
    "a copy that returns": ("import os\ny = 1 if os.fork() else 2", True),
    "a copy that raises": ("import os\nif not os.fork(): raise ValueError\ny = 1", True),
    "a copy that exits": ("import os, sys\nif not os.fork(): sys.exit(4)\ny = 1", True),
    "a copy made by a thread": (
        "import os, threading\nt = threading.Thread(target=os.fork)\nt.start()\nt.join()\ny = 1",
        True,
    ),
    "a copy that writes where the sockets were": (
        _WRITING_COPY,
        True,
    ),
    "exit": ("import sys\nsys.exit(3)", False),
    "interrupt": ("raise KeyboardInterrupt", False),
    "generator exit": ("raise GeneratorExit", False),
    "end of file": ("raise EOFError", False),
    "broken pipe": ("raise BrokenPipeError", False),
    "an error without a text": (
        "class Odd(Exception):\n  def __str__(self): raise SystemExit\nraise Odd",
        False,
    ),
    "an error that is no exception": ("class Odd(BaseException): pass\nraise Odd", False),
    "endless depth": ("f = lambda x: f(x)\nf(1)", False),
    "no memory": ("y = bytearray(1 << 62)", False),
    "a huge integer": ("y = 10 ** 5000", False),
    "a closed console": ("import os\nos.close(1)\nos.close(2)\ny = 1", True),
    "a console turned elsewhere": (
        "import os\nn = os.open('/dev/null', os.O_WRONLY)\nos.dup2(n, 1)\nos.dup2(n, 2)\nprint(1)\ny = 1",
        True,
    ),
    "closed streams": ("import sys\nsys.stdout.close()\nsys.stderr.close()\ny = 1", True),
    "no directory": ("import os, shutil\nshutil.rmtree(os.getcwd())\ny = 1", True),
    "a closed directory": ("import os\nos.mkdir('d')\nos.chmod('d', 0)\nos.chmod('.', 0)\ny = 1", True),
    "no depth": ("import sys\nsys.setrecursionlimit(60)\ny = 1", True),
    "a destructor that exits": ("class D:\n  def __del__(self): raise SystemExit\nd = D()\ny = 1", True),
    "a destructor that forks": (
        "import os\nclass D:\n  def __del__(self): os.fork()\nd = D()\nd.d = d\ny = 1",
        True,
    ),
    "a name that is no UTF-8": ("open(b'\\xff', 'w').close()\ny = 1", True),
}


@pytest.mark.parametrize("what", _SURVIVED)
def test_code_that_goes_far_has_one_answer_and_the_next_call_its_own(tmp_path: Path, what: str) -> None:
    code, succeeds = _SURVIVED[what]
    with ShellClient.session(tmp_path) as shell:
        shell.load(1, code="print('here')\ny = 7", outputs=_OUTPUT)
        shell.load(2, code=code, outputs=_OUTPUT)
        first = shell.send(Kind.CALL, b"{}", handle=2)
        second = shell.send(Kind.CALL, b"{}", handle=1)
        replies = [shell.receive(), shell.receive()]
        assert [each.id for each in replies] == [first, second]
        odd, plain = map(answer, replies)
        assert odd["status"] is (Status.OK if succeeds else Status.FAILED), odd
        assert odd["outputParameters"] == ({"y": 1} if succeeds else {})
        assert plain["outputParameters"] == {"y": 7}
        assert plain["consoleOutput"] == "here\n"
        assert shell.score(1) == {"y": 7}  # and no reply too many came before this one


_STRANGE: dict[str, str] = {
    "half of a surrogate pair": "y = '\\ud800'",
    "keys of all kinds": "y = {1.5: 1, None: 2, (1, 2): 3}",
    "a list in itself": "y = []\ny.append(y)",
    "a dictionary in itself": "y = {}\ny['y'] = y",
    "a great depth": "y = []\nfor _ in range(100000): y = [y]",
    "integers of any size": "y = [2 ** 64, -2 ** 200]",
    "an integer with too many digits": "y = {'a': [10 ** 5000]}",
    "numbers that are none": "y = [float('inf'), float('nan')]",
    "an object that lies": "class L(list):\n  def __len__(self): return 7\ny = {'a': L([1, 2])}",
    "an object that raises": "class R(list):\n  def __iter__(self): raise SystemExit\ny = {'a': R([1])}",
    "bytes": "y = b'x'",
    "an endless mapping": "class M(dict):\n  def items(self): raise EOFError\ny = M(a=1)",
}


@pytest.mark.parametrize("type_", ["vector", "matrix", "data.frame", "character", "numeric", "integer"])
def test_outputs_that_cannot_be_written_fail_their_call(tmp_path: Path, type_: str) -> None:
    with ShellClient.session(tmp_path) as shell:
        shell.load(1, code="y = 7", outputs=_OUTPUT)
        for handle, code in enumerate(_STRANGE.values(), 2):
            shell.load(handle, code=code, outputs={"y": type_})
            assert shell.call(handle)["status"] in {Status.OK, Status.FAILED}, code
            assert shell.score(1) == {"y": 7}


@pytest.mark.parametrize("what", _STRANGE)
def test_outputs_of_a_session_that_cannot_be_written_leave_it_alive(tmp_path: Path, what: str) -> None:
    with ShellClient.session(tmp_path) as session:
        assert session.execute(_STRANGE[what], ("y",))["status"] in {Status.OK, Status.FAILED}
        assert session.execute("z = 1", ("z",))["outputs"] == {"z": 1}


_ENDED = {
    "exit": "import os\nos._exit(3)",
    "kill": "import os\nos.kill(os.getpid(), 9)",
    "abort": "import os\nos.abort()",
    "segmentation fault": "import ctypes\nctypes.string_at(0)",
    "another program": "import os\nos.execv('/bin/sleep', ['sleep', '20'])",
    "closed sockets": "import os\nos.closerange(3, 5)",
    "all descriptors closed": "import os\nos.closerange(0, 200)",
}


@pytest.mark.parametrize("what", _ENDED)
def test_code_that_ends_its_process_has_no_answer_and_closes_the_sockets_at_once(
    tmp_path: Path, what: str
) -> None:
    with ShellClient.session(tmp_path) as shell:
        shell.load(1, code=_ENDED[what], outputs=_OUTPUT)
        shell.send(Kind.CALL, b"{}", handle=1)
        with pytest.raises((EOFError, ConnectionError)):
            shell.receive()
        shell.process.kill()


def test_calls_of_a_group_that_fails_are_answered_one_by_one_in_their_order(tmp_path: Path) -> None:
    code = "y = [v * 2 for v in x]\nif any(v < 0 for v in x): y = 10 ** 5000"
    with ShellClient.session(tmp_path) as shell:
        shell.load(1, code=code, inputs={"x": "vector"}, outputs={"y": "vector"}, batchable=True)
        bodies: list[Any] = [{"x": [1]}, {"x": [2]}, {"x": [-1]}, {"z": 1}, {"x": [3]}]
        frames = [shell.pack(Kind.CALL, json.dumps(each).encode(), handle=1) for each in bodies]
        shell.socket.sendall(b"".join(frames))
        replies: list[Frame] = []
        while len(replies) < len(bodies):
            frame = shell.receive()
            if frame.kind == Kind.REPLY:
                replies.append(frame)
        ids = [each.id for each in replies]
        assert ids == list(range(ids[0], ids[0] + len(bodies)))
        expected = [Status.OK, Status.OK, Status.FAILED, Status.INVALID, Status.OK]
        assert [each.status for each in replies] == expected


def test_an_unload_has_no_reply_even_of_a_service_that_is_not_there(tmp_path: Path) -> None:
    with ShellClient.session(tmp_path) as shell:
        shell.send(Kind.UNLOAD, b"", handle=9)
        shell.load(1, code="y = 7", outputs=_OUTPUT)
        shell.send(Kind.UNLOAD, b"", handle=1)
        shell.send(Kind.UNLOAD, b"", handle=1)
        assert shell.load(2, code="y = 8", outputs=_OUTPUT).status == Status.OK
        assert shell.score(2) == {"y": 8}
