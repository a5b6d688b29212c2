"""A PostgreSQL server of the tests' own, where Debian's package is installed."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path


def postgres_programs() -> Path | None:
    """The directory of the newest PostgreSQL's programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found and (os.geteuid() != 0 or shutil.which("runuser")) else None


class Postgres:
    """A running server, reachable by a socket in its directory only."""

    def __init__(self, programs: Path, directory: str) -> None:
        self._programs = programs
        self._directory = directory

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs, as a user that it accepts: it refuses root."""
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*as_user, str(self._programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=60)

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return Path(self._directory) / ".s.PGSQL.5432"

    def new_database(self) -> str:
        """URL of an empty database."""
        name = f"d{uuid.uuid4().hex}"
        self.run("createdb", "-h", self._directory, "-U", "postgres", name)
        return f"postgresql://postgres@/{name}?host={self._directory}"


@contextlib.contextmanager
def running_postgres(programs: Path) -> Iterator[Postgres]:
    """A fresh server; gone afterwards."""
    directory = tempfile.mkdtemp(prefix="gm-pg-")
    try:
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres")
        server = Postgres(programs, directory)
        data = f"{directory}/data"
        server.run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={directory} -c fsync=off"
        server.run("pg_ctl", "-D", data, "-w", "-l", f"{directory}/log", "-o", options, "start")
        try:
            yield server
        finally:
            server.run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(directory)
