"""Services in R: what a call may see, what it leaves, and how it fails."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill.python_shell.r_runtime import RRuntime
from gristmill.python_shell.runtime import Cancelled, ObjectError, RuntimeDied, UserError
from gristmill.schema import Column
from tests.r.companion import Services, frame, spec, write_with_r

pytestmark = pytest.mark.needs_r


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    runtime = RRuntime()
    yield Services(runtime)
    runtime.close()


@pytest.fixture(autouse=True)
def directory(services: Services, tmp_path: Path) -> Path:
    services.runtime.set_directory(str(tmp_path))
    return tmp_path


def failure(services: Services, code: str, init: str = "") -> str:
    with pytest.raises(UserError) as caught:
        services.result(code, init=init)
    return str(caught.value)


def test_it_describes_itself(services: Services) -> None:
    described = services.runtime.describe()
    assert described["language"].startswith("R ")
    assert {"base", "stats", "methods"} <= set(described["packages"])
    os.kill(described["child_pid"], 0)


def test_code_finds_inputs_init_objects_and_the_workspace(services: Services, tmp_path: Path) -> None:
    write_with_r(f"w <- 100; save(w, file = '{tmp_path}/.RData')")
    handle = services.add(
        "y <- x + k + w",
        "k <- 10",
        [("x", "numeric")],
        [("y", "numeric")],
        workspace=tmp_path / ".RData",
    )
    assert services.runtime.call(handle, [1.0]) == [111.0]


def test_functions_of_a_workspace_find_its_other_objects(services: Services, tmp_path: Path) -> None:
    write_with_r(f"a <- 3; f <- function(x) x * a; save(a, f, file = '{tmp_path}/.RData')")
    assert services.result("y <- f(2)", workspace=tmp_path / ".RData") == [6.0]


def test_a_function_turned_into_a_block_works(services: Services) -> None:
    handle = services.add(
        "f <- function(a, b) {\n  a * b\n}\nout <- (f)(a = x, b = 2)",
        inputs=[("x", "numeric")],
        outputs=[("out", "numeric")],
    )
    assert [services.runtime.call(handle, [float(i)])[0] for i in range(5)] == [0.0, 2.0, 4.0, 6.0, 8.0]


@pytest.mark.parametrize(
    ("leave", "look"),
    [
        ("left <- 1", "exists('left')"),
        ("local(left <<- 1)", "exists('left')"),
        (".hidden <- 1", "exists('.hidden')"),
        ("assign('left', 1, envir = globalenv())", "exists('left')"),
        ("k <- 5", "k != 1"),
        ("local(k <<- 5)", "k != 1"),
        ("options(digits = 3, mine = 1)", "getOption('digits') == 3 || !is.null(getOption('mine'))"),
        ("attach(list(left = 1))", "exists('left')"),
        ("detach('package:stats')", "!('package:stats' %in% search())"),
        ("sink('s.txt')", "sink.number() > 0"),
        ("con <- file('c.txt', 'w')", "nrow(showConnections()) > 2"),
        ("closeAllConnections()", "FALSE"),
        ("plot(1)", "length(dev.list()) > 0"),
        ("setwd('/')", "getwd() == '/'"),
        ("Sys.setlocale('LC_COLLATE', 'POSIX')", "Sys.getlocale('LC_COLLATE') == 'POSIX'"),
        ("RNGkind('Wichmann-Hill'); runif(1)", "RNGkind()[1] != 'Mersenne-Twister'"),
        ("stop('no')", "exists('y')"),
        ("left <- 1; sink('s.txt'); plot(1); options(digits = 3); stop('no')",
         "exists('left') || sink.number() > 0 || length(dev.list()) > 0 || getOption('digits') == 3"),
    ],
)  # fmt: skip
def test_what_a_call_leaves_is_not_seen_by_the_next(services: Services, leave: str, look: str) -> None:
    leaver = services.add(f"{leave}\ny <- TRUE", "k <- 1", outputs=[("y", "logical")])
    looker = services.add(
        f"if (x) {{ {leave} }}; y <- {look}", "k <- 1", [("x", "logical")], [("y", "logical")]
    )
    for _ in range(2):
        try:
            services.runtime.call(leaver, [])
        except UserError:
            assert "stop" in leave
        assert services.runtime.call(looker, [False]) == [False]


def test_random_numbers_differ_between_calls_unless_init_code_sets_the_seed(services: Services) -> None:
    free = services.add("y <- runif(1)", outputs=[("y", "numeric")])
    assert services.runtime.call(free, []) != services.runtime.call(free, [])
    fixed = services.add("y <- runif(1)", "set.seed(1)", outputs=[("y", "numeric")])
    assert services.runtime.call(fixed, []) == services.runtime.call(fixed, [])


def test_options_and_packages_of_init_code_belong_to_their_service(services: Services) -> None:
    one = services.add(
        "y <- c(getOption('digits') == 4, 'package:MASS' %in% search())",
        "options(digits = 4); library(MASS)",
        outputs=[("y", "vector")],
    )
    other = services.add(
        "y <- c(getOption('digits') == 4, 'package:MASS' %in% search())", outputs=[("y", "vector")]
    )
    for _ in range(2):
        assert services.runtime.call(one, []) == [[True, True]]
        assert services.runtime.call(other, []) == [[False, False]]


def test_a_package_that_code_attaches_stays_with_its_service(services: Services) -> None:
    attaching = services.add(
        "before <- 'package:nnet' %in% search(); library(nnet); y <- before", outputs=[("y", "logical")]
    )
    other = services.add("y <- 'package:nnet' %in% search()", outputs=[("y", "logical")])
    assert services.runtime.call(attaching, []) == [False]
    assert services.runtime.call(other, []) == [False]
    assert services.runtime.call(attaching, []) == [True]


def test_s4_and_reference_classes_of_init_code_work_in_every_call(services: Services) -> None:
    init = (
        "setClass('P', representation(v = 'numeric'))\n"
        "setGeneric('twice', function(o) standardGeneric('twice'))\n"
        "setMethod('twice', 'P', function(o) 2 * o@v)\n"
        "Acc <- setRefClass('Acc', fields = list(n = 'numeric'),\n"
        "  methods = list(up = function() n <<- n + 1))\n"
        "print.mine <- function(x, ...) cat('mine')\npredict.mine <- function(object, ...) 7"
    )
    code = (
        "a <- Acc$new(n = 1); a$up()\n"
        "y <- c(twice(new('P', v = 4)), a$n, predict(structure(1, class = 'mine')))"
    )
    handle = services.add(code, init, outputs=[("y", "vector")])
    for _ in range(3):
        assert services.runtime.call(handle, []) == [[8.0, 2.0, 7.0]]


MODELS = {
    "forest": ("library(randomForest); forest <- randomForest(medv ~ ., MASS::Boston, ntree = 5)", "Boston"),
    "tree": ("tree <- rpart::rpart(medv ~ ., MASS::Boston)", "Boston"),
    "net": ("net <- nnet::nnet(medv ~ lstat, MASS::Boston, size = 2, trace = FALSE)", "Boston"),
    "smooth": ("library(mgcv); smooth <- gam(medv ~ s(lstat), data = MASS::Boston)", "Boston"),
    "cox": ("library(survival); cox <- coxph(Surv(time, status) ~ age, lung)", "lung"),
    "discriminant": ("discriminant <- MASS::lda(Species ~ ., iris)", "iris"),
    "spline": ("library(splines); spline <- lm(dist ~ bs(speed), cars)", "cars"),
}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace per model, written by an R of its own."""
    path = tmp_path_factory.mktemp("models")
    lines = [f"{fit}; save({name}, file = '{path}/{name}')" for name, (fit, _) in MODELS.items()]
    write_with_r("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def fresh() -> Iterator[Services]:
    """An R that has loaded no package yet."""
    runtime = RRuntime()
    yield Services(runtime)
    runtime.close()


@pytest.mark.parametrize("model", MODELS)
def test_a_model_finds_its_package_without_library(fresh: Services, fitted: Path, model: str) -> None:
    data = {"Boston": "MASS::Boston", "lung": "survival::lung"}.get(MODELS[model][1], MODELS[model][1])
    code = f"y <- length(unlist(predict({model}, {data}[1:3, ])))"
    count = fresh.result(code, "integer", workspace=fitted / model)
    assert isinstance(count, int)
    assert count >= 3


def test_a_missing_package_is_named(services: Services, tmp_path: Path) -> None:
    write_with_r(f"m <- structure(list(), class = 'earth'); save(m, file = '{tmp_path}/.RData')")
    with pytest.raises(UserError, match="object 'm' is of class 'earth', which needs the R package 'earth'"):
        services.add("y <- 1", workspace=tmp_path / ".RData")


def test_a_workspace_that_cannot_be_read_is_an_object_error(services: Services, tmp_path: Path) -> None:
    (tmp_path / ".RData").write_bytes(b"no workspace at all")
    with pytest.raises(ObjectError, match="the workspace cannot be loaded"):
        services.add("y <- 1", workspace=tmp_path / ".RData")


def test_an_error_reads_as_r_prints_it_with_the_users_calls_and_lines(services: Services) -> None:
    code = "f <- function(x) {\n  g(x)\n}\ng <- function(x) {\n  stop('boom')\n}\ny <- f(1)"
    assert failure(services, code) == (
        "Error in g(x) : boom\n"
        "Traceback (innermost call first):\n"
        '  3: stop("boom")  [code, line 5]\n'
        "  2: g(x)  [code, line 2]\n"
        "  1: f(1)\n"
        "  at code, line 7"
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("\ny <- nothing_of_this_name", "Error: object 'nothing_of_this_name' not found\n  at code, line 2"),
        ("stop('plain', call. = FALSE)", "Error: plain"),
        ("log('a')", "Error in log(\"a\") : non-numeric argument to mathematical function"),
        ("stop(structure(class = c('odd', 'error', 'condition'), list(message = 'odd one', call = NULL)))",
         "Error: odd one"),
        ("library(no.such.package)", "there is no package called"),
        ("f <- function() f()\nf()", "Error"),
        ("invokeRestart('abort')", "the restart 'abort'"),
        ("x <- numeric(1e13)", "cannot allocate vector"),
    ],
)  # fmt: skip
def test_errors_of_all_sorts_are_told_and_survived(services: Services, code: str, expected: str) -> None:
    assert expected in failure(services, code)
    assert services.result("y <- 1") == [1.0]


