"""A server that cannot start because of its database says so in one line, and ends with 1."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.servers import GRISTMILL


def refusal(data: Path, *flags: str, path: Path | None = None) -> str:
    """All that the server says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRISTMILL_")}
    environment = {**clean, **({"PYTHONPATH": str(path)} if path else {})}
    command: list[str | Path] = [
        GRISTMILL,
        "serve",
        "--port",
        "0",
        "--data",
        str(data),
        "--pool-initial",
        "1",
        *flags,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def test_a_missing_driver_is_told_in_one_line(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden" / "psycopg"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'psycopg'\", name='psycopg')"
    )
    said = refusal(tmp_path / "data", "--database", "postgresql://u:secret@host/d", path=hidden.parent)
    assert said == (
        "gristmill serve: a PostgreSQL database needs the package psycopg, which is not installed: "
        "pip install 'gristmill[postgres]'"
    )


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "postgresql://u:secret@127.0.0.1:1/d",
            "the database d at 127.0.0.1:1 cannot be used: Connection refused",
        ),
        ("oracle://u:secret@host/d", "'oracle' databases are not supported"),
        ("not a url", "that is not a database URL"),
    ],
)
def test_a_url_that_is_wrong_is_told_in_one_line(tmp_path: Path, url: str, says: str) -> None:
    said = refusal(tmp_path / "data", "--database", url)
    assert said.startswith(f"gristmill serve: {says}")
    assert "\n" not in said
    assert "secret" not in said


def test_a_file_that_is_no_database_is_told_in_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "gristmill.db").write_bytes(b"something else " * 1000)
    said = refusal(data)
    assert "\n" not in said
    assert f"{data / 'gristmill.db'} is no SQLite database" in said
    assert "put back a backup of it" in said
