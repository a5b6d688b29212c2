"""examples/boston-python without an image: its scripts run, and its folder is one that can be built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.deploy.build import plan
from gristmill.deploy.errors import BadFolder
from tests.servers import Server

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("boston", "boston-python"):
        shutil.copytree(
            EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns("*.joblib", "check.csv")
        )
    return tmp_path / "boston-python"


def test_what_was_fitted_at_home_is_published_and_predicts_the_same(server: Server, folder: Path) -> None:
    with pytest.raises(BadFolder, match=r"`files` names bos_rf\.joblib"):
        plan(folder)
    environment = {**os.environ, "GRISTMILL_URL": server.url, "GRISTMILL_PASSWORD": server.password}
    said = ""
    for script in ("fit.py", "deploy.py"):
        command = [sys.executable, "-W", "error", script]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said += done.stdout
    assert "10 rows scored by the service, equal bit for bit" in said
    planned = plan(folder, tag="boston-python:1")
    assert [entry.path for entry in planned.files] == [
        *("bos_rf.joblib", "check.csv", "deploy.py", "gristmill.toml"),
    ]
    assert planned.publishes == ("deploy.py",)
    assert planned.requirements == ("joblib>=1.4", "pandas>=2.2", "scikit-learn>=1.5")