def test_an_error_in_init_code_says_so(services: Services) -> None:
    message = failure(services, "y <- 1", init="\n\nstop('early')")
    assert "Error: early" in message
    assert message.endswith("at init code, line 3")


def test_errors_that_code_handles_itself_are_its_own(services: Services) -> None:
    code = "y <- tryCatch(stop('x'), error = function(e) 1, finally = 2); try(log('a'), silent = TRUE)"
    assert services.result(code) == [1.0]


@pytest.mark.parametrize(
    ("code", "init", "where"),
    [("y <- 1\nx <- (", "", "code:3:0"), ("y <- 1", "a b", "init code:1:3"), ("}", "", "code:1:1")],
)
def test_code_that_does_not_parse_is_refused_with_its_line(
    services: Services, code: str, init: str, where: str
) -> None:
    with pytest.raises(UserError, match=where):
        services.runtime.check(code, init)
    with pytest.raises(UserError, match=where):
        services.add(code, init)


def test_code_that_parses_passes_the_check_and_does_not_run(services: Services, tmp_path: Path) -> None:
    services.runtime.check(f"file.create('{tmp_path}/ran')", "# only a remark")
    assert not list(tmp_path.iterdir())


def test_windows_line_ends_are_no_trouble(services: Services) -> None:
    assert services.result("a <- 1\r\ny <- a + 1\r\n") == [2.0]


