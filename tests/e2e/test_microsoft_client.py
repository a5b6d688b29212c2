"""Microsoft's own Python client, unmodified and under the Python of its time, against a running server.

The stories are in `microsoft_client/`: code as its users write it, which runs in a process of Python 3.7. The
environment with the client is made on first use, outside the tree.
"""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.publishing import publish
from tests.pythons import environment, find_python, run
from tests.realtime_models import model_file
from tests.servers import Server

# Making the environment takes a minute or two. A story that hangs is ended by its runner after 50 seconds.
pytestmark = pytest.mark.timeout(300)

FOLDER = Path(__file__).with_name("microsoft_client")
REQUIREMENTS = FOLDER / "requirements.txt"
MODULES = ["signing_in", "publishing", "values", "answers", "managing", "objects", "batches"]


def stories() -> Iterator[str]:
    """Functions whose one argument is the client."""
    for module in MODULES:
        for each in ast.parse((FOLDER / f"{module}.py").read_text("utf-8")).body:
            if isinstance(each, ast.FunctionDef) and ast.unparse(each.args) == "client":
                yield f"{module}.{each.name}"


class OldPython:
    """Python 3.7, logged in with Microsoft's client: runs stories, in a new process when one has ended it."""

    def __init__(self, python: Path, server: Server, directory: Path) -> None:
        self._directory = directory
        runner = str(FOLDER / "runner.py")
        self._command = [str(python), "-u", runner, server.url, "admin", server.password]
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command,
            cwd=self._directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, story: str) -> dict[str, Any]:
        if self._process.poll() is not None:
            self.close()
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(story + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the client's process ended with status {self._process.wait()}"
        result: dict[str, Any] = json.loads(line)
        return result

    def close(self) -> None:
        self._process.communicate(timeout=30)


def install(python: Path) -> None:
    run(python, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "-r", REQUIREMENTS)


@pytest.fixture(scope="module")
def old_python(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldPython]:
    pins = REQUIREMENTS.read_text("utf-8")
    with environment(find_python("3.7"), "microsoft-client", pins, install) as python:
        folder = tmp_path_factory.mktemp("microsoft-client")
        (folder / "model.blob").write_bytes(model_file())
        process = OldPython(python, server, folder)
        yield process
        process.close()


@pytest.fixture(scope="module")
def service_in_r(admin: httpx.Client) -> None:
    code = "mean <- mean(x); table <- data.frame(k = c('a', 'b'), n = 1:2)"
    outputs = {"mean": "numeric", "table": "frame"}
    inputs = {"x": "vector"}
    publish(admin, "ms-from-r", code, runtime="R", inputs=inputs, outputs=outputs, operationId="glance")


def marked(story: str) -> Any:
    return pytest.param(story, marks=[pytest.mark.needs_r] if "_in_r_" in story else [], id=story)


@pytest.mark.parametrize("story", [marked(story) for story in stories()])
def test_microsofts_client(old_python: OldPython, story: str, request: pytest.FixtureRequest) -> None:
    if "_in_r_" in story:
        request.getfixturevalue("service_in_r")
    result = old_python.tell(story)
    if result["outcome"] == "skipped":
        pytest.skip(result["text"])
    assert result["outcome"] == "passed", result["text"]
