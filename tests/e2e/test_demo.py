"""scripts/demo, as a new user types it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_the_demo_publishes_and_scores_from_both_languages_bit_for_bit() -> None:
    told = subprocess.run(
        [ROOT / "scripts/demo"],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    languages = 2 if shutil.which("Rscript") else 1
    assert told.stdout.count("10 rows scored over REST, equal bit for bit to predict()") == languages
    told_of_batches = "2 sets of 10 rows scored as a batch, equal bit for bit to predict()"
    assert told.stdout.count(told_of_batches) == languages
    if languages == 2:
        assert "10 rows scored by the package, equal bit for bit to predict()" in told.stdout
        assert "10 rows scored without R, equal bit for bit to predict()" in told.stdout
        assert "batch of 2 sets of 10 rows: Complete - equal" in told.stdout
    assert "without the column lstat: status 400" in told.stdout
    assert "nothing of it is left" in told.stdout
    assert "Traceback (most recent call last)" not in told.stdout + told.stderr
