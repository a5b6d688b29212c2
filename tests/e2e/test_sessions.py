"""Remote execution in both languages, operation by operation."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dill
import httpx
import pytest

from tests.e2e.protocol import BOTH, accepted, refused
from tests.e2e.remote import Remote
from tests.servers import Server

pytestmark = pytest.mark.timeout(180)

PNG = b"\x89PNG\r\n\x1a\n"
FOREVER = ("print('begun', flush=True)\nwhile True: pass", "cat('begun\\n'); repeat {}")
SLEEP = (
    "import time\nprint('begun', flush=True)\ntime.sleep(600)",
    "cat('begun\\n'); Sys.sleep(600)",
)


@pytest.fixture
def session(admin: httpx.Client, runtime: str) -> Iterator[Remote]:
    """A new session of the test's language."""
    remote = Remote(admin, runtime)
    yield remote
    remote.close()


@BOTH
def test_a_session_is_listed_with_its_name_owner_and_runtime(admin: httpx.Client, runtime: str) -> None:
    remote = Remote(admin, runtime, name="mine")
    found = {each["id"]: each for each in accepted(admin.get("/sessions"), "sessions")}
    assert found[remote.id] == {
        "id": remote.id,
        "name": "mine",
        "owner": "admin",
        "runtimeType": runtime,
    }
    accepted(admin.delete(remote.path), "text")
    assert remote.id not in {each["id"] for each in accepted(admin.get("/sessions"), "sessions")}
    refused(admin.get(f"{remote.path}/workspace"), 404)


@pytest.mark.needs_r
def test_a_session_is_of_r_unless_said_otherwise(admin: httpx.Client) -> None:
    for body in ("{}", "", '{"runtimeType":null,"name":null,"snapshotId":null}'):
        answer = admin.post("/sessions", content=body)
        id = accepted(answer, "session created", 201)["sessionId"]
        listed = {each["id"]: each for each in accepted(admin.get("/sessions"), "sessions")}
        assert listed[id]["runtimeType"] == "R"
        accepted(admin.delete(f"/sessions/{id}"), "text")


@BOTH
def test_inputs_are_set_first_and_outputs_come_in_the_order_asked_for(session: Remote) -> None:
    inputs = {"n": 2, "v": [1, 2.5], "f": {"a": [1, 2], "b": ["x", None]}, "m": [[1, 2], [3, 4]], "t": "é"}
    outputs = session.run("z = n * 3", "z <- n * 3", inputs, ["z", "t", "v", "f", "m", "n"])
    assert outputs == {**inputs, "z": 6}
    assert list(outputs) == ["z", "t", "v", "f", "m", "n"]


@BOTH
def test_values_of_length_one_leave_as_scalars(session: Remote) -> None:
    outputs = session.run(
        "a = 1.5; b = [1.5]; c = 'x'; d = True; e = None",
        "a <- 1.5; b <- c(k = 1.5); c <- 'x'; d <- TRUE; e <- NA",
        outputs=list("abcde"),
    )
    assert outputs == {"a": 1.5, "b": 1.5, "c": "x", "d": True, "e": None}


@BOTH
def test_the_workspace_lasts_from_one_execution_to_the_next(session: Remote) -> None:
    session.run("x = 20\ndef twice(v): return 2 * v", "x <- 20; twice <- function(v) 2 * v")
    assert session.run("y = twice(x)", "y <- twice(x)", outputs=["y"]) == {"y": 40}
    assert set(session.names()) == {"x", "y", "twice"}
    accepted(session.client.delete(f"{session.path}/workspace/x"), "text")
    assert set(session.names()) == {"y", "twice"}
    refused(session.client.delete(f"{session.path}/workspace/x"), 404)
    refused(session.client.get(f"{session.path}/workspace/x"), 404)
    assert "x" in session.fails("y = x", "y <- x")


