"""What callers of the service do, each time compared with what R predicts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import gristmill
from tests.cluster.boston import EXAMPLE, SERVICE, Boston
from tests.cluster.commands import gristmill as gristmill_command
from tests.cluster.load import Load, callers

__all__ = ["Caller"]


class Caller:
    """An application with an account, at one address."""

    def __init__(self, url: str, password: str, boston: Boston) -> None:
        self.url = url
        self.password = password
        self._boston = boston

    def log_in(self) -> gristmill.Client:
        return gristmill.connect(self.url, username="admin", password=self.password)

    def calls(self, client: gristmill.Client, version: str) -> Callable[[], str | None]:
        """A call of ten rows, which says what is wrong with the answer."""
        service = client.service(SERVICE, version)
        rows, right = self._boston.rows[:10], self._boston.right[version][:10]

        def call() -> str | None:
            answer = service(rows).output()
            return None if list(answer) == right else f"a wrong answer: {answer}"

        return call

    def under_load(self, version: str) -> AbstractContextManager[Load]:
        """Eight callers, each with a login of its own, who call `version` meanwhile."""
        return callers(lambda: self.calls(self.log_in(), version))

    def call_once(self, version: str) -> str:
        with self.log_in() as client:
            call = self.calls(client, version)
            begin = time.monotonic()
            wrong = call()
            assert wrong is None, wrong
            return f"10 rows equal to predict(), {1000 * (time.monotonic() - begin):.0f} ms"

    def run_batch(self, version: str) -> str:
        """Two sets of ten rows, two at a time, asked for until they are there."""
        rows, right = self._boston.rows, self._boston.right[version]
        with self.log_in() as client:
            service = client.service(SERVICE, version)
            items = [{"inputData": rows[:10]}, {"inputData": rows[10:20]}]
            begin = time.monotonic()
            results = service.batch(items, parallel_count=2).start().results()
            took = time.monotonic() - begin
            answers = [value for result in results for value in result.output()]
        assert answers == right[:20], f"wrong answers: {answers}"
        return f"2 sets of 10 rows equal to predict(), {1000 * took:.0f} ms"

    def call_by_command_line(self, version: str) -> str:
        """`gristmill login` and `gristmill call`, with the rows from a file."""
        folder = self._boston.folders[version]
        self._boston.rows[:10].to_csv(folder / "rows.csv", index=False)
        profile = {"GRISTMILL_PROFILE": str(folder / "profile")}
        login = ("login", self.url, "--username", "admin", "--password-stdin")
        gristmill_command(*login, input=self.password + "\n", environment=profile)
        call = ("call", SERVICE, version, "--input", folder / "rows.csv")
        done = gristmill_command(*call, environment=profile)
        answers = [float(line) for line in done.output.split()]
        assert answers == self._boston.right[version][:10], f"wrong answers: {done.said}"
        return "10 rows equal to predict()"

    def consume_from_r(self, version: str) -> str:
        """The example's script for applications: httr and jsonlite alone."""
        done = subprocess.run(
            ["Rscript", "--vanilla", str(EXAMPLE / "consume.R"), version],
            cwd=self._boston.folders[version], check=True, capture_output=True, text=True, timeout=120,
            env={"PATH": "/usr/bin:/bin", "GRISTMILL_URL": self.url, "GRISTMILL_PASSWORD": self.password},
        )  # fmt: skip
        return done.stdout.strip().splitlines()[-1]
