"""What importing costs, and which Pythons can read the client."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gristmill
import gristmill.errors

ROOT = Path(gristmill.__file__).parent
PORTABLE = [
    *sorted((ROOT / "client").rglob("*.py")),
    *sorted((ROOT / "serializing").rglob("*.py")),
    *sorted((ROOT / "realtime/graphs").rglob("*.py")),
    ROOT / "realtime/container.py",
    *sorted((ROOT / "app").glob("client_cli*.py")),
    ROOT / "app/cli.py",
    ROOT / "app/status.py",
    ROOT / "compat.py",
]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_loads_next_to_nothing_in_under_150_ms() -> None:
    code = "import time; a = time.process_time(); import gristmill; print(time.process_time() - a)"
    assert min(float(python(code)) for _ in range(3)) < 0.150
    heavy = "{'httpx', 'typer', 'rich', 'dill', 'numpy', 'pandas', 'gristmill.client'}"
    assert python(f"import sys, gristmill; print({heavy} & set(sys.modules) or 'none')") == "none"


def test_the_client_loads_no_data_library_until_it_has_data() -> None:
    heavy = "{'typer', 'dill', 'numpy', 'pandas', 'anyio._backends'}"
    code = f"import sys, gristmill; gristmill.connect; print({heavy} & set(sys.modules) or 'none')"
    assert python(code) == "none"


def test_the_command_loads_neither_the_client_nor_the_server_to_show_its_version() -> None:
    heavy = "{'httpx', 'rich.console', 'fastapi', 'uvicorn', 'sqlalchemy', 'gristmill.client'}"
    code = f"import sys; import gristmill.app.cli; print({heavy} & set(sys.modules) or 'none')"
    assert python(code) == "none"


@pytest.mark.parametrize("path", PORTABLE, ids=lambda path: str(path.relative_to(ROOT)))
def test_client_and_commands_are_written_in_the_python_of_3_9(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 9))


def test_the_packages_names_are_listed_and_unknown_ones_refused() -> None:
    assert {"connect", "publish", "Client"} <= set(dir(gristmill))
    assert gristmill.client.errors.NotFound is gristmill.errors.NotFound
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        gristmill.nothing  # noqa: B018
