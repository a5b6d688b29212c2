"""The story that `gristmill demo` tells."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import typer

from gristmill.client.errors import GristmillError

__all__ = ["tell"]

_HERE = Path(__file__).parent
_COMMAND = [sys.executable, "-c", "from gristmill.app.cli import main; main()"]


def tell(*, keep: bool) -> None:
    """Tell it. Raises GristmillError when a part of it cannot be had."""
    for module, extra in (("uvicorn", "server"), ("sklearn", "shell"), ("pandas", "shell")):
        if importlib.util.find_spec(module) is None:
            raise GristmillError(
                f"the demo needs {module}, of the extra {extra}: pip install 'gristmill[server,shell]'"
            )
    with tempfile.TemporaryDirectory(prefix="gristmill-demo-") as folder:
        # Shells may run as another user, who has to reach the folder of their scratch directories.
        os.chmod(folder, 0o755)  # noqa: S103 - nothing in it is secret but the profile, which has 0600
        environment = {
            **os.environ,
            "GRISTMILL_ADMIN_PASSWORD": secrets.token_urlsafe(12),
            "GRISTMILL_PROFILE": str(Path(folder) / "profile"),
        }
        _title("A server")
        with _server(Path(folder), environment) as url:
            environment.update(
                GRISTMILL_URL=url,
                GRISTMILL_USERNAME="admin",
                GRISTMILL_PASSWORD=environment["GRISTMILL_ADMIN_PASSWORD"],
            )
            _script(environment)
            _commands(Path(folder), environment)
            if keep:
                _title("Yours")
                typer.echo(f"gristmill login {url} -u admin   # password {environment['GRISTMILL_PASSWORD']}")
                typer.echo("Ctrl-C ends the server.")
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
    typer.echo("\nThe server has ended, and nothing of it is left.")


def _title(text: str) -> None:
    typer.secho(f"\n{text}", bold=True)


@contextlib.contextmanager
def _server(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a server that ends with the block."""
    begun = time.perf_counter()
    typer.secho("$ gristmill serve --port 0", dim=True)
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*_COMMAND, "serve", "--port", "0", "--data", str(folder / "data")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C is for us, and we stop it then
        )
    assert process.stdout is not None
    try:
        ready = process.stdout.readline().strip()
        if " is ready at " not in ready:
            process.wait()
            raise GristmillError(f"the server did not start:\n{(folder / 'server.log').read_text().strip()}")
        typer.echo(f"{ready.split(';')[0]} ({time.perf_counter() - begun:.1f} s)")
        yield ready.split(" at ")[1].split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()


def _script(environment: dict[str, str]) -> None:
    _title("Python: fit a model, publish it, call it")
    script = _HERE / "demo" / "__main__.py"
    lines = script.read_text("utf-8").splitlines()
    typer.secho("\n".join(f"  {line}".rstrip() for line in lines[3:]), dim=True)
    _run([sys.executable, str(script)], environment)


def _commands(folder: Path, environment: dict[str, str]) -> None:
    _title("The command line: the same for a shell script")
    (folder / "flowers.csv").write_text(
        "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n"
        "5.1,3.5,1.4,0.2\n6.2,2.9,4.3,1.3\n"
    )
    for words in (
        ["services"],
        ["show", "iris"],
        ["call", "iris", "1.0", "--input", "flowers.csv"],
    ):
        typer.secho(f"$ gristmill {' '.join(words)}", dim=True)
        _run([*_COMMAND, *words], environment, folder)


def _run(command: list[str], environment: dict[str, str], folder: Optional[Path] = None) -> None:
    sys.stdout.flush()
    done = subprocess.run(command, env=environment, cwd=folder, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise GristmillError("a part of the demo failed; what it said stands above")
