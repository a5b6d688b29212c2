"""The client's pages are run as they stand; the tutorial from the built wheel, in an empty environment."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import Server

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> list[str]:
    """All blocks of one language on a page, in order."""
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(command: list[str | Path], folder: Path, server: Server) -> str:
    """Output of a program that finds the server by the environment."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("GRISTMILL_", "PYTHON"))
    }
    surroundings = {
        **clean,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": "",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "GRISTMILL_URL": server.url,
        "GRISTMILL_PASSWORD": server.password,
    }
    done = subprocess.run(command, env=surroundings, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cpu_seconds() -> float:
    """What processes that have ended took of the processors: other work of the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.timeout(600)
def test_the_tutorial_takes_under_a_minute_and_15_lines_from_an_empty_environment(
    server: Server, tmp_path: Path
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path), "-t", "wheel"]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "empty"], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    python = tmp_path / "empty" / "bin" / "python"
    before, begun = cpu_seconds(), time.perf_counter()
    install = blocks("docs/tutorial/first-model-python.md", "sh")[0].splitlines()[0].split()
    assert install[:3] == ["pip", "install", "gristmill"]
    run([python, "-m", "pip", "install", "-q", wheel, *install[3:]], tmp_path, server)
    first = blocks("docs/tutorial/first-model-python.md", "python")[0]
    (tmp_path / "first.py").write_text(first)
    told = run([python, "first.py"], tmp_path, server)
    print(
        f"installed and answered in {time.perf_counter() - begun:.0f} s, "
        f"{cpu_seconds() - before:.0f} s of CPU"
    )
    assert told == blocks("docs/tutorial/first-model-python.md", "text")[0]
    assert len([line for line in first.splitlines() if line.strip()]) < 15
    assert cpu_seconds() - before < 60
    assert run([tmp_path / "empty" / "bin" / "gristmill", "services", "iris-py"], tmp_path, server)
    with server.client() as client:
        client.delete("/services/iris-py/1.0.0").raise_for_status()


def test_the_whole_tutorial_does_what_it_says(server: Server, tmp_path: Path) -> None:
    (tmp_path / "all.py").write_text("\n".join(blocks("docs/tutorial/first-model-python.md", "python")))
    told = run([sys.executable, "-W", "error", "all.py"], tmp_path, server)
    for shown in blocks("docs/tutorial/first-model-python.md", "text"):
        assert shown.replace("  …\n", "") in told
    assert "measures | pandas.DataFrame with the columns sepal length (cm)" in told
    assert "a divided by b" in told
    assert told.endswith("0.25\n")


def test_the_migration_page_does_what_it_says(server: Server, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("\n".join(blocks("docs/howto/migrate-from-ml-server.md", "python")))
    answer, version = run([sys.executable, "-W", "error", "old.py"], tmp_path, server).splitlines()
    assert re.fullmatch(r"0\.731\d+ True True", answer)
    assert version == "v1.0.0"


def test_the_service_file_of_the_how_to_is_one(tmp_path: Path) -> None:
    from gristmill.app.client_cli_service_file import read_service_file

    toml, realtime = blocks("docs/howto/command-line.md", "toml")
    assert 'realtime = "model.joblib"' in realtime
    (tmp_path / "service.toml").write_text(toml)
    (tmp_path / "score.py").write_text("def price(rows, factor):\n    return model.predict(rows) * factor\n")
    (tmp_path / "model.pkl").write_bytes(b"pickled")
    (tmp_path / "rows.csv").write_text("rm,lstat\n1,2\n")
    found = read_service_file(tmp_path)
    assert (found.name, found.version, found.code) == ("bos-rf", "1.0.0", "price = price(rows, factor)\n")
