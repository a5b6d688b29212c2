"""The cache folder: a virtual environment for each peer, the data, and the fitted models."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HERE", "Home", "Say", "Unavailable"]

HERE = Path(__file__).resolve().parent.parent
PEERS = HERE / "peers"
Say = Callable[[str], None]


class Unavailable(Exception):
    """This system cannot be measured here; the message says why and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where the benchmarks keep what must not stand in the source tree."""

    folder: Path
    say: Say  #: shows a line of progress

    @property
    def r_models(self) -> Path:
        return self.folder / "models-r"

    @property
    def boston(self) -> Path:
        return self.r_models / "boston.csv"

    def prepare_data(self) -> None:
        """Export the data from R's MASS and fit the R models, once. Raises Unavailable where R is missing."""
        if (self.r_models / "versions.json").exists():
            return
        if shutil.which("Rscript") is None:
            raise Unavailable(
                "the Boston data comes from R's package MASS: install R (Debian: r-base-core, r-recommended)"
            )
        self.say("Exporting the Boston data and fitting the R models")
        self.r_models.mkdir(parents=True, exist_ok=True)
        self.run(["Rscript", str(PEERS / "fit.R"), str(self.r_models)], "R could not fit the models")

    def environment(self, name: str) -> Path:
        """The interpreter that has `requirements-NAME.txt`; made on first use, and anew when that changed."""
        requirements = HERE / f"requirements-{name}.txt"
        folder = self.folder / "env" / name
        made = folder / "made-of.txt"
        if not made.exists() or made.read_text() != requirements.read_text():
            self.say(f"Making the environment of {name} (first use: up to two minutes)")
            shutil.rmtree(folder, ignore_errors=True)
            self.run([sys.executable, "-m", "venv", str(folder)], f"no environment for {name}")
            install = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
            self.run(install, f"{name} cannot be installed on Python {sys.version.split()[0]}", seconds=1200)
            shutil.copy(requirements, made)
        return folder / "bin/python"

    def models(self, name: str, python: Path) -> Path:
        """The folder of the Python models fitted by `python`, kept under `name`."""
        folder = self.folder / f"models-{name}"
        fitted = folder / "versions.json"
        if not fitted.exists() or fitted.stat().st_mtime < (PEERS / "fit.py").stat().st_mtime:
            self.say(f"Fitting the models for {name}")
            folder.mkdir(parents=True, exist_ok=True)
            fit = [str(python), str(PEERS / "fit.py"), str(self.boston), str(folder)]
            self.run(fit, f"{python} could not fit the models")
        return folder

    def expected(self, folder: Path, model: str, rows: int) -> list[float]:
        """The predictions of the first `rows` rows, as the model in `folder` gave them in process."""
        every = json.loads((folder / "expected.json").read_text())[model]
        return [float(every[i % len(every)]) for i in range(rows)]

    def run(self, command: Sequence[str], failure: str, seconds: float = 300) -> str:
        """The output of a program; raises Unavailable with `failure` and the program's last lines."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{failure}: {error}") from error
        if done.returncode:
            last = [line for line in done.stderr.splitlines() if line.strip() and "WARNING" not in line][-3:]
            words = " / ".join(line[:200] for line in last) or f"exit code {done.returncode}"
            raise Unavailable(f"{failure}: {words}")
        return done.stdout
