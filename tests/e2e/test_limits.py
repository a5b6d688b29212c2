"""A runaway is stopped, its caller told why, and the next call served; for each limit and language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import stopping
from tests.e2e.publishing import call, publish
from tests.servers import Server, start_server

pytestmark = [pytest.mark.needs_r, pytest.mark.timeout(120)]

FLAGS = [
    *("--pool-initial", "1", "--pool-max", "2", "--execution-seconds", "3", "--load-seconds", "5"),
    *(
        "--memory-mib",
        "700",
        "--output-mib",
        "2",
        "--file-mib",
        "3",
        "--processes",
        "40",
        "--console-kib",
        "16",
    ),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with tight limits."""
    with stopping(start_server(tmp_path_factory.mktemp("small"), *FLAGS)) as running:
        yield running


@pytest.fixture(scope="module")
def client(small: Server) -> Iterator[httpx.Client]:
    with small.client() as client:
        publish(client, "next-py", "y = x + 1", inputs={"x": "numeric"}, outputs={"y": "numeric"})
        publish(
            client, "next-r", "y <- x + 1", runtime="R", inputs={"x": "numeric"}, outputs={"y": "numeric"}
        )
        yield client


def the_next_is_served(client: httpx.Client) -> None:
    assert call(client, "/api/next-py/1", x=1) == {"y": 2}
    assert call(client, "/api/next-r/1", x=1) == {"y": 2}


@pytest.mark.parametrize(
    ("runtime", "code"),
    [
        ("Python", "while True: pass"),
        ("Python", "import time; time.sleep(60)"),
        ("Python", "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n  pass"),
        ("R", "repeat {}"),
        ("R", "Sys.sleep(60)"),
        ("R", "tryCatch(repeat {}, interrupt = function(e) repeat {})"),
    ],
)
def test_a_call_that_runs_too_long_gets_504(client: httpx.Client, runtime: str, code: str) -> None:
    path = publish(client, f"slow-{abs(hash(code))}", code, runtime=runtime)
    answer = client.post(path, json={})
    assert answer.status_code == 504
    assert "longer than the limit of 3 s" in answer.json()["message"]
    the_next_is_served(client)


@pytest.mark.parametrize(
    ("runtime", "code", "told"),
    [
        ("Python", "x = bytearray(8 << 30)", "MemoryError"),
        ("Python", "x = []\nwhile True: x.append(bytearray(b'1' * (8 << 20)))", "memory: the code used"),
        ("R", "x <- numeric(2^31)", "cannot allocate vector"),
        ("R", "x <- list(); repeat x[[length(x) + 1]] <- rep(1, 1e7)", "memory: the code used"),
    ],
)
def test_a_call_that_takes_too_much_memory_is_told_so(
    client: httpx.Client, runtime: str, code: str, told: str
) -> None:
    path = publish(client, f"greedy-{abs(hash(code))}", code, runtime=runtime)
    answer = client.post(path, json={})
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is False
    assert told in answer.json()["errorMessage"]
    the_next_is_served(client)


@pytest.mark.parametrize(
    ("runtime", "code"), [("Python", "y = 'x' * (4 << 20)"), ("R", "y <- strrep('x', 4e6)")]
)
def test_an_answer_over_the_output_limit_is_not_sent(client: httpx.Client, runtime: str, code: str) -> None:
    path = publish(client, f"wordy-{runtime}", code, runtime=runtime, outputs={"y": "character"})
    answer = client.post(path, json={})
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert "are allowed" in answer.json()["errorMessage"]
    assert len(answer.content) < 10_000
    the_next_is_served(client)


@pytest.mark.parametrize(
    ("runtime", "code", "told"),
    [
        ("Python", "open('big', 'wb').write(bytes(8 << 20))", "File too large"),
        (
            "R",
            "writeBin(raw(8e6), 'big'); n <- file.size('big'); if (n < 8e6) stop('written: ', n)",
            "written",
        ),
    ],
)
def test_a_file_over_the_file_limit_cannot_be_written(
    client: httpx.Client, runtime: str, code: str, told: str
) -> None:
    path = publish(client, f"filling-{runtime}", code, runtime=runtime)
    answer = client.post(path, json={})
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert told in answer.json()["errorMessage"]
    the_next_is_served(client)


@pytest.mark.needs_isolation
def test_a_fork_bomb_stays_in_its_shell(client: httpx.Client) -> None:
    bomb = "import os, time\nwhile True:\n  if os.fork() == 0: time.sleep(30)"
    answer = client.post(publish(client, "bomb", bomb), json={})
    assert answer.status_code == 200
    assert "BlockingIOError" in answer.json()["errorMessage"]
    the_next_is_served(client)


@pytest.mark.parametrize(
    ("runtime", "code"),
    [("Python", "print('x' * 1000000)"), ("R", "cat(strrep('x', 1e6))")],
)
def test_console_output_is_cut_with_a_note(client: httpx.Client, runtime: str, code: str) -> None:
    answer = client.post(publish(client, f"printing-{runtime}", code, runtime=runtime), json={})
    assert answer.json()["success"]
    assert 16_000 < len(answer.json()["consoleOutput"]) < 17_500
    the_next_is_served(client)


@pytest.mark.parametrize(
    ("runtime", "code"),
    [
        ("Python", "import os; os._exit(3)"),
        ("Python", "import os; os.kill(os.getpid(), 11)"),
        ("Python", "import ctypes; ctypes.string_at(0)"),
        ("Python", "import os; os.abort()"),
        ("Python", "import os; os.execv('/bin/true', ['true'])"),
        ("Python", "import os; os.close(3); os.close(4)"),
        ("R", "tools::pskill(Sys.getpid(), 9)"),
        ("R", "quit(status = 3)"),
    ],
)
def test_code_that_ends_its_shell_costs_one_call(client: httpx.Client, runtime: str, code: str) -> None:
    answer = client.post(publish(client, f"ending-{abs(hash(code))}", code, runtime=runtime), json={})
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is False
    assert "process" in answer.json()["errorMessage"]
    the_next_is_served(client)


@pytest.mark.parametrize(("runtime", "init"), [("Python", "while True: pass"), ("R", "repeat {}")])
def test_init_code_that_never_ends_is_stopped(client: httpx.Client, runtime: str, init: str) -> None:
    path = publish(client, f"stuck-{runtime}", "y = 1", runtime=runtime, initCode=init)
    answer = client.post(path, json={}, timeout=60)
    assert answer.status_code in {503, 504}
    assert "loading" in answer.json()["message"]
    the_next_is_served(client)


@pytest.mark.needs_isolation
def test_what_a_call_left_running_is_gone_with_its_shell(client: httpx.Client, tmp_path: Path) -> None:
    code = "import os, subprocess\nsubprocess.Popen(['sleep', '4242'], start_new_session=True)\nos._exit(1)"
    client.post(publish(client, "leaving", code), json={})
    the_next_is_served(client)
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)]
    assert not any(b"sleep\x004242" in line for line in running)


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False
