"""Whole numbers of any size reach code as they were sent, or the call is refused and the place named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.frames import Status
from tests.integration.shell_client import ShellClient

_EDGES = [2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**60, 2**63 - 1, 2**63, 2**64, 2**64 + 1, 10**30, 10**400]
_whole = st.sampled_from([sign * each for each in _EDGES for sign in (1, -1)]) | st.integers()
_cells = st.lists(_whole | st.none() | st.just(0.5), min_size=1, max_size=4)
#: Where in a call a list of numbers goes, by the type of the input; the last two are Python's.
_FRAME = {"name": "x", "type": "data.frame", "columns": ["a", "b"]}
_INPUTS: dict[str, dict[str, Any]] = {
    "vector": {"name": "x", "type": "vector"},
    "matrix": {"name": "x", "type": "matrix"},
    "frame": _FRAME,
    "array": {**_FRAME, "form": "array"},
    "numeric": {"name": "x", "type": "numeric"},
    "integer": {"name": "x", "type": "integer"},
}


@pytest.fixture(scope="module", params=["Python", "R"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellClient]:
    with ShellClient.session(tmp_path_factory.mktemp("shell"), runtime=request.param) as made:
        for handle, (kind, definition) in enumerate(_INPUTS.items(), 1):
            type_ = definition["type"] if kind != "array" or request.param == "R" else "matrix"
            made.load(handle, code="y = x", inputs=[definition], outputs=[{"name": "y", "type": type_}])
        yield made


def _sent(kind: str, cells: list[Any]) -> Any:
    if kind == "matrix":
        return [[each, 1] for each in cells]
    if kind in {"frame", "array"}:
        return {"a": [1] * len(cells), "b": cells}
    return cells if kind == "vector" else cells[0]


def _came(kind: str, y: Any) -> list[Any]:
    if isinstance(y, dict):
        return list(y["b"])
    if kind == "matrix":
        return [row[0] for row in y]
    if kind == "array":
        return [row[1] for row in y]
    return list(y) if isinstance(y, list) else [y]


@pytest.mark.parametrize("kind", _INPUTS)
@settings(deadline=None, max_examples=60)
@given(cells=_cells)
@example(cells=[2**53 + 1])
@example(cells=[2**53 + 1, None])
@example(cells=[2**53 + 1, 0.5])
@example(cells=[-(2**31)])
@example(cells=[2**63, -1])
def test_a_whole_number_arrives_as_it_was_sent_or_is_refused(
    shell: ShellClient, kind: str, cells: list[Any]
) -> None:
    handle = list(_INPUTS).index(kind) + 1
    result = shell.call(handle, json.dumps({"x": _sent(kind, cells)}).encode())
    if result["status"] is Status.OK:
        came = _came(kind, result["outputParameters"]["y"])
        assert came == (cells if kind not in {"numeric", "integer"} else cells[:1])
        return
    assert result["status"] is Status.INVALID, result
    assert "'x'" in result["message"], result
    if kind in {"frame", "array"}:
        assert "'b'" in result["message"], result


def test_whole_numbers_that_are_exact_are_not_refused(shell: ShellClient) -> None:
    numeric, integer = list(_INPUTS).index("numeric") + 1, list(_INPUTS).index("integer") + 1
    for exact in (2**31, 2**53, 2**60, -(2**31), -(2**62)):
        assert shell.score(numeric, x=exact) == {"y": exact}
        assert shell.score(integer, x=exact) == {"y": exact}
    assert shell.score(1, x=[2**31, 2**60]) == {"y": [2**31, 2**60]}


def test_an_infinite_integer_of_r_fails_its_call_and_names_the_output(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with ShellClient.session(tmp_path_factory.mktemp("r"), runtime="R") as r:
        for code in ("y <- Inf", "y <- -Inf", "y <- log(0)"):
            r.load(1, code=code, outputs={"y": "integer"})
            result = r.call(1)
            assert result["status"] is Status.FAILED
            assert "output 'y' is declared integer, and" in result["errorMessage"]
            assert "Inf" in result["errorMessage"]
        r.load(2, code="y <- NA_real_; z <- NaN; w <- 2^60", outputs=dict.fromkeys("yzw", "integer"))
        assert r.score(2) == {"y": None, "z": None, "w": 2**60}