def test_loops_at_top_level_work_also_where_base_functions_are_redefined(services: Services) -> None:
    assert services.result("s <- 0\nfor (i in 1:10) s <- s + i\ny <- s") == [55.0]
    assert services.result("sum <- function(...) 0\nfor (i in 1) y <- sum(1, 2)") == [0.0]


def test_plots_without_a_device_are_png_files_and_complete(services: Services, tmp_path: Path) -> None:
    services.result("plot(1:3); hist(c(1, 2, 2)); y <- 1")
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["Rplot001.png", "Rplot002.png"]
    for name in files:
        content = (tmp_path / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert content.endswith(b"IEND\xaeB`\x82")


def test_many_services_live_side_by_side_and_slots_are_used_again(services: Services) -> None:
    handles = [services.add(f"y <- {i}", outputs=[("y", "numeric")]) for i in range(6)]
    services.runtime.unload(handles[2])
    handles[2] = services.add("y <- 42", outputs=[("y", "numeric")])
    assert [services.runtime.call(each, [])[0] for each in handles] == [0.0, 1.0, 42.0, 3.0, 4.0, 5.0]
    for each in handles:
        services.runtime.unload(each)
        services.runtime.unload(each)


def test_an_interrupt_ends_what_runs_and_nothing_else(services: Services, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    handle = services.add("close(file('started', 'w')); repeat NULL", outputs=[("y", "numeric")])
    steady = services.add("y <- 1", outputs=[("y", "numeric")])

    def cancel() -> None:
        (tmp_path / "started").read_bytes()
        services.runtime.interrupt()

    waiter = threading.Thread(target=cancel)
    waiter.start()
    with pytest.raises(Cancelled, match="execution was cancelled"):
        services.runtime.call(handle, [])
    waiter.join()
    services.runtime.interrupt()  # nothing runs now
    assert services.runtime.call(steady, []) == [1.0]


def test_an_interrupt_that_comes_too_late_does_not_hit_the_next_call(services: Services) -> None:
    steady = services.add("y <- sum(sqrt(1:100))", outputs=[("y", "numeric")])
    process = services.runtime._process
    sent = process.exchange

    def late(request: bytes) -> list[object]:
        answer = sent(request)
        services.runtime.interrupt()
        return answer

    process.exchange = late  # type: ignore[method-assign]
    first = services.runtime.call(steady, [])
    process.exchange = sent  # type: ignore[method-assign]
    assert [services.runtime.call(steady, []) for _ in range(20)] == [first] * 20


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("quit(status = 3)", "ended with status 3"),
        ("tools::pskill(Sys.getpid(), 9)", "ended by SIGKILL"),
        ("system('sleep 60 &'); q()", "ended with status 0"),
    ],
)
def test_an_r_that_ends_is_noticed(tmp_path: Path, code: str, message: str) -> None:
    runtime = RRuntime()
    runtime.set_directory(str(tmp_path))
    runtime.load(1, spec(code), None)
    with pytest.raises(RuntimeDied, match=message):
        runtime.call(1, [])
    with pytest.raises(RuntimeDied):
        runtime.call(1, [])
    runtime.close()


