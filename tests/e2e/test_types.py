"""The seven types in and out of both languages, on the running server: nothing lost, nothing rounded."""

from __future__ import annotations

import json
import struct
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.protocol import BOTH, accepted, refused
from tests.e2e.publishing import call, publish

pytestmark = pytest.mark.timeout(180)

TINY, HUGE = 5e-324, 1.7976931348623157e308
WORDS = [
    "",
    " ",
    "plain",
    "Größe",
    "e\u0301 is not \u00e9",
    "\U0001f33e \U0001f469\u200d\U0001f33e",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "\u4e2d\u6587 \u2028 \u2029 \ufeff",
    "quotes \" ' ` and \\ / back",
    "lines\r\n\tand tabs\x7f\x01",
    "NA",
    "null",
    "x" * 100_000,
]
#: Type, what is sent, and what comes back where that differs.
CASES: list[tuple[Any, ...]] = [
    ("logical", True),
    ("logical", False),
    ("logical", None),
    ("logical", [True], True),
    ("integer", 0),
    ("integer", -2147483647),
    ("integer", 2147483648),
    ("integer", 2**53),
    ("integer", 5.0, 5),
    ("integer", [7], 7),
    ("integer", None),
    ("numeric", 0.1 + 0.2),
    ("numeric", TINY),
    ("numeric", HUGE),
    ("numeric", -0.0),
    ("numeric", 1e22),
    ("numeric", 123456789.12345679),
    ("numeric", 3),
    ("numeric", [2.5], 2.5),
    ("numeric", None),
    *(("character", word) for word in WORDS),
    ("character", ["one"], "one"),
    ("character", None),
    ("vector", [1, 2, 3]),
    ("vector", [1.5, None, -0.0, TINY, HUGE]),
    ("vector", [1, 2.5, None]),
    ("vector", [True, None, False]),
    ("vector", ["a", None, "", *WORDS]),
    ("vector", [None, None]),
    ("vector", []),
    ("vector", 5, [5]),
    ("vector", "one", ["one"]),
    ("vector", None, [None]),
    ("vector", [2**31, -(2**31), 2**53]),
    ("matrix", [[1, 2, 3], [4, 5, 6]]),
    ("matrix", [[1.5, None], [TINY, HUGE]]),
    ("matrix", [["a", "b"], [None, "é"]]),
    ("matrix", [[True], [False], [None]]),
    ("matrix", [[7]]),
    ("matrix", []),
    ("data.frame", {"a": [1, 2], "b": ["x", None], "c": [True, None], "d": [0.1, None]}),
    ("data.frame", {"z": [1], "a": [2], "m": [3]}),
    ("data.frame", {"a": 1, "b": "x"}, {"a": [1], "b": ["x"]}),
    ("data.frame", {"a": [], "b": []}),
    ("data.frame", {}),
    (
        "data.frame",
        {"my col": [1], "a.b": [2], "été": [3], "1st": [4], "if": [5], "_x": [6], "\U0001f33e": [7]},
    ),
    ("data.frame", [{"b": 1, "a": "x"}, {"b": 2, "a": "y"}], {"b": [1, 2], "a": ["x", "y"]}),
    ("data.frame", [{"b": 1}, {"a": "y"}], {"b": [1, None], "a": [None, "y"]}),
    ("data.frame", {"text": WORDS}),
    ("data.frame", {"nothing": [None, None], "some": [1, 2]}),
]


def echo(client: httpx.Client, runtime: str, kind: str) -> str:
    """Path of a service that gives back what it was given."""
    name = f"echo-{runtime}-{kind.replace('.', '-')}"
    if not client.get(f"/services/{name}").json():
        code = "y = x" if runtime == "Python" else "y <- x"
        kind = kind.replace("data.", "")
        publish(client, name, code, runtime=runtime, inputs={"x": kind}, outputs={"y": kind})
    return f"/api/{name}/1"


