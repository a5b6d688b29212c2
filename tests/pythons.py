"""Other Pythons, and virtual environments of theirs that are kept from one run of the tests to the next."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

__all__ = ["environment", "find_python", "run"]

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill-tests"
_KEPT = 14 * 86400  #: seconds that an environment is kept without being used
_PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


def find_python(version: str) -> Path:
    """An interpreter of a version such as 3.7; the test is skipped where there is none."""
    kept = sorted(_PYENV.glob(f"versions/{version}.*/bin/python"))
    on_path = shutil.which(f"python{version}")
    for python in (*kept, *([Path(on_path)] if on_path else [])):
        if subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip(f"there is no Python {version} on this machine: pyenv install {version} brings one")


@contextlib.contextmanager
def environment(
    python: Path, name: str, key: str, fill: Callable[[Path], None], *, alone: bool = False
) -> Iterator[Path]:
    """Lend the interpreter of a virtual environment that `fill` has filled; made anew when `key` has changed.

    `fill` is given the interpreter. Runs of the tests side by side share it, or with `alone` wait for it.
    """
    about = run(python, "-VV") + key
    place = _CACHE / f"{name}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
    done, inside = place / "complete", place / "bin" / "python"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            run(python, "-m", "venv", "--clear", place)
            fill(inside)
        done.touch()
        _forget_unused(name)
        if not alone:
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield inside


def _forget_unused(name: str) -> None:
    for done in _CACHE.glob(f"{name}-*/complete"):
        if time.time() - done.stat().st_mtime > _KEPT:
            shutil.rmtree(done.parent, ignore_errors=True)


def run(*command: str | Path, timeout: float = 240, cwd: Path | None = None) -> str:
    """What a command that must succeed writes to standard output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=cwd, env=clean, check=False
    )
    said = ended.stdout[-3000:] + ended.stderr[-5000:]
    assert ended.returncode == 0, f"{' '.join(map(str, command))}\n{said}"
    return ended.stdout
