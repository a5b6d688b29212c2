"""What the pages show is run as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Server

ROOT = Path(__file__).parents[2]


def code_of(page: str, language: str) -> str:
    """All blocks of one language on a page, as the one program that they make."""
    return "\n".join(
        re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    )


def run(command: list[str], server: Server, folder: Path | None = None) -> str:
    """Output of a program that finds the server as a reader's would."""
    surroundings = {**os.environ, "GRISTMILL_URL": server.url, "GRISTMILL_PASSWORD": server.password}
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)
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


@pytest.mark.needs_r
def test_a_model_that_was_shipped_is_called_as_the_page_says(
    serve: Callable[..., Server], library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R_LIBS", str(library))
    server = serve()
    folder = tmp_path / "boston-r"
    shutil.copytree(ROOT / "examples" / "boston-r", folder)
    for script in ("bos_rf.R", "bos_rf_deploy.R"):
        run(["Rscript", "--no-save", script], server, folder=folder)
    page = "docs/howto/ship-a-model.md"
    in_r = run(["Rscript", "--vanilla", "-e", code_of(page, "r")], server)
    in_python = run([sys.executable, "-W", "error", "-c", code_of(page, "python")], server, folder=ROOT)
    first = re.findall(r"\d+\.\d{4}", in_r)
    assert len(first) == 10 + 20
    # The ten rows, and the same ten as the first of two sets, to places that both languages print.
    assert re.findall(r"\d+\.\d{4}", in_python)[:3] == first[:3] == first[10:13]