def bits(value: Any) -> Any:
    """Numbers as the bits of their doubles, so that equal means equal; all else as it is."""
    if isinstance(value, dict):
        return {key: bits(each) for key, each in value.items()}
    if isinstance(value, list):
        return [bits(each) for each in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return struct.pack("<d", value)
    return value


@BOTH
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{json.dumps(case[1])[:40]}")
def test_each_type_comes_back_as_it_was_sent(
    admin: httpx.Client, runtime: str, case: tuple[Any, ...]
) -> None:
    kind, sent, expected = case if len(case) == 3 else (*case, case[1])
    answer = call(admin, echo(admin, runtime, kind), x=sent)["y"]
    assert bits(answer) == bits(expected)
    if isinstance(expected, dict):
        assert list(answer) == list(expected)


@BOTH
@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("logical", 1),
        ("logical", "true"),
        ("logical", [True, False]),
        ("integer", 1.5),
        ("integer", "1"),
        ("integer", True),
        ("integer", 2**64),
        ("numeric", "1"),
        ("numeric", False),
        ("numeric", {}),
        ("numeric", []),
        ("character", 1),
        ("character", {"a": "b"}),
        ("vector", {"a": 1}),
        ("vector", [[1]]),
        ("vector", [1, "a"]),
        ("vector", [1, True]),
        ("matrix", [1, 2]),
        ("matrix", [[1, 2], [3]]),
        ("matrix", {"a": [1]}),
        ("matrix", 1),
        ("data.frame", [1, 2]),
        ("data.frame", 1),
        ("data.frame", {"a": [1, 2], "b": [1]}),
        ("data.frame", {"a": [[1]]}),
        ("data.frame", {"a": [1, "x"]}),
        ("data.frame", [{"a": {"b": 1}}]),
    ],
    ids=str,
)
def test_what_is_of_another_type_is_400_and_names_the_input(
    admin: httpx.Client, runtime: str, kind: str, sent: object
) -> None:
    assert "'x'" in refused(admin.post(echo(admin, runtime, kind), json={"x": sent}), 400)


@pytest.mark.needs_r
def test_a_nul_character_is_kept_by_python_and_refused_by_r_which_has_none(admin: httpx.Client) -> None:
    assert call(admin, echo(admin, "Python", "character"), x="a\0b") == {"y": "a\0b"}
    assert "x" in refused(admin.post(echo(admin, "R", "character"), json={"x": "a\0b"}), 400)


@pytest.mark.parametrize(
    ("kind", "sent", "seen"),
    [
        ("logical", True, "bool"),
        ("integer", 1, "int"),
        ("numeric", 1, "float"),
        ("character", "a", "str"),
        ("vector", [1, 2], "ndarray 1"),
        ("matrix", [[1, 2]], "ndarray 2"),
        ("data.frame", {"a": [1]}, "DataFrame 2"),
    ],
)
def test_python_code_sees_the_value_that_the_protocol_names(
    admin: httpx.Client, kind: str, sent: object, seen: str
) -> None:
    code = "y = type(x).__name__ + (f' {x.ndim}' if hasattr(x, 'ndim') else '')"
    name = f"seen-{kind.replace('.', '-')}"
    path = publish(admin, name, code, inputs={"x": kind.replace("data.", "")}, outputs={"y": "character"})
    assert call(admin, path, x=sent) == {"y": seen}


@pytest.mark.needs_r
@pytest.mark.parametrize(
    ("kind", "sent", "seen"),
    [
        ("logical", True, "logical 1"),
        ("integer", 1, "integer 1"),
        ("numeric", 1, "numeric 1"),
        ("character", "a", "character 1"),
        ("vector", [1.5, 2], "numeric 2"),
        ("vector", ["a", "b"], "character 2"),
        ("vector", [True], "logical 1"),
        ("matrix", [[1, 2]], "matrix array 2"),
        ("data.frame", {"a": [1]}, "data.frame 1"),
    ],
)
def test_r_code_sees_the_value_that_the_protocol_names(
    admin: httpx.Client, kind: str, sent: object, seen: str
) -> None:
    name = f"seen-r-{seen.replace(' ', '-')}-{kind.replace('.', '-')}"
    code = "y <- paste(c(class(x), length(x)), collapse = ' ')"
    path = publish(
        admin, name, code, runtime="R", inputs={"x": kind.replace("data.", "")}, outputs={"y": "character"}
    )
    assert call(admin, path, x=sent) == {"y": seen}


FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@BOTH
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=1, max_size=60))
def test_lists_of_doubles_come_back_bit_for_bit(
    admin: httpx.Client, runtime: str, values: list[list[float]]
) -> None:
    flat = [value for row in values for value in row]
    frame = {
        "a": [row[0] for row in values],
        "b": [row[1] for row in values],
        "c": [row[2] for row in values],
    }
    for kind, sent in (("vector", flat), ("matrix", values), ("data.frame", frame)):
        assert bits(call(admin, echo(admin, runtime, kind), x=sent)["y"]) == bits(sent)
    assert bits(call(admin, echo(admin, runtime, "numeric"), x=flat[0])["y"]) == bits(flat[0])


@BOTH
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=st.lists(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
)
def test_texts_come_back_as_they_were(admin: httpx.Client, runtime: str, texts: list[str | None]) -> None:
    assert call(admin, echo(admin, runtime, "vector"), x=texts) == {"y": texts}


@BOTH
def test_what_is_no_finite_number_leaves_as_null(admin: httpx.Client, runtime: str) -> None:
    python = (
        "import numpy as np, pandas as pd\n"
        "v = [float('nan'), float('inf'), -np.inf, 1.0]\n"
        "f = pd.DataFrame({'a': v, 'b': [None, 'x', None, 'y']}); s = float('nan'); m = np.array([v])\n"
    )
    r = "v <- c(NaN, Inf, -Inf, 1); f <- data.frame(a = v, b = c(NA, 'x', NA, 'y')); s <- NA_real_; m <- t(v)"
    outputs = {"v": "vector", "f": "frame", "s": "numeric", "m": "matrix"}
    path = publish(
        admin, f"not-finite-{runtime}", python if runtime == "Python" else r, runtime=runtime, outputs=outputs
    )
    answer = admin.post(path, json={})
    assert accepted(answer, "result")["outputParameters"] == {
        "v": [None, None, None, 1],
        "f": {"a": [None, None, None, 1], "b": [None, "x", None, "y"]},
        "s": None,
        "m": [[None, None, None, 1]],
    }
    assert not {"NaN", "Infinity", "Inf"} & set(answer.text.replace('"', " ").replace(",", " ").split())


DATES = {
    "Python": (
        "import datetime, pandas as pd\n"
        "level = pd.Categorical(['b', 'a', None], categories=['a', 'b'])\n"
        "day = [datetime.date(2026, 11, 22), None]\n"
        "moment = pd.to_datetime(['2026-11-22T20:15:30.25Z', None])\n"
        "frame = pd.DataFrame({'level': level[:2], 'day': day, 'moment': moment})\n"
    ),
    "R": (
        "level <- factor(c('b', 'a', NA), levels = c('a', 'b'))\n"
        "day <- as.Date(c('2026-11-22', NA))\n"
        "moment <- as.POSIXct(c('2026-11-22 20:15:30.25', NA), tz = 'UTC')\n"
        "frame <- data.frame(level = level[1:2], day = day, moment = moment)\n"
    ),
}


@BOTH
def test_factors_leave_as_texts_and_dates_in_iso_8601(admin: httpx.Client, runtime: str) -> None:
    outputs = {"level": "vector", "day": "vector", "moment": "vector", "frame": "frame"}
    path = publish(admin, f"dates-{runtime}", DATES[runtime], runtime=runtime, outputs=outputs)
    answer = call(admin, path)
    assert answer["level"] == ["b", "a", None]
    assert answer["day"] == ["2026-11-22", None]
    (moment, missing) = answer["moment"]
    assert missing is None
    assert moment.startswith("2026-11-22T20:15:30.25")
    assert moment.endswith("Z")
    assert answer["frame"] == {
        "level": ["b", "a"],
        "day": ["2026-11-22", None],
        "moment": [moment, None],
    }


@pytest.mark.needs_r
def test_r_names_are_dropped_and_vectors_of_one_are_scalars_only_where_declared(admin: httpx.Client) -> None:
    code = "s <- c(a = 1); v <- c(a = 1); w <- c(a = 1, b = 2); t <- factor('x'); l <- TRUE; i <- 2L"
    kinds = {
        "s": "numeric",
        "v": "vector",
        "w": "vector",
        "t": "character",
        "l": "logical",
        "i": "integer",
    }
    path = publish(admin, "r-scalars", code, runtime="R", outputs=kinds)
    assert call(admin, path) == {"s": 1, "v": [1], "w": [1, 2], "t": "x", "l": True, "i": 2}


