"""The model of the story: a random forest of R on Boston's house prices, and what R itself predicts by it."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

__all__ = ["SERVICE", "Boston", "broken", "fit"]

SERVICE = "bos-rf"
EXAMPLE = Path(__file__).parents[2] / "examples" / "boston-r"
ROWS = "write.csv(MASS::Boston[1:20, ], row.names = FALSE)"
# All 17 digits, by which a double is told from every other.
PREDICT = """
suppressPackageStartupMessages(library(randomForest))
cat(sprintf("%.17g\\n", predict(readRDS("bos_rf.rds"), MASS::Boston[1:20, ])), sep = "")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boston:
    """The first twenty rows, and for each version its folder and R's own answers."""

    rows: pd.DataFrame
    folders: Mapping[str, Path]
    right: Mapping[str, list[float]]


def fit(folder: Path) -> Boston:
    """Fit 1.0.0 as the example does, and 1.1.0 with more trees, each in a copy of the example."""
    folders = {version: folder / f"boston-{version}" for version in ("1.0.0", "1.1.0")}
    for version, copy in folders.items():
        shutil.copytree(EXAMPLE, copy)
        if version != "1.0.0":
            _replace(copy / "bos_rf.R", "ntree = 100", "ntree = 120")
            _replace(copy / "bos_rf_deploy.R", '"1.0.0"', f'"{version}"')
        _rscript(copy, "bos_rf.R")
    rows = pd.read_csv(io.StringIO(_rscript(folder, "-e", ROWS)), float_precision="round_trip")
    right = {
        version: [float(line) for line in _rscript(copy, "-e", PREDICT).split()]
        for version, copy in folders.items()
    }
    assert right["1.0.0"] != right["1.1.0"], "an answer must tell the versions apart"
    return Boston(rows=rows, folders=folders, right=right)


def broken(folder: Path, good: Path) -> Path:
    """A copy whose deployment script stops, as one does that finds its model wanting."""
    copy = folder / "boston-broken"
    shutil.copytree(good, copy)
    script = copy / "bos_rf_deploy.R"
    script.write_text('stop("the forest is worse than the mean: not published")\n' + script.read_text())
    return copy


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has changed"
    path.write_text(text.replace(old, new))


def _rscript(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["Rscript", "--vanilla", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
