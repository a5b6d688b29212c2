"""Real servers for tests: started as users start them, on a free port, with state of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

__all__ = ["ADMIN_PASSWORD", "GRISTMILL", "Server", "let_pass", "start_server"]

ADMIN_PASSWORD = "only for tests: Xq7"
GRISTMILL = Path(sys.executable).with_name("gristmill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A `gristmill serve` that has said that it is ready."""

    url: str
    data: Path
    log: Path  #: what it writes to standard error
    process: subprocess.Popen[str]
    password: str = ADMIN_PASSWORD

    def client(self, username: str = "admin", password: str | None = None) -> httpx.Client:
        """A client that is logged in; the caller's to close."""
        login = {"username": username, "password": password or self.password}
        tokens = httpx.post(f"{self.url}/login", json=login, timeout=60).raise_for_status().json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        return httpx.Client(base_url=self.url, headers=bearer, timeout=60)

    def stop(self) -> int:
        """Ask it to stop as an administrator would; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def let_pass(folder: Path) -> None:
    """Let others pass to `folder`: where root runs the tests, shells are users of their own."""
    if os.geteuid() == 0:
        for path in (folder, *folder.parents):
            if path == Path(tempfile.gettempdir()):
                return
            path.chmod(path.stat().st_mode | 0o011)


def start_server(
    folder: Path, *flags: str, environment: Mapping[str, str] | None = None, program: Path = GRISTMILL
) -> Server:
    """Start one that keeps all that it writes in `folder`; returns when it is ready.

    `program` is the `gristmill` to start: another installation's, for instance. Raises RuntimeError, with its
    log, when it ends before that.
    """
    let_pass(folder)
    data, log = folder / "data", folder / "server.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRISTMILL_")}
    with log.open("a") as errors:
        process = subprocess.Popen(
            [program, "serve", "--port", "0", "--data", str(data), *flags],
            cwd=folder,
            env={**clean, "GRISTMILL_ADMIN_PASSWORD": ADMIN_PASSWORD, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if " is ready at " in line:
                url = line.split(" at ", 1)[1].split()[0]
                return Server(url=url, data=data, log=log, process=process)
        raise RuntimeError(f"the server ended with status {process.wait()}:\n{log.read_text()}")
    except BaseException:  # a test's time may be over, too
        process.kill()
        process.wait()
        process.stdout.close()
        raise
