"""The R package as its users have it: installed, in scripts, and at a terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.terminal import RTerminal
from tests.servers import Server

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.needs_r, pytest.mark.timeout(180)]


@pytest.fixture
def environment(library: Path, server: Server) -> dict[str, str]:
    return {
        "R_LIBS": str(library),
        "GRISTMILL_URL": server.url,
        "GRISTMILL_PASSWORD": server.password,
        "TZ": "UTC",
    }


def test_boston_in_the_form_of_scripts_for_mrsdeploy(tmp_path: Path, environment: dict[str, str]) -> None:
    told = ""
    for script in ("bos_rf.R", "bos_rf_deploy.R", "consume.R"):
        shutil.copy(ROOT / "examples/boston-r" / script, tmp_path)
        version = [] if script == "bos_rf.R" else ["r-package"]
        done = subprocess.run(
            ["Rscript", script, *version],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told += done.stdout
    assert told.count("equal bit for bit to predict()") == 2
    assert "batch of 2 sets of 10 rows: Complete - equal" in told


def test_the_remote_command_line_at_a_terminal(tmp_path: Path, environment: dict[str, str]) -> None:
    with RTerminal(tmp_path, environment) as r:
        r.expect("> ")
        r.enter("library(gristmill); here <- 'local'")
        r.enter("remoteLogin(Sys.getenv('GRISTMILL_URL'), diff = FALSE, username = 'admin')")
        r.expect("assword: ")
        r.enter(environment["GRISTMILL_PASSWORD"])
        r.expect("REMOTE> ")
        assert environment["GRISTMILL_PASSWORD"] not in r.seen.split("assword: ")[-1]
        r.enter("f <- function(x) {")
        r.expect("+ ")
        r.enter("x * 2 }")
        r.expect("REMOTE> ")
        r.enter("c(f(21), exists('here'))")
        r.expect("[1] 42  0")
        r.expect("REMOTE> ")
        r.enter("cat(1 + 1, 'begun\\n'); repeat Sys.sleep(0.05)")
        r.expect("2 begun")
        r.press_ctrl_c()
        r.expect("cancelled")
        r.expect("REMOTE> ")
        r.enter("pause()")
        r.expect("> ")
        r.enter("c(here, exists('f'))")
        r.expect('[1] "local" "FALSE"')
        r.enter("resume()")
        r.expect("REMOTE> ")
        r.enter("f(1)")
        r.expect("[1] 2")
        r.expect("REMOTE> ")
        r.enter("exit")
        r.enter("inherits(tryCatch(listServices(), error = identity), 'gristmill_not_logged_in')")
        r.expect("[1] TRUE")