def test_r_ends_with_its_companion() -> None:
    runtime = RRuntime()
    pid = runtime.describe()["child_pid"]
    runtime.close()
    runtime.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def test_a_command_that_is_no_r_is_told_at_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        RRuntime(str(tmp_path / "R"))
    with pytest.raises(RuntimeDied, match="ended with status 1 before it was ready"):
        RRuntime("false")


def test_models_score_frames(services: Services, tmp_path: Path) -> None:
    write_with_r(f"m <- lm(dist ~ speed, cars); save(m, file = '{tmp_path}/.RData')")
    handle = services.add(
        "p <- predict(m, d)", inputs=[("d", "data.frame")], outputs=[("p", "vector")],
        workspace=tmp_path / ".RData",
    )  # fmt: skip
    (first,) = services.runtime.call(handle, [frame(speed=("numeric", [10.0, 20.0]))])
    assert first == pytest.approx([21.744993, 61.069080])
    with pytest.raises(UserError, match="object 'speed' not found"):
        services.runtime.call(handle, [frame(other=("numeric", [1.0]))])
    assert services.runtime.call(handle, [frame(speed=("integer", [10, 20]))]) == [first]


def test_a_service_without_inputs_and_outputs_runs(services: Services, tmp_path: Path) -> None:
    handle = services.add("file.create('made')")
    assert services.runtime.call(handle, []) == []
    assert (tmp_path / "made").exists()


def test_an_input_named_like_a_function_of_the_shell_does_no_harm(services: Services) -> None:
    names = ["list", "c", "names", "vector", "length", "services", "request"]
    handle = services.add(
        "y <- list + c", inputs=[(each, "numeric") for each in names], outputs=[("y", "numeric")]
    )
    assert services.runtime.call(handle, [1.0] * len(names)) == [2.0]
    shadow = services.add("c <- function(...) stop('mine'); y <- 1", outputs=[("y", "numeric")])
    assert services.runtime.call(shadow, []) == [1.0]


def test_columns_named_in_any_script_arrive(services: Services) -> None:
    handle = services.add("y <- names(d)", inputs=[("d", "data.frame")], outputs=[("y", "vector")])
    value = frame(**{"größe": ("numeric", [1.0]), "価格": ("numeric", [2.0]), "a b": ("numeric", [3.0])})
    assert services.runtime.call(handle, [value]) == [["größe", "価格", "a b"]]
    assert Column("numeric", [1.0]) == value.columns[0]