def test_numpy_scalars_and_arrays_of_one_leave_as_scalars(admin: httpx.Client) -> None:
    code = (
        "import numpy as np\n"
        "a = np.float32(0.5); b = np.int64(2**62); c = np.array([3.5]); d = np.bool_(True); e = np.str_('x')"
    )
    kinds = {"a": "numeric", "b": "integer", "c": "numeric", "d": "logical", "e": "character"}
    path = publish(admin, "numpy-scalars", code, outputs=kinds)
    assert call(admin, path) == {"a": 0.5, "b": 2**62, "c": 3.5, "d": True, "e": "x"}


def test_integers_of_64_bits_pass_python_exactly(admin: httpx.Client) -> None:
    big = [2**53 + 1, -(2**62), 2**63 - 1]
    assert call(admin, echo(admin, "Python", "integer"), x=big[0]) == {"y": big[0]}
    assert call(admin, echo(admin, "Python", "vector"), x=big) == {"y": big}
    assert call(admin, echo(admin, "Python", "data.frame"), x={"a": big}) == {"y": {"a": big}}


@BOTH
@pytest.mark.parametrize(("rows", "columns"), [(1, 3000), (50_000, 4), (0, 5)])
def test_wide_long_and_empty_frames_keep_their_columns_in_order(
    admin: httpx.Client, runtime: str, rows: int, columns: int
) -> None:
    frame = {f"c{(7 * n) % columns}": [n + row / 7 for row in range(rows)] for n in range(columns)}
    assert len(frame) == columns
    answer = call(admin, echo(admin, runtime, "data.frame"), x=frame)["y"]
    assert list(answer) == list(frame)
    assert bits(answer) == bits(frame)


@BOTH
def test_a_frame_with_declared_columns_reaches_the_code_in_their_order(
    admin: httpx.Client, runtime: str
) -> None:
    python, r = "names = list(x.columns); total = float(x['a'].sum())", "names <- names(x); total <- sum(x$a)"
    inputs = [{"name": "x", "type": "data.frame", "columns": ["b", "a"]}]
    path = publish(
        admin,
        f"columns-{runtime}",
        python if runtime == "Python" else r,
        runtime=runtime,
        outputs={"names": "vector", "total": "numeric"},
        inputParameterDefinitions=inputs,
    )
    expected = {"names": ["b", "a"], "total": 3}
    assert call(admin, path, x={"a": [1, 2], "b": [3, 4]}) == expected
    assert call(admin, path, x=[{"a": 1, "b": 3}, {"b": 4, "a": 2}]) == expected
    for bad, word in (({"a": [1]}, "'b'"), ({"a": [1], "b": [1], "c": [1]}, "'c'")):
        assert word in refused(admin.post(path, json={"x": bad}), 400)


def test_a_frame_of_form_array_is_a_matrix_of_doubles_in_python(admin: httpx.Client) -> None:
    code = "kind = f'{type(x).__name__} {x.dtype} {x.shape}'; y = x.sum(axis=1)"
    inputs = [{"name": "x", "type": "data.frame", "columns": ["b", "a"], "form": "array"}]
    path = publish(
        admin,
        "form-array",
        code,
        outputs={"kind": "character", "y": "vector"},
        inputParameterDefinitions=inputs,
    )
    answer = call(admin, path, x={"a": [1, 2.5, None], "b": [3, 4, 5]})
    assert answer == {"kind": "ndarray float64 (3, 2)", "y": [4, 6.5, None]}
    assert call(admin, path, x={"a": [], "b": []})["y"] == []
    assert "'a'" in refused(admin.post(path, json={"x": {"a": ["x"], "b": [1]}}), 400)


@BOTH
def test_an_output_that_has_no_form_in_json_is_a_failure_that_names_it(
    admin: httpx.Client, runtime: str
) -> None:
    python, r = "bad = [1j]", "bad <- 1i"
    path = publish(
        admin,
        f"complex-{runtime}",
        python if runtime == "Python" else r,
        runtime=runtime,
        outputs={"bad": "vector"},
    )
    result = accepted(admin.post(path, json={}), "result")
    assert result["success"] is False
    assert "bad" in result["errorMessage"]