@BOTH
def test_an_error_names_itself_and_keeps_what_was_done_before_it(session: Remote) -> None:
    message = session.fails(
        "a = 1\nraise ValueError('no good: é')\nb = 2", "a <- 1\nstop('no good: \\u00e9')\nb <- 2"
    )
    assert "no good: é" in message
    assert session.names() == ["a"]
    assert "nothing_here" in session.fails("a = 2", "a <- 2", outputs=["nothing_here"])
    assert session.run("a", "a", outputs=["a"]) == {"a": 2}
    for broken in (session.fails("a = (", "a <- ("), session.fails("1 +* 2", "1 +* 2")):
        assert broken


@BOTH
def test_what_is_printed_and_which_files_changed_is_told(session: Remote) -> None:
    result = session.execute(
        "print('héllo'); _ = open('one.txt', 'w').write('1')",
        "cat('h\\u00e9llo\\n'); writeLines('1', 'one.txt')",
    )
    assert result["consoleOutput"] == "héllo\n"
    assert result["changedFiles"] == ["one.txt"]
    again = session.execute(
        "_ = open('one.txt', 'a').write('2')", "cat('2', file = 'one.txt', append = TRUE)"
    )
    assert (again["consoleOutput"], again["changedFiles"]) == ("", ["one.txt"])
    assert session.execute("1", "invisible(1)")["changedFiles"] == []


@pytest.mark.needs_r
@pytest.mark.parametrize("runtime", ["R"])
def test_r_prints_visible_values_as_its_own_console_does(session: Remote) -> None:
    result = session.execute("", "x <- 1:3\nx\ninvisible(5)\n'text'\nwarning('careful')")
    assert "[1] 1 2 3" in result["consoleOutput"]
    assert '[1] "text"' in result["consoleOutput"]
    assert "5" not in result["consoleOutput"]


@BOTH
def test_the_console_is_read_while_the_code_runs_and_after(session: Remote) -> None:
    assert session.console() == ""
    code = (
        "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)",
        "cat('begun\\n'); while (!file.exists('go')) Sys.sleep(0.01)",
    )
    with session.running(*code) as answers:
        assert session.console() == "begun\n"
        refused(session.client.post(f"{session.path}/execute", json={"code": "1"}), 409)
        session.cancel()
    assert answers[0]["success"] is False
    assert session.console() == "begun\n"
    session.run("print('next')", "cat('next\\n')")
    assert session.console() == "next\n"


@BOTH
@pytest.mark.parametrize("code", [FOREVER, SLEEP], ids=["loop", "sleep"])
def test_what_runs_too_long_can_be_cancelled_and_the_session_goes_on(
    session: Remote, code: tuple[str, str]
) -> None:
    session.run("kept = 1", "kept <- 1")
    for _ in range(2):
        with session.running(*code) as answers:
            begun = time.monotonic()
            session.cancel()
        assert time.monotonic() - begun < 5
        assert answers[0]["success"] is False
        assert "cancelled" in answers[0]["errorMessage"]
        assert answers[0]["consoleOutput"] == "begun\n"
        assert session.run("kept += 1", "kept <- kept + 1", outputs=["kept"])["kept"] > 1
    session.cancel()
    assert session.run("kept", "kept", outputs=["kept"]) == {"kept": 3}


@BOTH
def test_code_that_does_not_heed_a_cancellation_can_be_closed_by_force(session: Remote) -> None:
    stubborn = (
        "print('begun', flush=True)\nwhile True:\n  try:\n    while True: pass\n  except BaseException: pass",
        "cat('begun\\n'); repeat tryCatch(repeat {}, interrupt = function(e) NULL)",
    )
    client, path = session.client, session.path
    with ThreadPoolExecutor(1) as threads:
        body = {"code": session.code(*stubborn)}
        answer = threads.submit(client.post, f"{path}/execute", json=body)
        session.until_printed("begun")
        refused(client.delete(path), 409)
        begun = time.monotonic()
        accepted(client.delete(f"{path}/force"), "text")
        refused(answer.result(), 410)
    assert time.monotonic() - begun < 5
    refused(client.get(f"{path}/history"), 404)


