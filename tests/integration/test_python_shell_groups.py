"""Calls of a row-wise service that wait are run as one, and each gets the answer it would have got alone."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.frames import Frame, Kind, Status
from tests.integration.shell_client import ShellClient, answer

CODE = "runs = len(x)\ny = [v * 2 for v in x]\nn = [runs] * runs"
ROWS: dict[str, Any] = {
    "inputs": {"x": "vector"},
    "outputs": {"y": "vector", "n": "vector"},
    "batchable": True,
}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellClient]:
    with ShellClient(tmp_path_factory.mktemp("shell"), preload=["numpy", "pandas"]) as client:
        yield client


def calls_at_once(
    shell: ShellClient, bodies: list[Any], handle: int = 1
) -> tuple[list[int], list[dict[str, Any]]]:
    """Sizes of the groups that were announced, and the answers in order.

    The shell is stopped while the calls are written, so that they all wait when it goes on.
    """
    first = shell._next + 1
    shell.process.send_signal(signal.SIGSTOP)
    raw = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
    shell.socket.sendall(b"".join(shell.pack(Kind.CALL, body, handle=handle) for body in raw))
    shell.process.send_signal(signal.SIGCONT)
    groups, replies = [], list[Frame]()
    while len(replies) < len(bodies):
        frame = shell.receive()
        if frame.kind == Kind.GROUP:
            groups.append(frame.id)
        else:
            replies.append(frame)
    assert [each.id for each in replies] == list(range(first, first + len(bodies)))
    return groups, [answer(each) for each in replies]


def outputs(answers: list[dict[str, Any]]) -> list[Any]:
    assert all(each["status"] is Status.OK for each in answers), answers
    return [each["outputParameters"] for each in answers]


def test_calls_that_wait_are_run_as_one_and_split_by_rows(shell: ShellClient) -> None:
    shell.load(code=CODE, **ROWS)
    groups, answers = calls_at_once(shell, [{"x": [1.5]}, {"x": [2, 3]}, {"x": 4}])
    assert groups == [3]
    assert outputs(answers) == [
        {"y": [3.0], "n": [4]},
        {"y": [4.0, 6.0], "n": [4, 4]},
        {"y": [8.0], "n": [4]},
    ]


def test_one_call_is_no_group(shell: ShellClient) -> None:
    shell.load(code=CODE, **ROWS)
    groups, answers = calls_at_once(shell, [{"x": [1]}])
    assert (groups, outputs(answers)) == ([], [{"y": [2], "n": [1]}])


@pytest.mark.parametrize(
    "changes",
    [
        {"batchable": False},
        {"inputs": {"x": "vector", "k": "numeric"}},
        {"outputs": {"y": "vector", "n": "vector", "k": "numeric"}},
        {"outputFiles": ["f"]},
    ],
    ids=["not batchable", "a scalar input", "a scalar output", "an output file"],
)
def test_services_that_are_not_row_wise_run_singly(shell: ShellClient, changes: dict[str, Any]) -> None:
    shell.load(code="k = 1\n" + CODE, **{**ROWS, **changes})
    body = {"x": [1], "k": 1} if "k" in changes.get("inputs", {}) else {"x": [1]}
    groups, answers = calls_at_once(shell, [body, body])
    assert groups == []
    assert [each["n"] for each in outputs(answers)] == [[1], [1]]


def test_frames_and_matrices_are_joined_by_rows(shell: ShellClient) -> None:
    array = {"name": "a", "type": "data.frame", "columns": ["p", "q"], "form": "array"}
    inputs = [{"name": "f", "type": "data.frame"}, {"name": "m", "type": "matrix"}, array]
    shell.load(
        code="assert len(f) == len(m) == len(a)\ng = f.assign(n=len(f))\nk = m * 2\nb = a",
        inputs=inputs,
        outputs={"g": "data.frame", "k": "matrix", "b": "matrix"},
        batchable=True,
    )
    one = {"f": {"u": [1], "v": ["x"]}, "m": [[1, 2]], "a": {"q": [0.5], "p": [1]}}
    two = {
        "f": {"u": [2.5, 3], "v": ["y", None]},
        "m": [[3, 4], [5, 6]],
        "a": {"q": [1.5, None], "p": [2, 3]},
    }
    groups, answers = calls_at_once(shell, [one, two, one])
    assert groups == [3]
    first, second, third = outputs(answers)
    assert first == third == {"g": {"u": [1.0], "v": ["x"], "n": [4]}, "k": [[2, 4]], "b": [[1.0, 0.5]]}
    assert second == {
        "g": {"u": [2.5, 3.0], "v": ["y", None], "n": [4, 4]},
        "k": [[6, 8], [10, 12]],
        "b": [[2.0, 1.5], [3.0, None]],
    }


def test_single_rows_of_arrays_are_joined_in_their_order(shell: ShellClient) -> None:
    array = {"name": "a", "type": "data.frame", "columns": ["p", "q"], "form": "array"}
    shell.load(code="b = a + len(a) * 0", inputs=[array], outputs={"b": "matrix"}, batchable=True)
    groups, answers = calls_at_once(shell, [{"a": {"q": [i], "p": [-i]}} for i in range(5)])
    assert groups == [5]
    assert [each["b"] for each in outputs(answers)] == [[[-i, i]] for i in range(5)]


@pytest.mark.parametrize(
    ("odd", "status"),
    [
        (b"{", Status.INVALID),
        ({"x": "text"}, Status.OK),
        ({"x": {"a": 1}}, Status.INVALID),
        ({}, Status.INVALID),
        ({"x": []}, Status.OK),
    ],
    ids=["no JSON", "another kind", "another type", "missing", "no rows"],
)
def test_a_call_that_does_not_fit_is_answered_in_its_turn(
    shell: ShellClient, odd: Any, status: Status
) -> None:
    shell.load(code=CODE, **ROWS)
    groups, answers = calls_at_once(shell, [{"x": [1]}, {"x": [2]}, odd, {"x": [3]}, {"x": [4]}])
    assert groups == [2, 2]
    assert answers[2]["status"] is status
    assert [each["y"] for each in outputs(answers[:2] + answers[3:])] == [[2], [4], [6], [8]]


@pytest.mark.parametrize(
    "trouble",
    [
        "if len(x) > 1: raise ValueError('grouped')",
        "if len(x) > 1: print('grouped')",
        "if len(x) > 1: open('grouped', 'w')",
        "if len(x) > 1: y = [1]",
        "if len(x) > 1: del y",
        "if len(x) > 1: raise SystemExit",
    ],
)
def test_a_group_that_does_not_go_well_is_run_singly(shell: ShellClient, trouble: str) -> None:
    shell.load(code=f"{CODE}\n{trouble}", **ROWS)
    groups, answers = calls_at_once(shell, [{"x": [1]}, {"x": [2]}, {"x": [3]}])
    assert groups == [3]
    assert outputs(answers) == [{"y": [2], "n": [1]}, {"y": [4], "n": [1]}, {"y": [6], "n": [1]}]
    assert {each["consoleOutput"] for each in answers} == {""}
    assert all(each["changedFiles"] == [] for each in answers)


def test_of_a_group_only_the_bad_call_fails(shell: ShellClient) -> None:
    shell.load(code="y = [1 // v for v in x.tolist()]\nn = y", **ROWS)
    _, answers = calls_at_once(shell, [{"x": [1]}, {"x": [0]}, {"x": [-1]}])
    assert [each["success"] for each in answers] == [True, False, True]
    assert "ZeroDivisionError" in answers[1]["errorMessage"]


def test_groups_are_bounded_in_calls_and_rows(shell: ShellClient) -> None:
    shell.load(code=CODE, **ROWS)
    groups, answers = calls_at_once(shell, [{"x": [i]} for i in range(600)])
    assert max(groups) == 256
    assert [each["y"] for each in outputs(answers)] == [[2 * i] for i in range(600)]
    groups, answers = calls_at_once(shell, [{"x": [0] * 4000}] * 5)
    assert groups == [2, 2]
    assert max(each["n"][0] for each in outputs(answers)) == 8000


def test_only_neighbours_of_the_same_service_are_joined(shell: ShellClient) -> None:
    shell.load(1, code=CODE, **ROWS)
    shell.load(2, code=CODE, **ROWS)
    shell.process.send_signal(signal.SIGSTOP)
    frames = [shell.pack(Kind.CALL, b'{"x":[1]}', handle=handle) for handle in (1, 1, 2, 1)]
    shell.socket.sendall(b"".join(frames))
    shell.process.send_signal(signal.SIGCONT)
    kinds = [shell.receive() for _ in range(5)]
    assert [each.kind for each in kinds] == [Kind.GROUP, *[Kind.REPLY] * 4]
    assert [answer(each)["outputParameters"]["n"] for each in kinds[1:]] == [[2], [2], [1], [1]]


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000) | st.none()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(numbers, max_size=4), min_size=1, max_size=8))
def test_a_group_answers_what_single_calls_do(shell: ShellClient, vectors: list[list[Any]]) -> None:
    for handle, batchable in ((5, True), (6, False)):
        inputs, outputs = {"x": "vector"}, {"y": "vector"}
        shell.load(handle, code="y = x", inputs=inputs, outputs=outputs, batchable=batchable)
    bodies = [{"x": vector} for vector in vectors]
    _, joined = calls_at_once(shell, bodies, 5)
    assert joined == calls_at_once(shell, bodies, 6)[1]
