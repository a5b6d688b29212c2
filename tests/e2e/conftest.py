"""What the tests of whole programs share."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = 'for (p in c("curl", "jsonlite", "R6", "httr", "MASS", "randomForest")) loadNamespace(p)'


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An R library with the package in it."""
    if subprocess.run(["Rscript", "--vanilla", "-e", NEEDED], capture_output=True, check=False).returncode:
        pytest.skip("the R package needs curl, jsonlite and R6, and its tests httr and randomForest too")
    folder = tmp_path_factory.mktemp("library")
    subprocess.run(
        ["R", "CMD", "INSTALL", f"--library={folder}", ROOT / "r"], capture_output=True, check=True
    )
    return folder
