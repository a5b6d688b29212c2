"""Values on their way into R and out of it, through real R."""

import json
import math
import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.errors import InvalidInput
from gristmill.python_shell.r_runtime import RRuntime
from gristmill.python_shell.runtime import UserError
from gristmill.schema import Column, FrameValue, MatrixValue, Value
from tests.r.companion import Services, frame

pytestmark = pytest.mark.needs_r

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
by_real_r = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    runtime = RRuntime()
    yield Services(runtime)
    runtime.close()


@pytest.fixture(scope="module")
def echo(services: Services) -> dict[str, int]:
    """A service per type that returns what it got."""
    types = ("vector", "data.frame", "matrix", "numeric", "integer", "character", "logical")
    return {each: services.add("y <- x", inputs=[("x", each)], outputs=[("y", each)]) for each in types}


def bits(values: object) -> list[bytes]:
    assert isinstance(values, list)
    return [struct.pack("<d", each) for each in values]


@by_real_r
@given(values=st.lists(st.floats(allow_nan=False)))
def test_doubles_go_through_r_bit_for_bit(
    services: Services, echo: dict[str, int], values: list[float]
) -> None:
    (back,) = services.runtime.call(echo["vector"], [Column("numeric", list(values))])
    assert bits(back) == bits(values)


@by_real_r
@given(values=st.lists(st.one_of(st.none(), text)))
def test_text_goes_through_r_unchanged(
    services: Services, echo: dict[str, int], values: list[str | None]
) -> None:
    assert services.runtime.call(echo["vector"], [Column("character", list(values))]) == [values]


@by_real_r
@given(values=st.lists(st.one_of(st.none(), st.integers(-(2**31) + 1, 2**31 - 1))))
def test_integers_go_through_r_unchanged(
    services: Services, echo: dict[str, int], values: list[int | None]
) -> None:
    assert services.runtime.call(echo["vector"], [Column("integer", list(values))]) == [values]


columns = {
    "numeric": st.floats(allow_nan=False),
    "integer": st.one_of(st.none(), st.integers(-1000, 1000)),
    "logical": st.one_of(st.none(), st.booleans()),
    "character": st.one_of(st.none(), text),
}


@st.composite
def frames(draw: st.DrawFn) -> FrameValue:
    rows = draw(st.integers(0, 5))
    name = text.filter(bool)
    names = draw(st.lists(name, max_size=5, unique=True))
    kinds = [draw(st.sampled_from(sorted(columns))) for _ in names]
    made = [Column(kind, draw(st.lists(columns[kind], min_size=rows, max_size=rows))) for kind in kinds]
    return FrameValue(names, made, rows)


@by_real_r
@given(value=frames())
def test_frames_keep_names_kinds_and_order(
    services: Services, echo: dict[str, int], value: FrameValue
) -> None:
    (back,) = services.runtime.call(echo["data.frame"], [value])
    assert isinstance(back, dict)
    assert list(back) == value.names
    assert list(back.values()) == [column.values for column in value.columns]


@by_real_r
@given(rows=st.integers(0, 4), cols=st.integers(0, 4), data=st.data())
def test_matrices_keep_their_rows(
    services: Services, echo: dict[str, int], rows: int, cols: int, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.floats(allow_nan=False), min_size=rows * cols, max_size=rows * cols))
    (back,) = services.runtime.call(echo["matrix"], [MatrixValue(rows, cols, Column("numeric", values))])
    assert back == [values[i * cols : (i + 1) * cols] for i in range(rows)]


@pytest.mark.parametrize(
    ("value", "type_"),
    [(True, "logical"), (-7, "integer"), (0.1, "numeric"), ("naïve ☕", "character"), ("", "character")],
)
def test_scalars_come_back_bare(services: Services, echo: dict[str, int], value: Value, type_: str) -> None:
    (back,) = services.runtime.call(echo[type_], [value])
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("type_", ["logical", "integer", "character"])
def test_null_scalars_come_back_as_null(services: Services, echo: dict[str, int], type_: str) -> None:
    assert services.runtime.call(echo[type_], [None]) == [None]