@BOTH
def test_the_history_is_in_order_and_verbatim(session: Remote) -> None:
    told = [
        "x <- 1" if session.runtime == "R" else "x = 1",
        "  # a comment é \U0001f33e\r\n\tx\n\n",
        "stop(",
        "",
    ]
    for code in told:
        accepted(session.client.post(f"{session.path}/execute", json={"code": code}), "execution")
    assert session.history() == told


@BOTH
def test_files_go_up_and_down_as_they_are(session: Remote) -> None:
    content = bytes(range(256)) * 4000
    for name in ("data.bin", "Größe (1).csv", "empty"):
        session.upload(name, b"" if name == "empty" else content)
    assert session.files() == sorted(["data.bin", "Größe (1).csv", "empty"])
    assert session.download("data.bin") == session.download("Gr%C3%B6%C3%9Fe%20%281%29.csv") == content
    assert session.download("empty") == b""
    sizes = session.run(
        "import os; n = os.path.getsize('data.bin')", "n <- file.size('data.bin')", outputs=["n"]
    )
    assert sizes == {"n": len(content)}
    session.upload("data.bin", b"new")
    assert session.download("data.bin") == b"new"
    accepted(session.client.delete(f"{session.path}/files/data.bin"), "text")
    refused(session.client.get(f"{session.path}/files/data.bin"), 404)
    assert "data.bin" not in session.files()


@BOTH
def test_files_below_the_working_directory_are_reached_by_their_path(session: Remote) -> None:
    session.run(
        "import os; os.makedirs('a/b'); open('a/b/c.txt', 'w').write('deep')",
        "dir.create('a/b', recursive = TRUE); cat('deep', file = 'a/b/c.txt')",
    )
    assert session.files() == ["a/b/c.txt"]
    assert session.download("a/b/c.txt") == session.download("a%2Fb%2Fc.txt") == b"deep"
    accepted(session.client.delete(f"{session.path}/files/a%2Fb%2Fc.txt"), "text")
    assert session.files() == []


@pytest.mark.parametrize("runtime", ["Python"])
def test_python_objects_travel_as_dill(session: Remote) -> None:
    client: dict[str, Any] = {"__name__": "__main__"}
    exec("def double(v): return 2 * v", client)
    for name, value in (("n", 5), ("table", {"a": [1, 2]}), ("double", client["double"])):
        accepted(session.put(name, dill.dumps(value)), "text")
    assert session.run("y = double(n) + len(table['a'])", "", outputs=["y"]) == {"y": 12}
    assert dill.loads(session.get("table")) == {"a": [1, 2]}
    assert dill.loads(session.get("double"))(21) == 42
    session.run("gen = (i for i in range(3))", "")
    assert "gen" in refused(session.client.get(f"{session.path}/workspace/gen"), 400)


@pytest.mark.needs_r
@pytest.mark.parametrize("runtime", ["R"])
def test_r_objects_travel_as_what_savrds_and_save_write(session: Remote, admin: httpx.Client) -> None:
    session.run("", "model <- lm(mpg ~ wt, mtcars); f <- function(x) x + 1; d <- data.frame(a = 1:2)")
    session.run(
        "", "saveRDS(d, 'd.rds'); saveRDS(d, 'plain.rds', compress = FALSE); save(d, file = 'd.RData')"
    )
    session.run("", "save(d, file = 'ascii.RData', ascii = TRUE); saveRDS(d, 'xz.rds', compress = 'xz')")
    other = Remote(admin, "R")
    for name in ("d.rds", "plain.rds", "d.RData", "ascii.RData", "xz.rds"):
        accepted(other.put("given", session.download(name)), "text")
        assert other.run("", "s <- sum(given$a)", outputs=["s"]) == {"s": 3}
        other.run("", "rm(given)")
    for name in ("model", "f"):
        accepted(other.put(name, session.get(name)), "text")
    assert other.run("", "y <- f(round(predict(model, list(wt = 3)), 3))", outputs=["y"])["y"] == 22.252
    session.upload("fetched.RData", session.get("d"))
    code = "before <- d; rm(d); load('fetched.RData'); same <- identical(d, before)"
    assert session.run("", code, outputs=["same"]) == {"same": True}
    other.close()


