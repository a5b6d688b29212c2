from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from gristmill.deploy.errors import NoBuilder
from gristmill.deploy.running import asked, readable, run


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_lines_come_as_they_are_said_from_both_outputs() -> None:
    told: list[str] = []
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr, flush=True); sys.exit(3)"
    done = run(python(code), tell=told.append)
    assert (done.code, told) == (3, ["out", "err"])
    assert done.lines == ("out", "err")


def test_a_line_is_told_before_the_program_goes_on(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = f"print('first', flush=True); open({str(gate)!r}).read(); print('second')"
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if line == "first":
            gate.write_text("go on")

    assert run(python(code), tell=tell).code == 0
    assert told == ["first", "second"]


def test_what_a_program_says_cannot_move_the_terminals_cursor() -> None:
    assert readable("\x1b[31mred\x1b[0m \x1b]0;title\x07 a\x08b\x9b2J") == "red 0;title ab2J"


def test_progress_with_carriage_returns_is_lines_and_a_line_without_end_is_cut() -> None:
    told: list[str] = []
    run(python("import sys; sys.stdout.write('1%\\r2%\\r\\n3%\\n' + 'x' * 200_000)"), tell=told.append)
    assert told[:3] == ["1%", "2%", "3%"]
    assert all(len(line) <= 4096 for line in told)


def test_only_the_last_lines_are_kept() -> None:
    done = run(python("for i in range(5000): print(i)"))
    assert done.lines[-1] == "4999"
    assert len(done.lines) == 400
    assert done.tail(2) == "  4998\n  4999"


def test_a_secret_goes_to_the_input_and_not_to_the_arguments() -> None:
    code = "import sys; print(len(sys.stdin.readline()), sys.argv[1:])"
    assert run(python(code), secret="hunter2").lines == ("8 []",)


def test_without_a_secret_there_is_no_input_to_wait_for() -> None:
    assert run(python("import sys; print(repr(sys.stdin.read()))")).lines == ("''",)


def test_a_program_that_reads_no_secret_is_no_error() -> None:
    assert run(python("pass"), secret="x" * 1_000_000).code == 0


def test_ctrl_c_reaches_the_program_which_may_clean_up(tmp_path: Path) -> None:
    """In the terminal's way: the signal comes to us, we hand it on, and wait."""
    cleaned = tmp_path / "cleaned"
    code = (
        "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\n"
        f"except KeyboardInterrupt:\n    open({str(cleaned)!r}, 'w').write('yes')"
    )

    def tell(line: str) -> None:
        assert line == "begun"
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(python(code), tell=tell)
    assert cleaned.read_text() == "yes"


def test_a_program_that_ignores_ctrl_c_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.deploy.running._GRACE", 0.3)
    code = (
        "import signal, os\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(os.getpid(), flush=True)\nsignal.pause()"
    )
    pids: list[int] = []

    def tell(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(python(code), tell=tell)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_question_that_is_not_answered_in_time_is_no_success() -> None:
    done = asked(python("import signal; signal.pause()"), timeout=0.2)
    assert done.code == 124
    assert "did not answer within 0.2 seconds" in done.text


@pytest.mark.parametrize("ask", [run, asked])
def test_a_program_that_is_not_there_is_named(ask: object) -> None:
    with pytest.raises(NoBuilder, match="no program no-such-builder on the PATH"):
        ask(["no-such-builder", "info"])  # type: ignore[operator]
