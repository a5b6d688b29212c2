"""PostgreSQL on this machine, for the replicas in the cluster: by TCP and with a password."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.network import Network
from tests.contract.databases import Postgres, postgres_programs

__all__ = ["Database", "running_database"]

PORT = 5432


class Database:
    """A server with one user, who may make databases."""

    def __init__(self, server: Postgres, folder: Path, network: Network) -> None:
        self._server = server
        self._folder = folder
        self._network = network
        self._password = secrets.token_urlsafe(18)
        self._sql(f"CREATE ROLE gristmill LOGIN PASSWORD '{self._password}'")

    def new(self, name: str) -> str:
        """URL of an empty database, as pods reach it."""
        self._sql(f"CREATE DATABASE {name} OWNER gristmill")
        return f"postgresql://gristmill:{self._password}@{self._network.host}:{PORT}/{name}"

    def _sql(self, statement: str) -> None:
        """By standard input: other users of the machine can read a command line."""
        command = [
            "runuser",
            "-u",
            "postgres",
            "--",
            "psql",
            "-h",
            str(self._folder),
            "-v",
            "ON_ERROR_STOP=1",
        ]
        subprocess.run(
            command, input=statement, check=True, capture_output=True, text=True, cwd="/", timeout=60
        )


@contextlib.contextmanager
def running_database(network: Network) -> Iterator[Database]:
    """A fresh server at the host's address on the cable; gone afterwards."""
    programs = postgres_programs()
    if programs is None:
        raise RuntimeError("the replicas' database is PostgreSQL: install Debian's package `postgresql`")
    folder = Path(tempfile.mkdtemp(prefix="gm-pg-"))
    try:
        shutil.chown(folder, "postgres")
        server = Postgres(programs, str(folder))
        data = folder / "data"
        server.run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all gristmill {network.whole} scram-sha-256\n")
        options = f"-c listen_addresses={network.host} -c port={PORT} -c unix_socket_directories={folder}"
        server.run("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield Database(server, folder, network)
        finally:
            server.run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
