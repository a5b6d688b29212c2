"""The command line against a real server, as a shell runs it."""

from __future__ import annotations

import csv
import json
import os
import pickle
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from tests.servers import GRISTMILL, Server

Run = Callable[..., subprocess.CompletedProcess[str]]
#: Each command is a process of its own, and a story is many of them.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Run:
    """`run("services", "--json")` in a folder and a home of its own, not logged in."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRISTMILL_")}
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "NO_COLOR": "1", "COLUMNS": "110"}

    def run(*words: str, input: str = "", code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [GRISTMILL, *words],
            cwd=tmp_path,
            env={**clean, **home, **more},
            input=input,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def here(run: Run, server: Server) -> Run:
    """The same, logged in."""
    run("login", server.url, "-u", "admin", "--password-stdin", input=server.password + "\n")
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A service kept as a folder."""
    frame = pd.DataFrame({"rm": [5.0, 6.0, 7.0], "lstat": [9.0, 5.0, 2.0]})
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LinearRegression().fit(frame, [10.0, 20.0, 30.0])))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "score.py").write_text(
        "import numpy as np\n\n"
        "def price(rows: 'DataFrame', factor: float) -> np.ndarray:\n"
        "    '''Prices of houses.'''\n"
        "    print('scoring', len(rows))\n"
        "    return np.round(model.predict(rows) * factor, 6)\n"
    )
    (tmp_path / "service.toml").write_text(
        'name = "cli-bos"\nversion = "1.0"\nfunction = "score.py:price"\nmodels = { model = "model.pkl" }\n'
        '[inputs]\nrows = { sample = "rows.csv" }\n'
    )
    return tmp_path


def test_a_login_is_kept_for_later_commands_and_ended_by_logout(
    run: Run, server: Server, tmp_path: Path
) -> None:
    assert "not logged in to http://127.0.0.1:12800: run `gristmill login" in run("services", code=3).stderr
    told = run("login", server.url, "-u", "admin", "--password-stdin", input="wrong\n", code=3).stderr
    assert told == f"Error: logging in to {server.url} as admin: the user name or the password is wrong\n"
    run("login", server.url, "-u", "admin", "--password-stdin", input=server.password + "\n")
    profile = tmp_path / ".config" / "gristmill"
    assert profile.stat().st_mode & 0o777 == 0o600
    assert server.password not in profile.read_text()
    run("services")
    assert "Logged out" in run("logout").stdout
    run("services", code=3)
    assert run("logout", code=3).stderr == "Error: you are not logged in\n"


def test_a_folder_is_published_called_and_deleted(here: Run, folder: Path) -> None:
    assert here("publish", "--dry-run").stdout == "cli-bos 1.0 is ready to be published.\n"
    assert here("publish").stdout == "Published cli-bos 1.0.\n"
    assert "publishing: service 'cli-bos' version '1.0' exists already" in here("publish", code=5).stderr
    listed = here("services", "cli-bos").stdout
    assert listed == "cli-bos\t1.0\tPython\trows, factor\tresult\tadmin\tPrices of houses.\n"
    assert json.loads(here("services", "cli-bos", "--json").stdout)[0]["operationId"] == "price"
    shown = here("show", "cli-bos").stdout
    assert "call\tprice(rows: pandas.DataFrame, factor: float) -> Result\n" in shown
    assert "Try: gristmill call cli-bos 1.0 rows=@rows.csv factor=1.5" in shown
    assert "def price" in here("show", "cli-bos", "--code").stdout
    assert json.loads(here("show", "cli-bos", "1.0", "--swagger").stdout)["swagger"] == "2.0"

    called = here("call", "cli-bos", "1.0", "factor=2", "--input", "rows.csv")
    assert [float(line) for line in called.stdout.split()] == [20.0, 40.0, 60.0]
    assert called.stderr == "scoring 3\n"
    piped = here("call", "cli-bos", "factor=1", "-i", "-", "--json", input="rm,lstat\n5,9\n").stdout
    assert json.loads(piped)["outputParameters"] == {"result": [10.0]}
    here("call", "cli-bos", "rows=@rows.csv", "factor=1", "-o", "scored.csv")
    with (folder / "scored.csv").open() as file:
        assert list(csv.reader(file)) == [["result"], ["10.0"], ["20.0"], ["30.0"]]

    text = (folder / "service.toml").read_text()
    (folder / "service.toml").write_text('description = "Better."\n' + text)
    assert here("redeploy").stdout == "Redeployed cli-bos 1.0.\n"
    assert "Better." in here("show", "cli-bos").stdout
    assert "say --yes" in here("delete", "cli-bos", "1.0", code=2).stderr
    assert here("delete", "cli-bos", "1.0", "--yes").stdout == "Deleted cli-bos 1.0.\n"
    assert "there is no service 'cli-bos'" in here("show", "cli-bos", code=4).stderr


def test_inputs_that_do_not_fit_end_with_5_and_failing_code_with_6(here: Run, folder: Path) -> None:
    (folder / "score.py").write_text("def ratio(a: float, b: float) -> float:\n    return a / b\n")
    (folder / "service.toml").write_text('name = "cli-ratio"\nfunction = "score.py:ratio"\n')
    here("publish")
    assert here("call", "cli-ratio", "a=1", "b=4").stdout == "0.25\n"
    failed = here("call", "cli-ratio", "a=1", "b=0", code=6)
    assert failed.stdout == ""
    assert "failed: ZeroDivisionError: float division by zero" in failed.stderr
    assert "return a / b" in failed.stderr
    assert json.loads(here("call", "cli-ratio", "a=1", "b=0", "--json", code=6).stdout)["success"] is False
    assert "input 'b': expected float, got str 'x'" in here("call", "cli-ratio", "a=1", "b=x", code=5).stderr
    assert "there is no input 'c'" in here("call", "cli-ratio", "c=1", code=5).stderr
    assert "the input 'b' is missing" in here("call", "cli-ratio", "a=1", code=5).stderr


