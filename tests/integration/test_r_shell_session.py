"""Sessions in R: a workspace that stays, objects and snapshots."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.python_shell.r_runtime import RRuntime
from gristmill.python_shell.runtime import Missing, ObjectError, UserError
from gristmill.schema import Column, MatrixValue
from tests.r.companion import frame, write_with_r

pytestmark = pytest.mark.needs_r


@pytest.fixture(scope="module")
def shared() -> Iterator[RRuntime]:
    runtime = RRuntime()
    yield runtime
    runtime.close()


@pytest.fixture
def session(shared: RRuntime, tmp_path: Path) -> RRuntime:
    """A session with an empty workspace and a working directory of the test's own."""
    (tmp_path / "work").mkdir()
    shared.load_workspace(None)
    shared.set_directory(str(tmp_path / "work"))
    return shared


def printed(code: str, tmp_path: Path) -> str:
    """What the console of a new session shows for `code`."""
    program = (
        "import sys; from gristmill.python_shell.r_runtime import RRuntime\n"
        "r = RRuntime()\ntry: r.execute(sys.argv[1], [], [])\n"
        "except Exception as error: print(type(error).__name__)\nr.close()"
    )
    python = subprocess.run(
        [sys.executable, "-c", program, code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, check=True,
    )  # fmt: skip
    return python.stdout


def test_variables_stay_from_one_execution_to_the_next(session: RRuntime) -> None:
    session.execute("x <- 1; f <- function() x + 1", [], [])
    assert session.execute("x <- x + 1", [("k", 5)], ["x", "k"]) == [("x", 2.0), ("k", 5)]
    assert session.execute("y <- f()", [], ["y"]) == [("y", 3.0)]
    assert session.names() == ["f", "k", "x", "y"]


def test_inputs_of_every_shape_arrive(session: RRuntime) -> None:
    inputs = [
        ("s", "text"),
        ("n", None),
        ("v", Column("integer", [1, None])),
        ("d", frame(a=("numeric", [1.5]), b=("character", ["x"]))),
        ("m", MatrixValue(2, 2, Column("integer", [1, 2, 3, 4]))),
    ]
    code = "z <- c(class(s), class(n), class(v), class(d), class(m)); e <- m[2, 1]"
    names = ["z", "e", "s", "n", "v", "d", "m"]
    assert dict(session.execute(code, inputs, names)) == {
        "z": ["character", "logical", "integer", "data.frame", "matrix", "array"],
        "e": 3,
        "s": "text",
        "n": None,
        "v": [1, None],
        "d": {"a": [1.5], "b": ["x"]},
        "m": [[1, 2], [3, 4]],
    }


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("NULL", None),
        ("list(a = 1, b = list('x', c(TRUE, FALSE)))", {"a": 1.0, "b": ["x", [True, False]]}),
        ("list()", []),
        ("Sys.Date()[0]", []),
        ("factor('u')", "u"),
        ("cars[1, ]", {"speed": [4.0], "dist": [2.0]}),
    ],
)
def test_outputs_take_the_form_of_their_value(session: RRuntime, code: str, expected: object) -> None:
    assert session.execute(f"y <- {code}", [], ["y"]) == [("y", expected)]


def test_an_output_that_has_no_form_in_json_is_named(session: RRuntime) -> None:
    with pytest.raises(UserError, match=r"output 'm\$call' is .*no place in JSON"):
        session.execute("m <- list(call = quote(f(x)))", [], ["m"])
    assert session.names() == ["m"]


def test_a_missing_output_is_named(session: RRuntime) -> None:
    with pytest.raises(UserError, match="output 'nope' is not in the workspace"):
        session.execute("1", [], ["nope"])


def test_what_ran_before_an_error_stays(session: RRuntime) -> None:
    with pytest.raises(UserError, match=r"(?s)Error: second.*at code, line 2"):
        session.execute("a <- 1\nstop('second')\nb <- 2", [], [])
    assert session.names() == ["a"]


def test_code_that_does_not_parse_runs_not_at_all(session: RRuntime) -> None:
    with pytest.raises(UserError, match="code:3:"):
        session.execute("a <- 1\nb <- (", [], [])
    assert session.names() == []


