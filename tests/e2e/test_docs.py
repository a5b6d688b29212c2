"""What the pages show is run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Server

ROOT = Path(__file__).parents[2]


def code_of(page: str, language: str) -> str:
    """All blocks of one language on a page, as the one program that they make."""
    return "\n".join(
        re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    )


def run(command: list[str], server: Server) -> str:
    """Output of a program that finds the server as a reader's would."""
    surroundings = {**os.environ, "GRISTMILL_URL": server.url, "GRISTMILL_PASSWORD": server.password}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial_does_what_it_says(server: Server) -> None:
    told = run(
        [sys.executable, "-W", "error", "-c", code_of("docs/tutorial/first-service.md", "python")], server
    )
    assert "celsius" in told


def test_the_tour_in_python_prints_what_the_readme_says(server: Server, tmp_path: Path) -> None:
    tour = tmp_path / "tour.py"
    tour.write_text(code_of("README.md", "python"))
    told = run([sys.executable, "-W", "error", str(tour)], server)
    assert re.fullmatch(r"\[206\.1166\d+ +68\.0710\d+\]\n", told)


@pytest.mark.needs_r
def test_the_tour_in_r_prints_what_the_readme_says(
    server: Server, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R_LIBS", str(library))
    told = run(["Rscript", "--vanilla", "-e", code_of("README.md", "r")], server)
    assert told.endswith("[1] 23.57233 22.58348\n")