def test_a_null_number_is_na_in_r_and_not_nan(services: Services) -> None:
    value = Column("numeric", [None, math.nan, math.inf, 1.5])
    code = "y <- c(is.na(x), is.nan(x), is.finite(x))"
    assert services.passed(value, "vector", code) == [
        True, True, False, False, False, True, False, False, False, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (1, "numeric", ["double", "numeric"]),
        (1, "integer", ["integer", "integer"]),
        (None, "numeric", ["double", "numeric"]),
        (None, "character", ["character", "character"]),
        (Column("logical", [None, None]), "vector", ["logical", "logical"]),
        (Column("numeric", []), "vector", ["double", "numeric"]),
        (MatrixValue(1, 2, Column("numeric", [1.0, 2.0])), "matrix", ["double", "matrix", "array"]),
        (frame(a=("integer", [1])), "data.frame", ["list", "data.frame"]),
    ],
)
def test_r_sees_the_declared_type(services: Services, value: Value, type_: str, expected: list[str]) -> None:
    assert services.passed(value, type_, "y <- c(typeof(x), class(x))", "vector") == expected


def test_a_frame_is_what_r_itself_would_have_made(services: Services) -> None:
    value = FrameValue(["a b", "a.b"], [Column("numeric", [1.5, 2.5]), Column("character", ["é", None])], 2)
    made = "data.frame(`a b` = c(1.5, 2.5), a.b = c('\\u00e9', NA), check.names = FALSE)"
    code = f"w <- {made}; y <- c(identical(x, w), identical(attributes(x), attributes(w)), validObject(x))"
    assert services.passed(value, "data.frame", code, "vector") == [True, True, True]


def test_text_of_another_encoding_leaves_as_utf_8(services: Services) -> None:
    assert services.result("y <- iconv('é', 'UTF-8', 'latin1')", "character") == "é"


def test_bytes_that_are_no_text_are_an_error(services: Services) -> None:
    with pytest.raises(UserError, match="not valid UTF-8"):
        services.result("y <- rawToChar(as.raw(c(0x61, 0xff)))", "character")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("factor(c('b', NA, 'a'))", ["b", None, "a"]),
        ("as.Date(c('2020-02-29', NA))", ["2020-02-29", None]),
        ("as.POSIXct(c(0, 1.25, NA), origin = '1970-01-01', tz = 'Asia/Tokyo')",
         ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01.250000Z", None]),
        ("as.POSIXlt('2020-01-02 03:04:05', tz = 'UTC')", ["2020-01-02T03:04:05Z"]),
        ("as.difftime(c(1, 2), units = 'mins')", [1.0, 2.0]),
        ("structure(c(4.9406564584124654e-324, NA), class = 'integer64')", [1, 9218868437227407266]),
        ("c(a = 1L, b = NA)", [1, None]),
        ("table(c('x', 'x', 'y'))", [2, 1]),
        ("matrix(1:3)", [1, 2, 3]),
        ("1:3 > 2", [False, False, True]),
        ("character()", []),
    ],
)  # fmt: skip
def test_vectors_leave_as_plain_lists(services: Services, code: str, expected: list[object]) -> None:
    assert services.result(f"y <- {code}") == expected


def test_a_frame_of_every_kind_of_column_leaves_in_order(services: Services) -> None:
    made = (
        "data.frame(n = c(1.5, NA), i = c(1L, NA), l = c(TRUE, NA), s = c('x', NA), f = factor(c('u', NA)), "
        "d = as.Date(c('2020-01-01', NA)), row.names = c('p', 'q'))"
    )
    back = services.result(f"y <- {made}", "data.frame")
    assert isinstance(back, dict)
    assert list(back) == ["n", "i", "l", "s", "f", "d"]
    assert back["n"][0] == 1.5
    assert math.isnan(back["n"][1])
    assert [back[name] for name in "ilsfd"] == [
        [1, None], [True, None], ["x", None], ["u", None], ["2020-01-01", None],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("matrix(1:4, 2)", {"V1": [1, 2], "V2": [3, 4]}),
        ("list(a = 1:2, b = c('x', 'y'))", {"a": [1, 2], "b": ["x", "y"]}),
        ("data.frame()", {}),
        ("data.frame(a = integer())", {"a": []}),
    ],
)
def test_what_is_like_a_frame_leaves_as_one(services: Services, code: str, expected: object) -> None:
    assert services.result(f"y <- {code}", "data.frame") == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1:2", [[1], [2]]),
        ("data.frame(a = 1:2, b = 3:4)", [[1, 3], [2, 4]]),
        ("matrix(c('a', NA), 1)", [["a", None]]),
        ("matrix(0, 0, 3)", []),
    ],
)
def test_what_is_like_a_matrix_leaves_as_one(services: Services, code: str, expected: object) -> None:
    assert services.result(f"y <- {code}", "matrix") == expected