def test_the_console_shows_what_rs_console_shows(tmp_path: Path) -> None:
    code = (
        "1 + 1\nx <- 5\ninvisible(7)\nx\n'a'\n(y <- 2)\nprint('p')\n"
        "setClass('S', representation(v = 'numeric'))\n"
        "new('S', v = 1)\nstructure(1, class = 'odd')\nmessage('to stderr')\nlog(-1)\nfactor('u')"
    )
    (tmp_path / "code.R").write_text(code)
    rscript = subprocess.run(
        ["Rscript", "--vanilla", str(tmp_path / "code.R")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=True,
    )  # fmt: skip
    assert printed(code, tmp_path) == rscript.stdout


def test_warnings_are_shown_as_rscript_shows_them(tmp_path: Path) -> None:
    code = (
        "f <- function(x) { warning('one of a function'); x }\nf(1)\nwarning('at top level')\n"
        "for (i in 1:3) warning(paste('number', i))\nas.integer('x')\noptions(warn = 1)\n"
        "f(2)\nsuppressWarnings(f(3))"
    )
    (tmp_path / "code.R").write_text(code)
    rscript = subprocess.run(
        ["Rscript", "--vanilla", str(tmp_path / "code.R")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=True,
    )  # fmt: skip
    ours = [line.rstrip() for line in printed(code, tmp_path).splitlines()]
    assert ours == [line.rstrip() for line in rscript.stdout.splitlines()]


def test_warnings_can_be_turned_into_errors(session: RRuntime) -> None:
    with pytest.raises(UserError, match="converted from warning"):
        session.execute("options(warn = 2); as.integer('x')", [], [])
    session.execute("options(warn = 0)", [], [])


def test_plots_become_files_in_the_working_directory(session: RRuntime, tmp_path: Path) -> None:
    session.execute("plot(1:3)", [], [])
    session.execute("png('own.png', type = 'cairo'); plot(1); dev.off()", [], [])
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["Rplot001.png", "own.png"]


@pytest.mark.parametrize(
    "write",
    [
        "saveRDS(v, p)",
        "saveRDS(v, p, compress = FALSE)",
        "saveRDS(v, p, compress = 'xz')",
        "saveRDS(v, p, ascii = TRUE)",
        "saveRDS(v, p, version = 2)",
        "writeBin(serialize(v, NULL), p)",
        "save(v, file = p)",
        "save(v, file = p, compress = 'bzip2')",
        "save(v, file = p, ascii = TRUE)",
        "other <- 1; v -> obj; save(other, obj, file = p)",
    ],
)
def test_an_object_comes_from_any_form_r_writes(session: RRuntime, tmp_path: Path, write: str) -> None:
    path = tmp_path / "object"
    write_with_r(f"v <- list(a = 1:3, b = 'é'); p <- '{path}'; {write}")
    session.set_object("obj", str(path))
    assert session.execute("y <- obj$a[2]; z <- obj$b", [], ["y", "z"]) == [("y", 2), ("z", "é")]


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"X\n\0\0", gzip.compress(b"RDX3\nX\n\0\0\0\3", mtime=0)]
)
def test_an_object_that_cannot_be_loaded_is_named_and_the_session_lives(
    session: RRuntime, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "object").write_bytes(content)
    with pytest.raises(ObjectError, match="object 'obj' cannot be loaded"):
        session.set_object("obj", str(tmp_path / "object"))
    assert session.names() == []


def test_a_file_of_several_objects_needs_one_of_the_name(session: RRuntime, tmp_path: Path) -> None:
    write_with_r(f"a <- 1; b <- 2; save(a, b, file = '{tmp_path}/two')")
    with pytest.raises(ObjectError, match="holds 2 objects and none of this name"):
        session.set_object("obj", str(tmp_path / "two"))


def test_an_object_goes_out_as_save_writes_it(session: RRuntime, tmp_path: Path) -> None:
    session.execute("obj <- cars", [], [])
    session.get_object("obj", str(tmp_path / "out.RData"))
    write_with_r(f"load('{tmp_path}/out.RData'); stopifnot(identical(obj, cars))")


def test_objects_that_are_not_there_are_missing(session: RRuntime, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="'nope'"):
        session.get_object("nope", str(tmp_path / "out"))
    with pytest.raises(Missing, match="'mean'"):
        session.delete_object("mean")


def test_an_object_can_be_deleted(session: RRuntime) -> None:
    session.execute("a <- 1; b <- 2", [], [])
    session.delete_object("a")
    assert session.names() == ["b"]


def test_objects_pass_through_descriptors_too(session: RRuntime, tmp_path: Path) -> None:
    session.execute("obj <- 1:10", [], [])
    with open(tmp_path / "out", "w+b") as file:
        session.get_object("obj", f"/proc/self/fd/{file.fileno()}")
        session.set_object("again", f"/dev/fd/{file.fileno()}")
    assert session.names() == ["again", "obj"]


def test_a_workspace_is_saved_and_replaces_another(session: RRuntime, tmp_path: Path) -> None:
    session.execute("a <- 1; .hidden <- 2; f <- function() a", [], [])
    session.save_workspace(str(tmp_path / "w.RData"))
    session.load_workspace(None)
    assert session.names() == []
    session.execute("other <- 1", [], [])
    session.load_workspace(str(tmp_path / "w.RData"))
    assert session.names() == ["a", "f"]
    assert session.execute("y <- f() + .hidden", [], ["y"]) == [("y", 3.0)]


def test_a_broken_workspace_leaves_the_present_one(session: RRuntime, tmp_path: Path) -> None:
    session.execute("a <- 1", [], [])
    (tmp_path / "w.RData").write_bytes(b"garbage")
    with pytest.raises(ObjectError, match="the workspace cannot be loaded"):
        session.load_workspace(str(tmp_path / "w.RData"))
    assert session.names() == ["a"]


def test_a_workspace_of_a_session_serves(session: RRuntime, tmp_path: Path) -> None:
    session.execute(
        "m <- lm(dist ~ speed, cars); p <- function(s) unname(predict(m, data.frame(speed = s)))", [], []
    )
    session.save_workspace(str(tmp_path / "w.RData"))
    runtime = RRuntime()
    try:
        runtime.load(
            1,
            {
                "code": "y <- p(10)",
                "initCode": "",
                "inputs": [],
                "outputs": [{"name": "y", "type": "numeric"}],
            },
            str(tmp_path / "w.RData"),
        )
        assert runtime.call(1, []) == [pytest.approx(21.744993)]
    finally:
        runtime.close()
