"""A real R shell as the server sees it: frames in, answers out, with the engine around R."""

import base64
import json
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill.frames import Frame, Kind, Status
from tests.integration.shell_client import ShellClient, answer, snapshot
from tests.r.companion import write_with_r

pytestmark = pytest.mark.needs_r


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellClient]:
    with ShellClient(tmp_path_factory.mktemp("shell"), runtime="R") as client:
        yield client


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A snapshot with a linear model and a file."""
    path = tmp_path_factory.mktemp("model") / ".RData"
    write_with_r(f"m <- lm(dist ~ speed, cars); save(m, file = '{path}')")
    return snapshot({".RData": path.read_bytes(), "notes.txt": b"from the snapshot"})


def test_it_says_what_it_is(shell: ShellClient) -> None:
    assert shell.about["language"].startswith("R ")
    assert shell.about["pid"] == shell.process.pid
    os.kill(shell.about["child_pid"], 0)


def test_a_model_scores_and_the_answer_has_all_its_parts(shell: ShellClient, model: bytes) -> None:
    loaded = shell.load(
        content=model,
        code="pred <- predict(m, data); cat(readLines('notes.txt', warn = FALSE)); warning('watch out')\n"
        "plot(1); writeLines('x', 'out.txt')",
        inputs={"data": "data.frame"},
        outputs={"pred": "vector"},
        outputFiles=["out.txt", "never.txt"],
    )
    assert loaded.status == Status.OK, loaded.body
    for _ in range(2):
        result = shell.call(data={"speed": [10, 20]})
        assert result["status"] is Status.OK
        assert result["outputParameters"]["pred"] == pytest.approx([21.744993, 61.069080])
        assert result["outputFiles"] == {"out.txt": base64.b64encode(b"x\n").decode(), "never.txt": None}
        assert result["consoleOutput"] == "from the snapshotWarning message:\nwatch out\n"
        assert sorted(result["changedFiles"]) == ["Rplot001.png", "out.txt"]


def test_columns_may_be_declared_and_come_as_rows(shell: ShellClient) -> None:
    definition = {"name": "d", "type": "data.frame", "columns": ["b", "a"], "form": "array"}
    shell.load(
        code="y <- d; n <- is.na(d$a)", inputs=[definition], outputs={"y": "data.frame", "n": "vector"}
    )
    expected = {"y": {"b": [2.5, 4.0], "a": [1.0, None]}, "n": [False, True]}
    assert shell.score(d={"a": [1, None], "b": [2.5, 4]}) == expected
    assert shell.score(d=[{"a": 1, "b": 2.5}, {"a": None, "b": 4}]) == expected


def test_a_failure_is_an_answer(shell: ShellClient) -> None:
    shell.load(
        code="f <- function(x) stop('no ', x)\ny <- f(x)", inputs={"x": "numeric"}, outputs={"y": "numeric"}
    )
    result = shell.call(x=1)
    assert result["status"] is Status.FAILED
    assert result["success"] is False
    assert result["errorMessage"].startswith("Error in f(x) : no 1\n")


def test_a_service_that_cannot_be_loaded_answers_so(shell: ShellClient) -> None:
    assert shell.load(code="y <- 1", initCode="stop('not today')").status == Status.FAILED
    result = shell.call()
    assert result["status"] is Status.FAILED
    assert "Error: not today" in result["errorMessage"]


def test_text_that_r_cannot_hold_is_the_callers_mistake(shell: ShellClient) -> None:
    shell.load(code="y <- x", inputs={"x": "character"}, outputs={"y": "character"})
    result = shell.call(x="a\0b")
    assert result["status"] is Status.INVALID
    assert "input 'x'" in result["message"]


def test_calls_that_wait_run_as_one(shell: ShellClient, model: bytes) -> None:
    shell.load(
        content=model,
        code="pred <- predict(m, data)",
        inputs={"data": "data.frame"},
        outputs={"pred": "vector"},
        batchable=True,
    )
    bodies = [b'{"data": {"speed": [%d]}}' % speed for speed in (10, 20, 10)]
    shell.socket.sendall(b"".join(shell.pack(Kind.CALL, body, handle=1) for body in bodies))
    frames = [shell.receive() for _ in range(4)]
    assert (frames[0].kind, frames[0].id) == (Kind.GROUP, 3)
    results = [answer(frame)["outputParameters"]["pred"] for frame in frames[1:]]
    assert results == [pytest.approx([21.744993]), pytest.approx([61.069080]), pytest.approx([21.744993])]


def test_code_is_checked_without_being_run(shell: ShellClient) -> None:
    assert shell.operate("check", body={"code": "x <- 1", "initCode": ""})["status"] is Status.OK
    refused = shell.operate("check", body={"code": "x <-\n\n}", "initCode": ""})
    assert refused["status"] is Status.INVALID
    assert "code:3:1" in refused["message"]


def test_a_session_executes_cancels_and_goes_on(tmp_path: Path) -> None:
    with ShellClient.session(tmp_path, runtime="R") as session:
        first = session.execute("x <- 1:3\nx * k\nplot(x)", ("x",), k=2)
        assert first["outputs"] == {"x": [1, 2, 3]}
        assert first["consoleOutput"] == "[1] 2 4 6\n"
        assert first["changedFiles"] == ["Rplot001.png"]
        session.send(Kind.OPERATION, _request("cat('begun'); repeat NULL"), meta=b'{"op": "execute"}')
        _await_text(session.console, b"begun")
        session.interrupt()
        cancelled = answer(session.receive())
        assert cancelled["success"] is False
        assert cancelled["errorMessage"] == "execution was cancelled"
        session.interrupt()
        assert session.execute("y <- sum(x)", ("y",))["outputs"] == {"y": 6}


def test_objects_and_snapshots_of_a_session(tmp_path: Path) -> None:
    write_with_r(f"saveRDS(cars, '{tmp_path}/cars.rds')")
    with ShellClient.session(tmp_path, runtime="R") as session:
        content = (tmp_path / "cars.rds").read_bytes()
        assert session.operate("workspace_set", name="mine", content=content)["status"] is Status.OK
        assert session.operate("workspace_list")["names"] == ["mine"]
        refused = session.operate("workspace_set", name="bad", content=b"no object")
        assert refused["status"] is Status.INVALID
        assert "'bad'" in refused["message"]
        got = session.operate("workspace_get", name="mine", content=b"")
        (tmp_path / "got.RData").write_bytes(got["written"])
        write_with_r(f"load('{tmp_path}/got.RData'); stopifnot(identical(mine, cars))")
        session.execute("writeLines('a', 'kept.txt')")
        saved = session.operate("snapshot_save", content=b"")["written"]
        session.execute("rm(mine); other <- 1")
        assert session.operate("snapshot_load", content=saved)["status"] is Status.OK
        assert session.operate("workspace_list")["names"] == ["mine"]
        assert session.operate("files_list")["files"] == ["kept.txt"]
        assert session.operate("workspace_get", name="other", content=b"")["status"] is Status.MISSING


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("quit()", "status 0"),
        ("q('no', status = 3)", "status 3"),
        ("tools::pskill(Sys.getpid(), 9)", "SIGKILL"),
        ("tools::pskill(Sys.getpid(), 11); Sys.sleep(20)", "SIGSEGV"),
        (".Internal(quit('no', 5L, FALSE))", "status 5"),
    ],
)
def test_code_that_ends_r_fails_its_call_and_nothing_is_lost(tmp_path: Path, code: str, how: str) -> None:
    with ShellClient.session(tmp_path, runtime="R") as shell:
        shell.load(1, code="y <- base + 1", initCode="base <- 41", outputs={"y": "numeric"})
        shell.load(2, code=code)
        assert shell.score(1) == {"y": 42}
        for _ in range(2):
            result = shell.call(2)
            assert result["status"] is Status.FAILED
            assert result["success"] is False
            assert how in result["errorMessage"]
            assert "stop()" in result["errorMessage"]
            assert shell.score(1) == {"y": 42}


def test_a_copy_that_code_made_of_r_does_not_answer_in_its_place(tmp_path: Path) -> None:
    with ShellClient.session(tmp_path, runtime="R") as shell:
        code = "copy <- parallel:::mcfork(); y <- if (inherits(copy, 'masterProcess')) 2 else 1"
        shell.load(1, code=code, outputs={"y": "numeric"})
        shell.load(2, code="y <- 7", outputs={"y": "numeric"})
        for _ in range(3):
            assert shell.score(1) == {"y": 1}
            assert shell.score(2) == {"y": 7}


def test_init_code_that_ends_r_is_what_each_call_is_told(tmp_path: Path) -> None:
    with ShellClient.session(tmp_path, runtime="R") as shell:
        shell.load(1, code="y <- 1", outputs={"y": "numeric"})
        assert shell.load(2, code="y <- 1", initCode="quit()").status == Status.FAILED
        for _ in range(2):
            result = shell.call(2)
            assert result["status"] is Status.FAILED
            assert "cannot be loaded: the R process ended with status 0" in result["errorMessage"]
        assert shell.score(1) == {"y": 1}


def test_a_call_has_no_part_in_the_end_of_r_before_it(tmp_path: Path) -> None:
    with ShellClient.session(tmp_path, runtime="R") as shell:
        shell.load(code="y <- base + 1", initCode="base <- 41", outputs={"y": "numeric"})
        watched = os.pidfd_open(shell.about["child_pid"])
        os.kill(shell.about["child_pid"], signal.SIGKILL)
        _await_end(watched)
        assert shell.score() == {"y": 42}


def test_calls_that_wait_behind_one_that_ends_r_are_answered(tmp_path: Path) -> None:
    with ShellClient.session(tmp_path, runtime="R") as shell:
        shell.load(
            code="if (any(x < 0)) quit(); y <- x * 2",
            inputs={"x": "vector"},
            outputs={"y": "vector"},
            batchable=True,
        )
        bodies = [json.dumps({"x": [each]}).encode() for each in (1.0, 2.0, -1.0, 3.0, 4.0)]
        shell.socket.sendall(b"".join(shell.pack(Kind.CALL, body, handle=1) for body in bodies))
        frames: list[Frame] = []
        while len(frames) < 5:
            frame = shell.receive()
            if frame.kind == Kind.REPLY:
                frames.append(frame)
        assert [each.id for each in frames] == sorted(each.id for each in frames)
        results = [answer(each) for each in frames]
        assert [each["success"] for each in results] == [True, True, False, True, True]
        assert [each["outputParameters"].get("y") for each in results] == [[2.0], [4.0], None, [6.0], [8.0]]


def test_a_session_whose_code_ends_r_is_over(tmp_path: Path) -> None:
    with ShellClient.session(tmp_path, runtime="R") as session:
        request = _request("quit()")
        session.send(Kind.OPERATION, request, meta=b'{"op":"execute"}')
        result = answer(session.receive())
        assert result["status"] is Status.BROKEN
        assert "the R process ended with status 0" in result["message"]
        with pytest.raises(EOFError):
            session.receive()


def test_a_shell_whose_r_does_not_start_again_says_that_it_is_broken_once(tmp_path: Path) -> None:
    command = tmp_path / "R"
    command.write_text('#!/bin/sh\nexec R "$@"\n')
    command.chmod(0o700)
    with ShellClient.session(tmp_path, runtime="R", rscript=str(command)) as shell:
        shell.load(code="quit()")
        command.unlink()
        assert shell.call()["status"] is Status.FAILED
        assert shell.call()["status"] is Status.BROKEN
        with pytest.raises(EOFError):
            shell.receive()


def test_r_dies_with_its_shell(tmp_path: Path) -> None:
    with ShellClient.session(tmp_path, runtime="R") as shell:
        shell.load(code="repeat NULL")
        shell.send(Kind.CALL, b"{}", handle=1)
        watched = os.pidfd_open(shell.about["child_pid"])
        shell.process.kill()
        shell.process.wait()
        _await_end(watched)


def _request(code: str) -> bytes:
    request: dict[str, Any] = {"code": code, "inputParameters": [], "outputParameters": []}
    return json.dumps(request).encode()


def _await_text(console: Path, text: bytes) -> None:
    """Until the console shows `text`; the test's own time limit ends it otherwise."""
    while not console.read_bytes().endswith(text):
        os.sched_yield()


def _await_end(watched: int) -> None:
    with os.fdopen(watched, "rb") as file:
        assert select.select([file], [], [], 20)[0]