@pytest.mark.parametrize(
    ("code", "type_", "expected"),
    [
        ("3", "integer", "3"),
        ("2^40", "integer", "1099511627776"),
        ("TRUE", "integer", "1"),
        ("3L", "numeric", "3"),
        ("factor('u')", "character", '"u"'),
        ("Sys.Date()[0][1]", "character", "null"),
        ("NA", "character", "null"),
        ("c(a = 1.5)", "numeric", "1.5"),
        ("matrix(2)", "numeric", "2.0"),
    ],
)
def test_scalars_leave_as_their_declared_type(
    services: Services, code: str, type_: str, expected: str
) -> None:
    assert json.dumps(services.result(f"y <- {code}", type_)) == expected


@pytest.mark.parametrize(
    ("code", "type_", "message"),
    [
        (
            "1:3",
            "numeric",
            "output 'y' is declared numeric, and the code made it an integer vector of length 3",
        ),
        ("numeric()", "numeric", "a numeric vector of length 0"),
        ("'a'", "numeric", "declared numeric.*a character vector of length 1"),
        ("1.5", "integer", "declared integer, and 1.5 is not a whole number"),
        ("1", "logical", "declared logical"),
        ("1", "character", "declared character"),
        ("list(1)", "vector", "declared vector, and the code made it a list of length 1"),
        ("1i", "vector", "output 'y' is a complex vector of length 1, which has no place in JSON"),
        ("as.raw(1)", "vector", "a raw vector"),
        ("mean", "vector", "a function"),
        ("NULL", "vector", "output 'y' is NULL after the code ran"),
        ("matrix(1:4, 2)", "vector", "an integer array of 2 x 2; declare it matrix"),
        ("array(1:8, c(2, 2, 2))", "matrix", "an integer array of 2 x 2 x 2"),
        ("data.frame(a = 1, b = 'x')", "matrix", "columns are of different kinds"),
        ("1:3", "data.frame", "declared data.frame, and the code made it an integer vector of length 3"),
        ("data.frame(a = I(list(1, 2)))", "data.frame", "column 'a' of output 'y' is a list column"),
        ("data.frame(z = 1i)", "data.frame", "column 'z' of output 'y' is a complex vector"),
        ("data.frame(m = I(matrix(1:4, 2)))", "data.frame", "column 'm' of output 'y' is a matrix"),
        ("data.frame(a = 1, a = 2, check.names = FALSE)", "data.frame", "the column 'a' twice"),
        ("lm(dist ~ speed, cars)", "data.frame", "an object of class 'lm'"),
    ],
)
def test_an_output_of_the_wrong_kind_is_refused_and_says_what_it_is(
    services: Services, code: str, type_: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        services.result(f"y <- {code}", type_)


def test_an_output_that_was_not_made_is_named(services: Services) -> None:
    with pytest.raises(UserError, match="output 'y' was not made by the code"):
        services.result("z <- 1")


def test_text_with_a_nul_is_the_callers_error(services: Services, echo: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="input 'x'"):
        services.runtime.call(echo["character"], ["a\0b"])
    assert services.runtime.call(echo["character"], ["ab"]) == ["ab"]


def test_large_vectors_pass_both_ways(services: Services, echo: dict[str, int]) -> None:
    values = [i * 1.1 for i in range(400_000)]
    assert services.runtime.call(echo["vector"], [Column("numeric", values)]) == [values]