def test_no_server_ends_with_7(run: Run) -> None:
    told = run("services", GRISTMILL_URL="http://127.0.0.1:9", GRISTMILL_TOKEN="t", code=7).stderr
    assert told.startswith("Error: nothing answers at http://127.0.0.1:9: ")
    assert told.endswith("Is the server running?\n")


def test_the_environment_is_enough_without_a_login(run: Run, server: Server) -> None:
    run("services", GRISTMILL_URL=server.url, GRISTMILL_PASSWORD=server.password)
    assert run("status", "--url", server.url, GRISTMILL_PASSWORD=server.password).stdout.startswith("pass")
    run("status", "--url", server.url, "--password", "wrong", code=3)


def test_code_runs_in_a_session_of_its_own_or_in_one_that_stays(here: Run, folder: Path) -> None:
    assert here("session", "run", "-c", "print(6 * 7)").stdout == "42\n"
    assert "ZeroDivisionError" in here("session", "run", "-c", "1/0", code=6).stderr
    assert here("session", "run", "-", input="x = 1\nprint(x)").stdout == "1\n"
    id = here("session", "start", "--name", "mine").stdout.strip()
    assert here("session", "list").stdout == f"{id}\tPython\tmine\n"
    assert json.loads(here("session", "list", "--json").stdout)[0]["id"] == id
    assert here("session", "upload", id[:8], "rows.csv").stdout == "rows.csv\n"
    here("session", "run", "-s", id, "-c", "open('out.txt', 'w').write(open('rows.csv').read()); y = 2")
    assert here("session", "files", id).stdout == "out.txt\nrows.csv\n"
    assert here("session", "objects", id).stdout == "y\n"
    here("session", "download", id, "out.txt", "--to", "copy.txt")
    assert (folder / "copy.txt").read_bytes() == (folder / "rows.csv").read_bytes()
    typed = here("session", "prompt", "-s", id, input="def f(a):\n    return a + y\n\nf(1)\n1/0\n")
    assert "3\n" in typed.stdout
    assert "ZeroDivisionError" in typed.stderr
    here("session", "close", code=2)
    assert here("session", "close", "--all").stdout == f"Closed {id}.\n"
    assert "no session of yours begins with" in here("session", "files", id, code=4).stderr


@pytest.mark.needs_r
def test_a_file_of_r_runs_in_r(here: Run, folder: Path) -> None:
    (folder / "draw.R").write_text("plot(1:3)\ncat('drawn\\n')\n")
    done = here("session", "run", "draw.R")
    assert (done.stdout, done.stderr) == ("drawn\n", "files: Rplot001.png\n")


def test_ctrl_c_interrupts_the_code_on_the_server(here: Run, server: Server, tmp_path: Path) -> None:
    id = here("session", "start").stdout.strip()
    code = "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.01)"
    environment = {**os.environ, "HOME": str(tmp_path), "GRISTMILL_URL": server.url}
    running = subprocess.Popen(
        [GRISTMILL, "session", "run", "-s", id, "-c", code],
        env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with server.client() as client:
        while client.get(f"/sessions/{id}/console-output").json()["consoleOutput"] != "begun\n":
            assert running.poll() is None
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate()
    assert running.returncode == 6
    assert stdout == "begun\n"
    assert "execution was cancelled" in stderr
    here("session", "close", id)


def test_names_and_versions_are_completed(here: Run, folder: Path) -> None:
    here("publish", "--name", "cli-complete", "--version", "3.1")
    completion = {"_GRISTMILL_COMPLETE": "complete_bash"}
    told = here(**completion, COMP_WORDS="gristmill show cli-com", COMP_CWORD="2").stdout
    assert told.strip() == "cli-complete"
    told = here(**completion, COMP_WORDS="gristmill delete cli-complete 3", COMP_CWORD="3").stdout
    assert told.strip() == "3.1"


@pytest.mark.timeout(180)
def test_the_demo_tells_its_story_and_leaves_nothing(run: Run) -> None:
    told = run("demo").stdout
    assert "['setosa' 'setosa' 'setosa']" in told
    assert "setosa\nversicolor\n" in told
    assert told.endswith("The server has ended, and nothing of it is left.\n")


def test_a_service_is_exported_to_a_file_and_imported_from_it(here: Run, folder: Path) -> None:
    here("publish", "--name", "cli-moving")
    told = here("export", "cli-moving", "1.0").stdout
    file = folder / "cli-moving-1.0.gm"
    assert told == f"Exported cli-moving 1.0 to cli-moving-1.0.gm ({file.stat().st_size:,} bytes).\n"
    assert "exists already: choose another" in here("export", "cli-moving", "1.0", code=5).stderr
    here("export", "cli-moving", "1.0", "-o", "again.gm")
    assert (folder / "again.gm").read_bytes() == file.read_bytes()
    assert "--replace changes it in place" in here("import", file.name, code=5).stderr
    assert here("import", file.name, "again.gm", "--replace").stdout == 2 * "Imported cli-moving 1.0.\n"
    assert here("import", file.name, "-v", "2.0").stdout == "Imported cli-moving 2.0.\n"
    call = ("rows=@rows.csv", "factor=1")
    assert here("call", "cli-moving", "2.0", *call).stdout == here("call", "cli-moving", "1.0", *call).stdout
    assert "are for one file" in here("import", file.name, "again.gm", "--name", "x", code=2).stderr
    assert "is no exported service" in here("import", "rows.csv", code=5).stderr
    assert "there is no service" in here("export", "cli-moving", "9", code=4).stderr