@pytest.mark.needs_r
@pytest.mark.parametrize("runtime", ["R"])
@pytest.mark.parametrize(
    "content", [b"nothing like it", b"\x1f\x8b\x08\0junk", b"RDX3\nX\n\0\0", b"X\n\0\0\0\3"]
)
def test_bytes_that_r_cannot_load_are_400_and_the_session_lives(session: Remote, content: bytes) -> None:
    session.run("", "kept <- 1")
    assert "thing" in refused(session.put("thing", content), 400)
    assert session.names() == ["kept"]


@pytest.mark.needs_r
@pytest.mark.parametrize("runtime", ["R"])
def test_plots_without_a_device_become_png_files(session: Remote) -> None:
    result = session.execute("", "plot(1:10); hist(rnorm(50))")
    assert result["success"], result["errorMessage"]
    assert len(result["changedFiles"]) == 2
    for name in result["changedFiles"]:
        assert name.endswith(".png")
        assert session.download(name).startswith(PNG)
        assert len(session.download(name)) > 1000
    more = session.execute("", "plot(3:1)")["changedFiles"]
    assert len(more) == 1
    session.run("", "png('own.png'); plot(1); invisible(dev.off())")
    assert session.download("own.png").startswith(PNG)


@BOTH
def test_two_sessions_see_nothing_of_each_other_and_run_side_by_side(
    admin: httpx.Client, server: Server, runtime: str
) -> None:
    with contextlib.ExitStack() as stack:
        remotes = [Remote(stack.enter_context(server.client()), runtime) for _ in range(2)]
        for number, remote in enumerate(remotes):
            stack.callback(remote.close)
            remote.run(
                f"x = {number}; open('f{number}', 'w').close()", f"x <- {number}; file.create('f{number}')"
            )
        with ThreadPoolExecutor(2) as threads:
            answers: list[Any] = list(
                threads.map(
                    lambda remote: remote.run("y = x", "Sys.sleep(0.2); y <- x", outputs=["y"]), remotes
                )
            )
        assert answers == [{"y": 0}, {"y": 1}]
        assert [remote.files() for remote in remotes] == [["f0"], ["f1"]]


@BOTH
def test_a_session_whose_process_was_killed_is_410_until_it_is_closed(
    admin: httpx.Client, server: Server, runtime: str
) -> None:
    remote = Remote(admin, runtime)
    os.kill(process_of(remote, server), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while (answer := admin.get(f"{remote.path}/workspace")).status_code == 200:
        assert time.monotonic() < deadline
    refused(answer, 410)
    refused(admin.post(f"{remote.path}/execute", json={"code": "1"}), 410)
    refused(admin.get(f"{remote.path}/console-output"), 410)
    accepted(admin.delete(remote.path), "text")
    refused(admin.get(f"{remote.path}/workspace"), 404)


def process_of(remote: Remote, server: Server) -> int:
    """The process that runs the session's code: the one that holds a file which that code opened."""
    mark = f"mark-{remote.id}"
    remote.run(f"held = open({mark!r}, 'w')", f"held <- file({mark!r}, 'w')")
    for pid in below(server.process.pid):
        with contextlib.suppress(OSError):
            if any(mark in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")):
                return pid
    raise AssertionError("no process holds the session's file")


def below(pid: int) -> list[int]:
    """All processes that a process started, and those that these did."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as children:
            found += [int(child) for child in children.read().split()]
    return found + [further for child in found for further in below(child)]
